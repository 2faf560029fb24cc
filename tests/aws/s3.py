#!/usr/bin/env python3
"""The S3 store of ferry against moto, every request judged by botocore's signer and AWS's own model of S3 on its way
through a proxy that can break things: the contract of every store, transfers broken in their middle, TLS and proxies,
ferry's own bucket, presigned URLs, the role of a machine. Usage: s3.py FERRY (s3_test and store_probe are expected
beside it)"""
import hashlib
import http.client
import http.server
import json
import os
import pathlib
import re
import select
import socket
import socketserver
import ssl
import subprocess
import sys
import tempfile
import threading
import urllib.parse
import urllib.request

try:
    import boto3
    import models
    from moto_cloud import start_moto
    from s3_model import check_model
except ImportError as error:
    print(f"SKIP: {error.name} is not installed")
    sys.exit(77)

BUILD = pathlib.Path(sys.argv[1]).resolve().parent
PROBE, TESTS = BUILD / "store_probe", BUILD / "s3_test"
complaints, requests = [], []


def judge_is_not_blind():
    good = "PUT", "http://h/b/k", {"x-amz-date": "d", "x-amz-meta-a": "b", "x-amz-checksum-sha256": "c"}
    assert check_model(*good) == [], check_model(*good)
    for method, url, headers in (
        ("PUT", "http://h/b/k?what=1", {}),
        ("PUT", "http://h/b/k", {"x-amz-checksum-sha": "c"}),
        ("PATCH", "http://h/b/k", {}),
        ("POST", "http://h/b/k?upload=", {}),
        ("GET", "http://h/b/k", {"x-amz-meta-a": "b"}),
    ):
        assert check_model(method, url, headers), f"{method} {url} {headers} passes"


class Handler(http.server.BaseHTTPRequestHandler):
    """Judges, breaks what the test wants broken (server.fault), and passes the rest on to moto."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        length = int(self.headers.get("Content-Length", 0))
        scheme = "https" if isinstance(self.connection, ssl.SSLSocket) else "http"
        url = f"{scheme}://{self.headers['Host']}{self.path}"
        what = self.server.fault(self.command, self.path, dict(self.headers))
        if what == "cut upload":
            self.rfile.read(length // 2)
            self.close_connection = True
            return
        body = self.rfile.read(length)
        if what == "pretend":  # to have done it
            self.server.pretended.append(body)
            self.send_response(204)
            self.end_headers()
            return
        requests.append((self.command, self.path))
        if "X-Amz-Signature=" not in self.path:
            found = models.check_signature(self.command, url, dict(self.headers), body, "secret")
            if not models.check_signature(self.command, url, dict(self.headers), body, "another secret"):
                found.append("botocore's signer is blind")
            if scheme == "http" and self.headers["x-amz-content-sha256"] != hashlib.sha256(body).hexdigest():
                found.append("the body is not what was signed")
            complaints.extend(
                f"{self.command} {self.path}: {one}"
                for one in found + check_model(self.command, self.virtual(url), dict(self.headers))
            )
        upstream = http.client.HTTPConnection(self.server.moto)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")}
        upstream.request(self.command, self.virtual(self.path), body, headers)
        answer = upstream.getresponse()
        text = answer.read()
        if what == "lose":
            self.close_connection = True
            return
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "transfer-encoding", "date", "server", "content-length"):
                self.send_header(name, value)
        self.send_header(
            "Content-Length", str(answer.getheader("Content-Length", 0) if self.command == "HEAD" else len(text))
        )
        self.end_headers()
        if what == "cut download":
            text = text[: len(text) // 2]
            self.close_connection = True
        if self.command != "HEAD":
            self.wfile.write(text)

    do_PUT = do_POST = do_DELETE = do_HEAD = do_GET

    def virtual(self, url):
        """The bucket of a virtual host is the first part of the path for moto and the model."""
        host = self.headers["Host"]
        if not host.endswith(".s3.example.test"):
            return url
        before, _, path = url.partition(host) if "://" in url else ("", "", url)
        return f"{before}{host if before else ''}/{host.split('.')[0]}{path}"

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    def __init__(self, moto, context=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.moto, self.fault, self.pretended = moto, lambda *_: None, []
        if context:
            self.socket = context.wrap_socket(self.socket, server_side=True)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], (ConnectionError, ssl.SSLError)):
            super().handle_error(request, client_address)


class Tunnel(socketserver.BaseRequestHandler):
    """A proxy that lets everything through to one place, and wants to know who asks."""

    def handle(self):
        head = b""
        while b"\r\n\r\n" not in head:
            head += self.request.recv(4096)
        line = head.decode().splitlines()[0]
        self.server.asked.append(line)
        if b"Proxy-Authorization: Basic dXNlcjpwYXNz" not in head:
            self.request.sendall(b"HTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n")
            return
        with socket.create_connection(("127.0.0.1", self.server.to)) as other:
            self.request.sendall(b"HTTP/1.1 200 Go\r\n\r\n")
            pairs = {self.request: other, other: self.request}
            while True:
                for one in select.select(list(pairs), [], [])[0]:
                    bytes_ = one.recv(65536)
                    if not bytes_:
                        return
                    pairs[one].sendall(bytes_)


class Metadata(http.server.BaseHTTPRequestHandler):
    """IMDSv2, that gives the role's credentials only to who has a token; the first look finds no role yet."""

    def do_PUT(self):
        self.say(
            200
            if self.path == "/latest/api/token" and self.headers.get("x-aws-ec2-metadata-token-ttl-seconds")
            else 400,
            "the-token",
        )

    def do_GET(self):
        if self.headers.get("x-aws-ec2-metadata-token") != "the-token":
            return self.say(401, "")
        self.server.looked += 1
        keys = {
            "Code": "Success",
            "AccessKeyId": "A",
            "SecretAccessKey": "secret",
            "Token": "t",
            "Expiration": "2035-01-01T00:00:00Z",
        }
        answers = {
            "/latest/meta-data/placement/region": "eu-west-1",
            "/latest/meta-data/iam/security-credentials/": "the-role",
            "/latest/meta-data/iam/security-credentials/the-role": json.dumps(keys),
        }
        return self.say(200, answers[self.path]) if self.path in answers else self.say(404, "")

    def say(self, status, text):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


