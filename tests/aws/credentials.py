#!/usr/bin/env python3
"""Hundreds of invented people, each with an environment and files of their own: ferry must find the same credentials as
botocore. Usage: credentials.py FERRY (aws_test is expected beside it)"""
import hashlib
import http.server
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import urllib.parse

try:
    import botocore
    import botocore.credentials
    import botocore.session
    import botocore.tokens
except ImportError:
    print("SKIP: botocore is not installed")
    sys.exit(77)

# Before 1.31 it knows no AWS_ENDPOINT_URL, by which it is led to this computer; before 1.40 it uses single sign-on
# tokens that are over.
if tuple(int(part) for part in botocore.__version__.split(".")[:2]) < (1, 40):
    print(f"SKIP: botocore {botocore.__version__} is too old to judge by (1.40 or newer: pip install -U boto3)")
    sys.exit(77)

PEOPLE = 400
random.seed(int(os.environ.get("FERRY_SEED", "20150830")))
END = "2035-01-01T00:00:00Z"


class Aws(http.server.BaseHTTPRequestHandler):
    """STS, single sign-on, a container's agent and an instance's metadata in one. Its keys tell how they came about."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        form = dict(urllib.parse.parse_qsl(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()))
        signer = re.search(r"Credential=([^/]+)/", self.headers.get("Authorization", ""))
        by = signer[1] if signer else form.get("WebIdentityToken", "nobody")
        name = f"{by}+{form['RoleArn'].split('/')[-1]}"
        action = form["Action"]
        self.reply(
            f"<{action}Response><{action}Result><Credentials><AccessKeyId>{name}</AccessKeyId>"
            f"<SecretAccessKey>s</SecretAccessKey><SessionToken>t-{name}</SessionToken><Expiration>{END}</Expiration>"
            f"</Credentials><AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/x/y</Arn><AssumedRoleId>A:y"
            f"</AssumedRoleId></AssumedRoleUser></{action}Result></{action}Response>"
        )

    def do_PUT(self):
        self.reply("TOKEN")

    def do_GET(self):
        keys = {"AccessKeyId": "", "SecretAccessKey": "s", "Token": "t", "Expiration": END, "Code": "Success"}
        if self.path.startswith("/federation/credentials"):
            query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))
            token = self.headers.get("x-amz-sso_bearer_token")
            if token != "ACCESS":
                return self.reply('{"message": "no"}', 401)
            return self.reply(
                json.dumps(
                    {
                        "roleCredentials": {
                            "accessKeyId": f"SSO+{query['role_name']}",
                            "secretAccessKey": "s",
                            "sessionToken": "t",
                            "expiration": 2051222400000,
                        }
                    }
                )
            )
        if self.path == "/container":
            return self.reply(json.dumps({**keys, "AccessKeyId": "CONTAINER"}))
        if self.path.endswith("security-credentials/"):
            return self.reply("role")
        return self.reply(json.dumps({**keys, "AccessKeyId": "INSTANCE"}))

    def reply(self, text, status=200):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *ignored):
        pass


def chance(of):
    return random.randrange(of) == 0


def pick(*choices):
    return random.choice(choices)


def keys(name):
    """Two halves, seldom one, sometimes a token."""
    lines = [f"aws_access_key_id = {name}"] + ([] if chance(25) else ["aws_secret_access_key = s"])
    return lines + ([f"aws_session_token = t-{name}"] if chance(3) else [])


def config_profile(name, others, home, number):
    lines = []
    if chance(4):
        lines += keys(f"CONFIG.{name}")
    if chance(5):
        answer = json.dumps(
            {"Version": 1, "AccessKeyId": f"PROCESS.{name}", "SecretAccessKey": "s"}, separators=(",", ":")
        )
        lines.append(
            f"credential_process = echo '{answer}'"
            if chance(2)
            else 'credential_process = echo "%s"' % answer.replace('"', '\\"')
        )
    if chance(3):
        lines.append(f"role_arn = arn:aws:iam::123456789012:role/{name}")
        if not chance(8):
            lines.append(f"source_profile = {pick(*others, *others, *others, 'nobody' if chance(4) else name)}")
        if chance(6):
            lines.append(f"credential_source = {pick('Environment', 'EcsContainer', 'Ec2InstanceMetadata')}")
        if chance(8):
            lines.append(f"web_identity_token_file = {home}/token")
        if chance(4):
            lines.append("duration_seconds = 1800")
    if chance(6):
        lines += ["sso_session = corp", "sso_account_id = 123456789012", f"sso_role_name = {name}"]
    elif chance(8):
        lines += [
            "sso_start_url = https://old.example/start",
            "sso_region = eu-west-1",
            "sso_account_id = 123456789012",
            f"sso_role_name = {name}",
        ]
    if chance(3):
        lines.append("region = eu-west-3")
    random.shuffle(lines)
    return lines


def person(scratch, number, url):
    home = os.path.join(scratch, str(number))
    cache = os.path.join(home, ".aws/sso/cache")
    os.makedirs(cache)
    names = ["default", "a", "b"]
    config, shared = [], []
    for name in names:
        if not chance(6):
            header = (
                "default" if name == "default" else pick(f"profile {name}", f'profile "{name}"', f"profile  {name}")
            )
            config += [f"[{header}]", *config_profile(name, [n for n in names if n != name], home, number), ""]
        if chance(4):
            shared += [f"[{name}]", *keys(f"SHARED.{name}"), ""]
    config += ["[sso-session corp]", "sso_start_url = https://corp.example/start", "sso_region = eu-west-1", ""]
    for path, lines in ((".aws/config", config), (".aws/credentials", shared)):
        with open(os.path.join(home, path), "w") as file:
            file.write("\n".join(lines) + "\n")
    with open(os.path.join(home, "token"), "w") as file:
        file.write("WEBTOKEN")
    for key in ("corp", "https://old.example/start"):
        if chance(8):
            continue
        with open(os.path.join(cache, hashlib.sha1(key.encode()).hexdigest() + ".json"), "w") as file:
            json.dump(
                {
                    "accessToken": "ACCESS" if not chance(10) else "REVOKED",
                    "startUrl": "x",
                    "region": "eu-west-1",
                    "expiresAt": pick(END, END, END, END, END, "2020-01-01T00:00:00Z"),
                },
                file,
            )
    env = {
        "HOME": home,
        "AWS_ENDPOINT_URL": url,
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "PATH": os.environ["PATH"],
        "AWS_MAX_ATTEMPTS": "1",
    }
    if chance(4):
        env["AWS_PROFILE"] = pick("a", "b", "a", "nobody" if chance(4) else "b")
    if chance(5):
        env["AWS_ACCESS_KEY_ID"] = "ENV"
        if not chance(10):
            env["AWS_SECRET_ACCESS_KEY"] = "s"
        if chance(2):
            env["AWS_SESSION_TOKEN"] = "t-ENV"
    if chance(8):
        env["AWS_WEB_IDENTITY_TOKEN_FILE"] = home + "/token"
        if not chance(5):
            env["AWS_ROLE_ARN"] = "arn:aws:iam::123456789012:role/pod"
    if chance(5):
        env["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = url + "/container"
    if chance(3):
        del env["AWS_EC2_METADATA_DISABLED"]
        env["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = url + "/"
    return {"home": home, "env": env, "profile": pick("a", "b") if chance(6) else ""}


def by_botocore(someone):
    os.environ.clear()
    os.environ.update(someone["env"])
    for provider in (botocore.credentials.SSOProvider, botocore.tokens.SSOTokenProvider):
        provider._SSO_TOKEN_CACHE_DIR = someone["home"] + "/.aws/sso/cache"  # it looked at HOME when it was loaded
    try:
        session = botocore.session.Session(profile=someone["profile"] or None)
        session.set_config_variable("region", "eu-west-1")
        found = session.get_credentials()
        if found is None:
            return {"error": "none"}
        frozen = found.get_frozen_credentials()
        return {"key": frozen.access_key, "token": frozen.token or ""}
    except Exception as error:  # whatever it is, there are no credentials
        return {"error": f"{type(error).__name__}: {error}"}


def main():
    tests = os.path.join(os.path.dirname(os.path.abspath(sys.argv[1])), "aws_test")
    if not os.access(tests, os.X_OK):
        print("SKIP: aws_test is not beside ferry")
        sys.exit(77)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Aws)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    scratch, own = tempfile.mkdtemp(), dict(os.environ)
    for name in [name for name in os.environ if name.startswith("AWS_") or name.lower().endswith("_proxy")]:
        del own[name]
    people = [person(scratch, number, f"http://127.0.0.1:{server.server_port}") for number in range(PEOPLE)]
    file = os.path.join(scratch, "people.json")
    with open(file, "w") as out:
        json.dump(people, out)
    subprocess.run(
        [tests, "--gtest_brief=1", "--gtest_filter=Whoever.*"], env={**own, "FERRY_PEOPLE": file}, check=True
    )
    with open(file + ".answers") as answers:
        ours = json.load(answers)
    differing, ways = 0, {}
    for someone, mine in zip(people, ours):
        theirs = by_botocore(someone)
        way = re.split(r"[.+]", theirs.get("key", "(none)"))[0]
        ways[way] = ways.get(way, 0) + 1
        same = mine == theirs if "key" in theirs else "error" in mine
        if not same:
            differing += 1
            print(f"{someone['home']}\n  ferry:    {mine}\n  botocore: {theirs}")
            if differing == 1:
                print(
                    json.dumps({k: v for k, v in someone["env"].items() if k.startswith("AWS")}, indent=1),
                    someone["profile"],
                )
                for name in ("config", "credentials"):
                    print(f"-- {name}\n" + open(os.path.join(someone["home"], ".aws", name)).read())
    print(f"{PEOPLE} people, {differing} of them with other credentials than botocore finds; botocore's: {ways}")
    if not differing or "--keep" not in sys.argv:
        shutil.rmtree(scratch)
    sys.exit(1 if differing else 0)


main()
