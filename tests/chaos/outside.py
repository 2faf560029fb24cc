"""Somebody else's calls to the cloud (a colleague in the console): EC2 with the signature written out, since the aws
command takes seconds to start."""
import datetime
import hashlib
import hmac
import urllib.error
import urllib.parse
import urllib.request


def call(endpoint, key, secret, action, instance):
    """The status of the answer, and its text."""
    host = urllib.parse.urlsplit(endpoint).netloc
    body = urllib.parse.urlencode({"Action": action, "InstanceId.1": instance, "Version": "2016-11-15"})
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{now[:8]}/us-east-1/ec2/aws4_request"
    digest = lambda text: hashlib.sha256(text.encode()).hexdigest()
    kind = "application/x-www-form-urlencoded; charset=utf-8"
    request = (
        f"POST\n/\n\ncontent-type:{kind}\nhost:{host}\nx-amz-date:{now}\n\ncontent-type;host;x-amz-date\n{digest(body)}"
    )
    signing = ("AWS4" + secret).encode()
    for part in scope.split("/"):
        signing = hmac.new(signing, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(
        signing, f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{digest(request)}".encode(), hashlib.sha256
    ).hexdigest()
    headers = {
        "Content-Type": kind,
        "X-Amz-Date": now,
        "Authorization": f"AWS4-HMAC-SHA256 Credential={key}/{scope}, "
        f"SignedHeaders=content-type;host;x-amz-date, Signature={signature}",
    }
    try:
        with urllib.request.urlopen(
            urllib.request.Request(endpoint + "/", body.encode(), headers), timeout=30
        ) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()