class World:
    def __init__(self, folder):
        self.folder = folder
        self.moto = start_moto()
        self.server = Server(self.moto)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.s3 = boto3.client(
            "s3",
            endpoint_url=f"http://{self.moto}",
            region_name="us-east-1",
            aws_access_key_id="A",
            aws_secret_access_key="secret",
        )
        self.s3.create_bucket(Bucket="test-bucket")
        self.env = {
            **{k: v for k, v in os.environ.items() if "proxy" not in k.lower() and not k.startswith("AWS_")},
            "AWS_ACCESS_KEY_ID": "A",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL_S3": self.url,
            "FERRY_ACCOUNT": "123456789012",
            "FERRY_PART_MB": "5",
            "FERRY_CONNECTIONS": "2",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def probe(self, *words, store="s3://test-bucket/p", **env):
        done = subprocess.run(
            [PROBE, store, *map(str, words)], capture_output=True, text=True, env={**self.env, **env}, check=False
        )
        assert done.stdout, done.stderr
        said = json.loads(done.stdout)
        assert said["rss_kb"] < 20 * 1024, f"{words}: {said['rss_kb']} KB of memory"
        return said.get("result"), said.get("error")

    def good(self, *words, **more):
        result, error = self.probe(*words, **more)
        assert error is None, error
        return result

    def kind(self, *words, **more):
        return (self.probe(*words, **more)[1] or {}).get("kind")

    def file(self, name, size):
        path = self.folder / name
        path.write_bytes(os.urandom(size))
        return path


def keep_policy_from_moto(method, path, _):
    """It heeds no condition: what refuses plain HTTP would refuse everything."""
    return "pretend" if method == "PUT" and path.endswith("?policy=") else None


def test_every_store_keeps_its_contract(world):
    world.server.fault = keep_policy_from_moto
    ran = subprocess.run(
        [TESTS, "--gtest_filter=S3Store.*"],
        capture_output=True,
        text=True,
        check=False,
        env={**world.env, "FERRY_S3_ENDPOINT": world.url},
    )
    assert ran.returncode == 0 and "SKIPPED" not in ran.stdout, ran.stdout + ran.stderr


def test_an_upload_broken_in_its_middle_goes_on(world):
    path, state = world.file("large", 17_000_000), world.folder / "state"
    state.mkdir()
    world.server.fault = lambda method, target, _: "cut upload" if "partNumber=3" in target else None
    assert world.kind("put", path, "broken", FERRY_STATE=str(state), FERRY_ATTEMPTS="2") == "lost"
    assert world.kind("look", "broken") == "not_found"
    world.server.fault = lambda *_: None
    del requests[:]
    world.good("put", path, "broken", FERRY_STATE=str(state))
    sent = [target for method, target in requests if method == "PUT"]
    assert len(sent) < 4 and any("partNumber=3" in one for one in sent), sent
    assert world.s3.get_object(Bucket="test-bucket", Key="p/broken")["Body"].read() == path.read_bytes()
    assert not list(state.iterdir()) and "Uploads" not in world.s3.list_multipart_uploads(Bucket="test-bucket")


def test_an_upload_whose_last_answer_is_lost_is_complete(world):
    path, lost = world.file("large", 11_000_000), []

    def lose(method, target, _):
        return "lose" if method == "POST" and "uploadId=" in target and not lost and not lost.append(1) else None

    world.server.fault = lose
    world.good("put", path, "lost")
    assert lost and world.s3.get_object(Bucket="test-bucket", Key="p/lost")["Body"].read() == path.read_bytes()


def test_a_download_broken_in_its_middle_goes_on(world):
    path, home = world.file("large", 17_000_000), world.folder / "home"
    world.good("put", path, "down")
    world.server.fault = (
        lambda method, _, headers: "cut download" if headers.get("Range", "").startswith("bytes=10485760") else None
    )
    assert world.kind("get", "down", home, FERRY_ATTEMPTS="2") == "lost"
    assert not home.exists()
    world.server.fault = lambda *_: None
    del requests[:]
    world.good("get", "down", home)
    assert home.read_bytes() == path.read_bytes()
    assert sum(method == "GET" for method, _ in requests) < 4, requests
    assert not list(world.folder.glob(".ferry-part-*"))


def test_conditions_hold_between_two_and_survive_a_lost_answer(world):
    lost = []
    world.server.fault = lambda method, *_: "lose" if method == "PUT" and not lost and not lost.append(1) else None
    version = world.good("put-if-absent", "lease", "mine")
    assert lost and world.kind("put-if-absent", "lease", "theirs") == "conflict"
    world.good("put-if", version, "lease", "still mine")
    assert world.kind("put-if", version, "lease", "theirs") == "conflict"


def test_lists_of_more_than_a_page_are_whole_and_removed_whole(world):
    for i in range(1003):
        world.s3.put_object(Bucket="test-bucket", Key=f"p/many/{i:04}", Body=b"x")
    world.s3.put_object(Bucket="test-bucket", Key="p/many/folder/", Body=b"")  # as a console makes them
    assert [one["key"] for one in world.good("list", "many/")] == [f"many/{i:04}" for i in range(1003)]
    world.good("remove-all", "many/")
    assert world.good("list", "many/") == []


def test_a_bucket_of_ferrys_own_is_closed_encrypted_and_swept(world):
    own, world.server.fault = "s3://ferry-own-bucket", keep_policy_from_moto
    assert world.good("bucket", store=own, AWS_REGION="eu-west-1") == "made"
    assert world.s3.get_bucket_location(Bucket="ferry-own-bucket")["LocationConstraint"] == "eu-west-1"
    assert all(world.s3.get_public_access_block(Bucket="ferry-own-bucket")["PublicAccessBlockConfiguration"].values())
    assert "AES256" in str(
        world.s3.get_bucket_encryption(Bucket="ferry-own-bucket")["ServerSideEncryptionConfiguration"]
    )
    policy = json.loads(world.server.pretended[-1])
    assert (
        policy["Statement"][0]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        and policy["Statement"][0]["Effect"] == "Deny"
    )
    rules = lambda: world.s3.get_bucket_lifecycle_configuration(Bucket="ferry-own-bucket")["Rules"]
    theirs = {"ID": "theirs", "Status": "Enabled", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 3}}
    world.s3.put_bucket_lifecycle_configuration(Bucket="ferry-own-bucket", LifecycleConfiguration={"Rules": [theirs]})
    assert world.good("bucket", store=own, AWS_REGION="eu-west-1") == "there"
    assert sorted(one["ID"] for one in rules()) == ["ferry-unfinished-uploads", "theirs"]
    ours = next(one for one in rules() if one["ID"] != "theirs")
    assert ours["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7} and "Expiration" not in ours


def test_presigned_urls_let_others_get_and_put(world):
    put = world.good("presign", "PUT", "signed")
    urllib.request.urlopen(
        urllib.request.Request(put, b"by others", {"Content-Type": "text/plain"}, method="PUT")
    ).close()
    assert urllib.request.urlopen(world.good("presign", "GET", "signed")).read() == b"by others"


def test_tls_is_checked_and_goes_through_a_proxy(world):
    keys = world.folder / "keys"
    keys.mkdir()
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=test",
            "-keyout",
            keys / "key",
            "-out",
            keys / "cert",
            "-addext",
            "subjectAltName=DNS:localhost,DNS:*.s3.example.test",
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(keys / "cert", keys / "key")
    server = Server(world.moto, context)
    path, trusted = world.file("large", 6_000_000), {"AWS_CA_BUNDLE": str(keys / "cert")}
    at = {"AWS_ENDPOINT_URL_S3": f"https://localhost:{server.server_port}"}
    world.good("put", path, "tls", **at, **trusted)
    assert world.s3.get_object(Bucket="test-bucket", Key="p/tls")["Body"].read() == path.read_bytes()
    once = {"FERRY_ATTEMPTS": "1"}
    assert world.kind("look", "tls", **at, **once) == "denied", "a stranger's certificate is trusted"
    assert (
        world.kind("look", "tls", **once, **trusted, AWS_ENDPOINT_URL_S3=f"https://127.0.0.1:{server.server_port}")
        == "denied"
    ), "the name is not checked"
    assert world.kind("look", "tls", **at, AWS_CA_BUNDLE="/nonexistent") == "bad_input"
    tunnel = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Tunnel)
    tunnel.to, tunnel.asked, tunnel.daemon_threads = server.server_port, [], True
    threading.Thread(target=tunnel.serve_forever, args=(0.05,), daemon=True).start()
    through = {
        "AWS_ENDPOINT_URL_S3": "https://s3.example.test",
        "HTTPS_PROXY": f"http://user:pass@127.0.0.1:{tunnel.server_address[1]}",
        **trusted,
    }
    world.good("get", "tls", world.folder / "tls", **through)
    assert (world.folder / "tls").read_bytes() == path.read_bytes()
    assert set(tunnel.asked) == {"CONNECT test-bucket.s3.example.test:443 HTTP/1.1"}, tunnel.asked
    assert (
        world.kind("look", "tls", **once, **{**through, "HTTPS_PROXY": through["HTTPS_PROXY"].replace("pass", "word")})
        == "denied"
    )
    assert world.kind("look", "tls", **once, **through, NO_PROXY="example.test") == "lost"


