#!/usr/bin/env python3
"""`ferry store` and the role of a machine that stores, against moto's S3, IAM and STS; requests to IAM and STS are
judged by AWS's own models and botocore's signer on their way. Usage: store.py FERRY [test_name] (fleet_test is expected
beside it)"""
import contextlib
import datetime
import hashlib
import http.client
import http.server
import json
import os
import pathlib
import subprocess
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "program"))
try:
    import boto3
    from moto.core.base_backend import BackendDict
    from moto.s3.models import s3_backends
    from moto_cloud import ACCOUNT, Answer, start_moto
    from proxy import Proxy, pass_on
except ImportError as error:
    print(f"SKIP: {error.name} is not installed")
    sys.exit(77)
from lib import FERRY, Home, main

OWN = f"ferry-{ACCOUNT}-us-east-1"
BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/ferry/ferry-store"
moto = start_moto()


class WithoutPolicies(http.server.BaseHTTPRequestHandler):
    """Passes all on to moto's S3 but policies of buckets: it heeds no condition, and what refuses plain HTTP would
    refuse everything."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.command == "PUT" and self.path.endswith("?policy="):
            self.send_response(204)
            self.end_headers()
            return
        upstream = http.client.HTTPConnection(moto)
        upstream.request(
            self.command,
            self.path,
            body,
            {name: value for name, value in self.headers.items() if name.lower() != "connection"},
        )
        answer = upstream.getresponse()
        text = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "transfer-encoding", "date", "server", "content-length"):
                self.send_header(name, value)
        self.send_header(
            "Content-Length", answer.getheader("Content-Length", "0") if self.command == "HEAD" else str(len(text))
        )
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    do_PUT = do_POST = do_DELETE = do_HEAD = do_GET

    def log_message(self, *_):
        pass


def client(service):
    return boto3.client(
        service,
        endpoint_url=f"http://{moto}",
        region_name="us-east-1",
        aws_access_key_id="A",
        aws_secret_access_key="secret",
    )


@contextlib.contextmanager
def account(denied=()):
    BackendDict.reset()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), WithoutPolicies)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    refusal = Answer(
        403, [], b"<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>"
    )
    proxy = Proxy("secret", lambda request: refusal if request.action in denied else pass_on(moto, request))
    with contextlib.ExitStack() as afterwards, Home() as home:
        afterwards.callback(server.shutdown)
        afterwards.callback(proxy.close)
        home.env.update(
            AWS_ACCESS_KEY_ID="A",
            AWS_SECRET_ACCESS_KEY="secret",
            AWS_REGION="us-east-1",
            AWS_ENDPOINT_URL=proxy.url,
            AWS_ENDPOINT_URL_S3=f"http://127.0.0.1:{server.server_port}",
        )
        yield home
        assert not proxy.complaints, "\n".join(sorted(set(proxy.complaints)))


def boundary():
    iam = client("iam")
    version = iam.get_policy(PolicyArn=BOUNDARY)["Policy"]["DefaultVersionId"]
    return version, iam.get_policy_version(PolicyArn=BOUNDARY, VersionId=version)["PolicyVersion"]["Document"]


def stored(bucket, prefix, run, complete=True):
    """A run with one output, a piece that nothing names, and an upload that broke off."""
    s3, below = client("s3"), f"{prefix}runs/{run}/a1/r0/"
    key = f"runs/{run}/a1/r0/outputs/outputs/m"
    manifest = {
        "format": 1,
        "run": run,
        "attempt": 1,
        "rank": 0,
        "made_ms": 1,
        "complete": complete,
        "entries": [
            {
                "path": "outputs/m",
                "kind": "output",
                "bytes": 5,
                "sha256": hashlib.sha256(b"model").hexdigest(),
                "mode": 0o644,
                "key": key,
                "mtime_ns": 1,
            }
        ],
    }
    written = lambda value: json.dumps(value, sort_keys=True, separators=(",", ":"))
    manifest["sha256"] = hashlib.sha256(written(manifest).encode()).hexdigest()
    s3.put_object(Bucket=bucket, Key=prefix + key, Body=b"model")
    s3.put_object(Bucket=bucket, Key=below + "outputs/half", Body=b"unnamed")
    s3.put_object(Bucket=bucket, Key=below + "manifest.json", Body=written(manifest).encode())
    s3.create_multipart_upload(Bucket=bucket, Key=below + "outputs/broken")


def let_days_pass(bucket):
    for key in s3_backends[ACCOUNT]["aws"].buckets[bucket].keys.values():
        key.last_modified -= datetime.timedelta(days=3)


def keys(bucket):
    return [one["Key"] for one in client("s3").list_objects_v2(Bucket=bucket).get("Contents", [])]


def test_a_bucket_of_ones_own_is_made_with_the_boundary_of_roles_and_the_settings_say_so():
    with account() as home:
        settings = home.root / ".config/ferry/config.yaml"
        settings.parent.mkdir(parents=True)
        settings.write_text("# mine\ndefaults: ferry\n")
        asked = home.ferry("store", "setup")
        assert asked.returncode == 2 and OWN in asked.err and "$0.023" in asked.err and "--yes" in asked.err, asked.err
        assert not client("s3").list_buckets()["Buckets"], "nothing is made without a yes"
        done = json.loads(home.good("store", "setup", "--yes", "--json").out)
        assert done["store"] == f"s3://{OWN}" and done["new"] and done["bounded"] and done["account"] == ACCOUNT, done
        assert settings.read_text() == f"# mine\ndefaults: ferry\nstore: s3://{OWN}\n"
        blocked = client("s3").get_public_access_block(Bucket=OWN)["PublicAccessBlockConfiguration"]
        assert all(blocked.values()), blocked
        version, document = boundary()
        assert version == "v1" and len(document["Statement"]) == 4, document
        assert document["Statement"][0]["Resource"] == [f"arn:aws:s3:::{OWN}/runs/*"], document
        again = json.loads(home.good("store", "setup", "--yes", "--json").out)
        assert not again["new"] and boundary()[0] == "v1", "there is nothing to add"
        client("s3").create_bucket(Bucket="team-bucket")
        other = json.loads(home.good("store", "setup", "s3://team-bucket/x", "--yes", "--json").out)
        assert not other["new"] and settings.read_text().endswith("store: s3://team-bucket/x\n"), other
        version, document = boundary()
        assert version == "v2" and len(document["Statement"]) == 7, document
        assert not json.loads(home.good("store", "ls", "--json").out)["runs"]


def test_who_may_not_make_the_boundary_is_told_what_that_means():
    with account(denied=("CreatePolicy",)) as home:
        done = home.ferry("store", "setup", "--yes")
        assert done.returncode == 1 and "iam:CreatePolicy" in done.err and "administrator" in done.err, done.err
        assert "store: s3://" in (home.root / ".config/ferry/config.yaml").read_text()


def test_a_bucket_that_is_not_there_is_said_with_what_makes_it():
    with account() as home:
        done = home.ferry("store", "ls", "--store", "s3://no-such-bucket/x")
        assert done.returncode == 125 and "NoSuchBucket" in done.err and "ferry store setup" in done.err, done.err


def test_what_is_stored_is_listed_cleared_and_removed():
    with account() as home:
        home.good("store", "setup", "--yes")
        for run in ("digits-abc", "going-abc"):
            stored(OWN, "", run, complete=run != "going-abc")
        runs = {one["run"]: one for one in json.loads(home.good("store", "ls", "--json").out)["runs"]}
        assert (
            runs["digits-abc"]["state"] == "complete"
            and runs["going-abc"]["state"] == "partial"
            and runs["digits-abc"]["files"] == 1
        ), runs
        files = json.loads(home.good("store", "ls", "digits-abc", "--json").out)["files"]
        assert [(one["path"], one["bytes"]) for one in files] == [("outputs/m", 5)], files
        used = json.loads(home.good("store", "du", "--json").out)
        assert used["runs"][0]["outputs_bytes"] == 12 and used["about_usd_a_month"] > 0, used
        fresh = json.loads(home.good("store", "gc", "--yes", "--json").out)
        assert not fresh["objects"], fresh
        let_days_pass(OWN)
        seen = json.loads(home.good("store", "gc", "--dry-run", "--json").out)
        assert seen["objects"] == ["runs/digits-abc/a1/r0/outputs/half"] and not seen["removed"], seen
        assert "runs/digits-abc/a1/r0/outputs/half" in keys(OWN)
        assert home.ferry("store", "gc").returncode == 2, "nobody said yes"
        home.good("store", "gc", "--yes")
        assert "runs/digits-abc/a1/r0/outputs/half" not in keys(OWN) and "runs/going-abc/a1/r0/outputs/half" in keys(
            OWN
        ), keys(OWN)
        refused = home.ferry("store", "rm", "digits-abc")
        assert (
            refused.returncode == 2 and "--yes" in refused.err and "runs/digits-abc/a1/r0/manifest.json" in keys(OWN)
        ), refused.err
        home.good("store", "rm", "digits-abc", "--yes")
        assert all(one.startswith("runs/going-abc/") for one in keys(OWN)), keys(OWN)
        home.good("store", "rm", "going-abc", "--yes")
        assert not keys(OWN) and "Uploads" not in client("s3").list_multipart_uploads(Bucket=OWN)
        assert home.ferry("store", "rm", "going-abc", "--yes").returncode == 125


def test_the_role_of_a_machine_lives_as_long_as_its_run():
    tests = pathlib.Path(FERRY).parent / "fleet_test"
    if not os.access(tests, os.X_OK):
        return
    BackendDict.reset()
    ran = subprocess.run(
        [tests, "--gtest_filter=StoreRoleOverMoto.*"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "FERRY_MOTO_URL": f"http://{moto}"},
    )
    assert ran.returncode == 0 and "SKIPPED" not in ran.stdout, ran.stdout + ran.stderr
    assert not client("iam").list_roles(PathPrefix="/ferry/")["Roles"]


if __name__ == "__main__":
    main(globals())
