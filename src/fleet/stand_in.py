# On a machine that AWS started in the place of one that is gone: brings ferry's agent from the run's store, with the
# machine's own role, and leaves the rest to it. Run by cloud-init as  python3 -c SCRIPT ORDER.  Where that cannot be
# done, no further machine is wanted, and this one ends.
import datetime, hashlib, hmac, json, os, pwd, subprocess, sys, time, urllib.error, urllib.parse, urllib.request

order = json.loads(sys.argv[1])
here = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://169.254.169.254").rstrip("/") + "/latest/"
direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def metadata(path):
    ask = urllib.request.Request(
        here + "api/token", method="PUT", headers={"X-aws-ec2-metadata-token-ttl-seconds": "300"}
    )
    token = direct.open(ask, timeout=10).read().decode()
    ask = urllib.request.Request(here + "meta-data/" + path, headers={"X-aws-ec2-metadata-token": token})
    return direct.open(ask, timeout=10).read().decode().strip()


def call(service, region, method, url, body=b"", headers={}):
    role = metadata("iam/security-credentials/").split()[0]
    key = json.loads(metadata("iam/security-credentials/" + role))
    now = datetime.datetime.utcnow()
    stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    place = urllib.parse.urlsplit(url)
    digest = hashlib.sha256(body).hexdigest()
    sent = dict(
        headers,
        **{
            "host": place.netloc,
            "x-amz-date": stamp,
            "x-amz-content-sha256": digest,
            "x-amz-security-token": key["Token"],
        }
    )
    names = ";".join(sorted(sent))
    lines = [
        method,
        place.path or "/",
        place.query,
        *("%s:%s" % (one, sent[one]) for one in sorted(sent)),
        "",
        names,
        digest,
    ]
    scope = "%s/%s/%s/aws4_request" % (day, region, service)
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256("\n".join(lines).encode()).hexdigest()])
    secret = ("AWS4" + key["SecretAccessKey"]).encode()
    for part in (day, region, service, "aws4_request", text):
        secret = hmac.new(secret, part.encode(), hashlib.sha256).digest()
    sent["Authorization"] = "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s" % (
        key["AccessKeyId"],
        scope,
        names,
        secret.hex(),
    )
    return urllib.request.urlopen(
        urllib.request.Request(url, data=body or None, method=method, headers=sent), timeout=60
    ).read()


def suffix(region):
    return region + (".amazonaws.com.cn" if region.startswith("cn-") else ".amazonaws.com")


def agent():
    s3, region = order["s3"], order["s3"]["region"] or metadata("placement/region")
    for wait in (1, 2, 5, 10, 30, 60, 60):
        base = (
            s3["endpoint"] + "/" + s3["bucket"]
            if s3["endpoint"]
            else "https://s3.%s/%s" % (suffix(region), s3["bucket"])
        )
        try:
            program = call("s3", region, "GET", base + "/" + urllib.parse.quote(s3["key"]))
            if hashlib.sha256(program).hexdigest() == order["sha256"]:
                return program
            print("the agent in the store is not the one that was put there", flush=True)
        except urllib.error.HTTPError as wrong:
            region = wrong.headers.get("x-amz-bucket-region") or region
            print(wrong, wrong.read()[:500], flush=True)
        except (OSError, ValueError, LookupError) as wrong:
            print(wrong, flush=True)
        time.sleep(wait)
    sys.exit("the agent cannot be brought from the store")


def give_up():
    group = order["group"]
    words = urllib.parse.urlencode(
        {
            "Action": "SetDesiredCapacity",
            "Version": "2011-01-01",
            "AutoScalingGroupName": group["name"],
            "DesiredCapacity": 0,
        }
    )
    url = group["endpoint"] or "https://autoscaling." + suffix(group["region"])
    try:
        call(
            "autoscaling",
            group["region"],
            "POST",
            url + "/",
            words.encode(),
            {"content-type": "application/x-www-form-urlencoded"},
        )
    finally:
        subprocess.call("shutdown -h now || poweroff", shell=True)


def start(program):
    surroundings = dict(os.environ)
    if os.getuid() == 0:
        user = pwd.getpwnam(order["user"])
        surroundings.update(HOME=user.pw_dir, USER=user.pw_name, LOGNAME=user.pw_name, SHELL=user.pw_shell)
    home = surroundings["HOME"]
    try:
        with open("/etc/ssh/ssh_host_ed25519_key.pub") as file:
            host_key = " ".join(file.read().split()[:2])
    except OSError:
        host_key = ""
    with open("/proc/uptime") as file:
        launched = time.time() - float(file.read().split()[0])
    zone = metadata("placement/availability-zone")
    self = {
        "instance": metadata("instance-id"),
        "type": metadata("instance-type"),
        "zone": zone,
        "region": order["group"]["region"],
        "host_key": host_key,
        "launched_ms": int(launched * 1000),
        "problem": "",
    }
    if os.fork():
        return
    os.setsid()
    if os.getuid() == 0:
        os.initgroups(user.pw_name, user.pw_gid)
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)
    os.umask(0o077)
    folder, path = home + "/.ferry/runs/" + order["run"], home + "/.ferry/bin/" + order["name"]
    for one in (os.path.dirname(path), folder):
        os.makedirs(one, exist_ok=True)
    with open(path + ".new", "wb") as file:
        file.write(program)
    os.chmod(path + ".new", 0o700)
    os.rename(path + ".new", path)
    os.umask(0o022)
    os.chdir(home)
    with open(folder + "/stand-in.log", "ab") as log:
        agent = subprocess.Popen(
            [path, "stand-in", folder], stdin=subprocess.PIPE, stdout=log, stderr=log, env=surroundings
        )
        agent.communicate(
            json.dumps({"run": order["run"], "store": order["store"], "group": order["group"], "self": self}).encode()
        )


try:
    start(agent())
except BaseException:
    give_up()
    raise