def test_a_machine_is_who_its_role_is(world):
    metadata = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Metadata)
    metadata.looked = 0
    threading.Thread(target=metadata.serve_forever, args=(0.05,), daemon=True).start()
    there = {
        "AWS_ACCESS_KEY_ID": "",
        "AWS_EC2_METADATA_DISABLED": "",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://127.0.0.1:{metadata.server_port}",
    }
    world.good("put-if-absent", "by-role", "hello", **there)
    assert metadata.looked == 2
    assert world.good("region", **there) == "eu-west-1"
    assert world.kind("look", "by-role", AWS_ACCESS_KEY_ID="") == "denied"


def main():
    for program in (PROBE, TESTS):
        if not os.access(program, os.X_OK):
            print(f"SKIP: {program.name} is not beside ferry")
            sys.exit(77)
    judge_is_not_blind()
    wanted = sys.argv[2:]
    with tempfile.TemporaryDirectory() as name:
        world = World(pathlib.Path(name))
        for test, run in [
            (test, run)
            for test, run in globals().items()
            if test.startswith("test_") and (not wanted or test in wanted)
        ]:
            world.server.fault = lambda *_: None
            run(world)
            print(f"ok   {test}", flush=True)
    for complaint in dict.fromkeys(complaints):
        print(complaint)
    print(f"{len(requests)} requests since the last count, {len(complaints)} complaints")
    sys.exit(1 if complaints else 0)


main()
