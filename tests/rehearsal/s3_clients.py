#!/usr/bin/env python3
"""S3 clients that nobody here wrote against the rehearsal cloud's S3, unchanged: boto3, the aws CLI, rclone, s3cmd and
restic. What of them is not installed is left out, and said. botocore's own signer shows how strict the endpoint is.
Usage: s3_clients.py FERRY"""
import hashlib
import http.client
import io
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import lib
from lib import boto3, botocore, expect, fault, refusal, refuses, scratch

from boto3.s3.transfer import TransferConfig
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

MIB = 1 << 20
os.environ.pop("AWS_CA_BUNDLE", None)  # rclone reads it, and ends where it is set
ONCE = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, signature_version="s3v4")


def endpoint():
    return os.environ["AWS_ENDPOINT_URL_S3"]


def place():
    return urllib.parse.urlsplit(endpoint()).netloc


def s3_client(region="us-east-1", **more):
    return boto3.client("s3", endpoint_url=endpoint(), region_name=region, config=ONCE, **more)


def random_file(path, size):
    path.write_bytes(os.urandom(size))
    return path


def some_files(name):
    folder = pathlib.Path(scratch, name)
    (folder / "sub/deep").mkdir(parents=True)
    random_file(folder / "large.bin", 12 * MIB + 7)
    random_file(folder / "sub/sp ace+ü.txt", 1000)
    (folder / "sub/deep/empty").write_bytes(b"")
    for i in range(10):
        (folder / f"sub/deep/{i}.txt").write_text(f"file {i}\n", encoding="utf-8")
    return folder


def same(one, other):
    return subprocess.run(["diff", "-r", str(one), str(other)], stdout=subprocess.DEVNULL, check=False).returncode == 0


def run(*command, env=None, cwd=None):
    """Its output; a failure is a problem of the test."""
    done = subprocess.run(
        [str(word) for word in command],
        env={**os.environ, **(env or {})},
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    expect(done.returncode == 0, f"{' '.join(str(w) for w in command)}: exit {done.returncode}: {done.stdout[-1500:]}")
    return done.stdout


def test_boto3():
    s3 = s3_client()
    s3.create_bucket(Bucket="boto")
    refuses(
        "InvalidLocationConstraint",
        s3.create_bucket,
        Bucket="boto2",
        CreateBucketConfiguration={"LocationConstraint": "us-east-1"},
    )
    put = s3.put_object(
        Bucket="boto", Key="a/sp ace+ü", Body=b"hello", Metadata={"sha256": "x"}, ContentType="text/plain"
    )
    expect(
        put["ETag"] == '"%s"' % hashlib.md5(b"hello").hexdigest() and put["ChecksumCRC32"] == "NhCmhg==", f"put: {put}"
    )
    got = s3.get_object(Bucket="boto", Key="a/sp ace+ü", ChecksumMode="ENABLED")
    expect(
        got["Body"].read() == b"hello"
        and got["Metadata"] == {"sha256": "x"}
        and got["ChecksumType"] == "FULL_OBJECT"
        and "VersionId" not in got,
        f"get: {got}",
    )
    expect(s3.get_object(Bucket="boto", Key="a/sp ace+ü", Range="bytes=1-2")["Body"].read() == b"el", "a range")
    refuses("PreconditionFailed", s3.put_object, Bucket="boto", Key="a/sp ace+ü", Body=b"x", IfNoneMatch="*")
    refuses("PreconditionFailed", s3.delete_object, Bucket="boto", Key="a/sp ace+ü", IfMatch='"x"')
    refuses("NoSuchKey", s3.get_object, Bucket="boto", Key="none")
    refuses("404", s3.head_object, Bucket="boto", Key="none")
    refuses("BadDigest", s3.put_object, Bucket="boto", Key="bad", Body=b"hello", ChecksumSHA256="A" * 43 + "=")
    for algorithm in ("CRC32", "SHA1", "SHA256"):
        s3.put_object(Bucket="boto", Key="sum", Body=b"hello", ChecksumAlgorithm=algorithm)
        answer = s3.get_object(Bucket="boto", Key="sum", ChecksumMode="ENABLED")
        expect(answer["Body"].read() == b"hello" and answer.get("Checksum" + algorithm), f"checksum {algorithm}")

    data = os.urandom(11 * MIB)
    s3.upload_fileobj(
        io.BytesIO(data),
        "boto",
        "big",
        Config=TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB, max_concurrency=3),
    )
    parts = [hashlib.md5(data[i : i + 5 * MIB]).digest() for i in range(0, len(data), 5 * MIB)]
    expect(
        s3.head_object(Bucket="boto", Key="big")["ETag"] == '"%s-3"' % hashlib.md5(b"".join(parts)).hexdigest(),
        "the ETag of parts",
    )
    told = s3.get_object_attributes(
        Bucket="boto", Key="big", ObjectAttributes=["ETag", "Checksum", "ObjectParts", "ObjectSize"]
    )
    expect(
        told["ObjectSize"] == len(data)
        and told["ObjectParts"]["TotalPartsCount"] == 3
        and len(told["ObjectParts"]["Parts"]) == 3,
        f"attributes: {told}",
    )
    home = io.BytesIO()
    s3.download_fileobj(
        "boto", "big", home, Config=TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB)
    )
    expect(home.getvalue() == data, "a download in ranges")
    s3.copy(
        {("Bucket"): "boto", "Key": "big"},
        "boto",
        "copy",
        Config=TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB),
    )
    expect(s3.get_object(Bucket="boto", Key="copy")["Body"].read() == data, "a copy in parts")
    begun = s3.create_multipart_upload(Bucket="boto", Key="left")["UploadId"]
    s3.upload_part(Bucket="boto", Key="left", UploadId=begun, PartNumber=2, Body=b"x")
    expect(
        [p["PartNumber"] for p in s3.list_parts(Bucket="boto", Key="left", UploadId=begun)["Parts"]] == [2],
        "list_parts",
    )
    expect(
        [u["Key"] for u in s3.list_multipart_uploads(Bucket="boto")["Uploads"]] == ["left"], "list_multipart_uploads"
    )
    s3.abort_multipart_upload(Bucket="boto", Key="left", UploadId=begun)
    refuses("NoSuchUpload", s3.abort_multipart_upload, Bucket="boto", Key="left", UploadId=begun)

    keys = [f"list/{i:02}/x y" for i in range(25)]
    for key in keys:
        s3.put_object(Bucket="boto", Key=key, Body=b"")
    pages = list(
        s3.get_paginator(("list_objects_v2")).paginate(Bucket="boto", Prefix="list/", PaginationConfig={"PageSize": 7})
    )
    expect(len(pages) == 4 and [o["Key"] for p in pages for o in p["Contents"]] == keys, "list_objects_v2 in pages")
    pages = list(
        s3.get_paginator(("list_objects")).paginate(
            Bucket="boto", Prefix="list/", Delimiter="/", PaginationConfig={"PageSize": 7}
        )
    )
    expect(
        [c["Prefix"] for p in pages for c in p["CommonPrefixes"]] == [f"list/{i:02}/" for i in range(25)],
        "list_objects with a delimiter",
    )
    gone = s3.delete_objects(Bucket="boto", Delete={"Objects": [{"Key": key} for key in keys] + [{"Key": "none"}]})
    expect(len(gone["Deleted"]) == 26, "delete_objects")

    s3.put_bucket_lifecycle_configuration(
        Bucket="boto",
        LifecycleConfiguration={
            "Rules": [
                {
                    "ID": "a",
                    "Status": "Enabled",
                    "Filter": {"Prefix": "tmp/"},
                    "Expiration": {"Days": 3},
                    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
                }
            ]
        },
    )
    expect(s3.get_bucket_lifecycle_configuration(Bucket="boto")["Rules"][0]["Expiration"]["Days"] == 3, "lifecycle")
    s3.put_public_access_block(
        Bucket="boto",
        PublicAccessBlockConfiguration={
            "BlockPublicAcls": True,
            "IgnorePublicAcls": True,
            "BlockPublicPolicy": True,
            "RestrictPublicBuckets": True,
        },
    )
    expect(
        s3.get_public_access_block(Bucket="boto")["PublicAccessBlockConfiguration"]["BlockPublicPolicy"],
        "public access block",
    )
    s3.put_bucket_encryption(
        Bucket="boto",
        ServerSideEncryptionConfiguration={
            "Rules": [{("ApplyServerSideEncryptionByDefault"): {"SSEAlgorithm": "AES256"}}]
        },
    )
    expect(
        s3.get_bucket_encryption(Bucket="boto")["ServerSideEncryptionConfiguration"]["Rules"][0][
            "ApplyServerSideEncryptionByDefault"
        ]["SSEAlgorithm"]
        == "AES256",
        "encryption",
    )
    expect("Status" not in s3.get_bucket_versioning(Bucket="boto"), "versioning")
    s3.put_bucket_tagging(Bucket="boto", Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    expect(s3.get_bucket_tagging(Bucket="boto")["TagSet"] == [{"Key": "a", "Value": "b"}], "bucket tags")
    s3.put_object_tagging(Bucket="boto", Key="sum", Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    expect(s3.get_object_tagging(Bucket="boto", Key="sum")["TagSet"] == [{"Key": "a", "Value": "b"}], "object tags")
    tls_only = {
        "Statement": [
            {
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:*",
                "Resource": ["arn:aws:s3:::boto", "arn:aws:s3:::boto/*"],
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            }
        ]
    }
    s3.put_bucket_policy(Bucket="boto", Policy=json.dumps(tls_only))
    expect(refusal(s3.get_object, Bucket="boto", Key="sum") == "", "loopback counts as secure")


def test_regions_and_sessions():
    west, east = s3_client("eu-west-1"), s3_client()
    west.create_bucket(Bucket="west", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    refuses(
        "BucketAlreadyOwnedByYou",
        west.create_bucket,
        Bucket="west",
        CreateBucketConfiguration={"LocationConstraint": "eu-west-1"},
    )
    expect(east.get_bucket_location(Bucket="west")["LocationConstraint"] == "eu-west-1", "the location")
    east.put_object(
        Bucket="west", Key="k", Body=(b"found by the redirect")
    )  # botocore signs anew for x-amz-bucket-region
    refuses("AccessDenied", west.get_object, Bucket="west", Key="k", ExpectedBucketOwner="999999999999")
    refuses(
        "SignatureDoesNotMatch",
        s3_client(aws_secret_access_key="wrong", aws_access_key_id=os.environ["AWS_ACCESS_KEY_ID"]).list_buckets,
    )
    refuses("InvalidAccessKeyId", s3_client(aws_secret_access_key="wrong", aws_access_key_id="AKIAWRONG").list_buckets)
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": "arn:aws:s3:::west/runs/1/*"},
            {
                "Effect": "Allow",
                "Action": "s3:ListBucket",
                "Resource": "arn:aws:s3:::west",
                "Condition": {"StringLike": {"s3:prefix": "runs/1/*"}},
            },
        ],
    }
    made = boto3.client("sts").get_federation_token(Name="run-1", Policy=json.dumps(policy))["Credentials"]
    run_1 = s3_client(
        "eu-west-1",
        aws_access_key_id=made["AccessKeyId"],
        aws_secret_access_key=made["SecretAccessKey"],
        aws_session_token=made["SessionToken"],
    )
    run_1.put_object(Bucket="west", Key="runs/1/out", Body=b"mine")
    expect(run_1.list_objects_v2(Bucket="west", Prefix="runs/1/")["KeyCount"] == 1, "a session lists its prefix")
    refuses("AccessDenied", run_1.get_object, Bucket="west", Key="k")
    refuses("AccessDenied", run_1.put_object, Bucket="west", Key="runs/2/out", Body=b"x")
    refuses("AccessDenied", run_1.list_objects_v2, Bucket="west", Prefix="runs/")
    refuses(
        "AccessDenied", run_1.get_object, Bucket="west", Key="runs/1/none"
    )  # what it may not list it does not learn


def raw(method, target, headers, body=b""):
    """The status of a request that is sent as it is."""
    connection = http.client.HTTPConnection(place(), timeout=30)
    connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    if not any(name.lower() in ("content-length", "transfer-encoding") for name in headers):
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    answer = connection.getresponse()
    out = answer.status, answer.read()
    connection.close()
    return out


def signed(method, path, body=b"", headers=None, trailer=None):
    request = AWSRequest(method=method, url=endpoint() + path, data=body, headers={"Host": place(), **(headers or {})})
    request.context["client_config"] = Config(s3={"payload_signing_enabled": True})
    if trailer:
        request.context["checksum"] = {"request_algorithm": {"in": "trailer", "algorithm": "crc32", "name": trailer}}
    S3SigV4Auth(
        Credentials(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]), "s3", "us-east-1"
    ).add_auth(request)
    return dict(request.headers.items())


def flipped(text, place_in_it):
    return text[:place_in_it] + chr(ord(text[place_in_it]) ^ 1) + text[place_in_it + 1 :]


def test_strictness():
    s3_client().create_bucket(Bucket="strict")
    body, path = b"the body", "/strict/some/key?x-id=PutObject"
    headers = signed("PUT", path, body, {"Content-Type": "text/plain", "X-Amz-Meta-A": "b"})
    expect(raw("PUT", path, headers, body)[0] == 200, "what botocore's signer signs is taken")
    accepted = []
    for i in range(1, len(path)):
        if raw("PUT", flipped(path, i), headers, body)[0] < 400:
            accepted.append(flipped(path, i))
    for name, value in headers.items():
        for i, letter in enumerate(value):
            other = flipped(value, i)
            if letter == " " or other != other.strip():
                continue  # white space between two words is not signed
            if raw("PUT", path, {**headers, name: other}, body)[0] < 400:
                accepted.append(f"{name}: {other}")
    for i in range(len(body)):
        if raw("PUT", path, headers, body[:i] + bytes([body[i] ^ 1]) + body[i + 1 :])[0] < 400:
            accepted.append(f"body {i}")
    expect(not accepted, f"taken though a byte was changed: {accepted[:5]}")

    sent = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n"
    for good, piece in ((True, sent), (False, sent.replace(b"hello", b"hellp"))):
        framed = b"%x\r\n%s\r\n0\r\n\r\n" % (len(piece), piece)
        more = {
            "Content-Encoding": "aws-chunked",
            "X-Amz-Trailer": "x-amz-checksum-crc32",
            "X-Amz-Decoded-Content-Length": "5",
        }
        head = signed("PUT", "/strict/trailer", b"", more, trailer="x-amz-checksum-crc32")
        status, answer = raw("PUT", "/strict/trailer", {**head, "Transfer-Encoding": "chunked"}, framed)
        expect(status == (200 if good else 400), f"a trailer: {status} {answer}")
    head = signed("GET", "/some/key", headers={"Host": "strict.localhost"})
    expect(raw("GET", "/some/key", head) == (200, body), "virtual-host style")
    url = s3_client().generate_presigned_url("get_object", Params={"Bucket": "strict", "Key": "some/key"}, ExpiresIn=60)
    expect(urllib.request.urlopen(url).read() == body, "a presigned address")
    try:
        urllib.request.urlopen(url.replace("some", "sons"))
        expect(False, "a presigned address that was changed")
    except urllib.error.HTTPError as error:
        expect(error.code == 403, f"a presigned address that was changed: {error.code}")
    expect(raw("GET", "/strict/some/key", {"Host": place()})[0] == 403, "anonymous")


def test_faults():
    s3 = s3_client()
    s3.create_bucket(Bucket="faults")
    data = os.urandom(3 * MIB)
    s3.put_object(Bucket="faults", Key="k", Body=data)
    fault("slow-down", "action=GetObject", "count=1")
    refuses("SlowDown", s3.get_object, Bucket="faults", Key="k")
    fault("cut-answer", "action=GetObject", "bytes=100000", "count=1")
    try:
        got = s3.get_object(Bucket="faults", Key="k")["Body"].read()
        expect(False, f"an answer that breaks off: {len(got)} bytes")
    except (botocore.exceptions.IncompleteReadError, botocore.exceptions.ResponseStreamingError):
        pass
    fault("cut-upload", "action=PutObject", "bytes=1000000", "count=1")
    try:
        s3.put_object(Bucket="faults", Key="cut", Body=data)
        expect(False, "an upload that breaks off")
    except (
        botocore.exceptions.ConnectionClosedError,
        botocore.exceptions.EndpointConnectionError,
        botocore.exceptions.HTTPClientError,
    ):
        pass
    refuses("404", s3.head_object, Bucket="faults", Key="cut")
    fault("late-error", "count=1")
    refuses("InternalError", s3.copy_object, Bucket="faults", Key="copy", CopySource="faults/k")
    fault("clear")


def test_a_killed_server_leaves_nothing_half():
    s3 = s3_client()
    s3.create_bucket(Bucket="killed")
    s3.put_object(Bucket="killed", Key="k", Body=b"kept")
    before = lib.subprocess.run(
        [lib.ferry, "rehearsal", "status", "--json"], check=True, capture_output=True, text=True
    ).stdout
    host, port = place().split(":")
    head = signed("PUT", "/killed/k", b"x" * 5 * MIB)
    connection = socket.create_connection((host, int(port)))
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items() if name.lower() != "content-length")
    connection.sendall(f"PUT /killed/k HTTP/1.1\r\n{lines}Content-Length: {5 * MIB}\r\n\r\n".encode() + b"x" * MIB)
    incoming = pathlib.Path(scratch, "ferry/rehearsal/s3/incoming")
    for _ in range(600):
        if any(one.stat().st_size > 0 for one in incoming.iterdir()):
            break
        time.sleep(0.05)
    expect(any(incoming.iterdir()), "an upload is under way")
    os.kill(json.loads(before)["pid"], signal.SIGKILL)
    connection.close()
    lib.start()
    s3 = s3_client()
    expect(s3.get_object(Bucket="killed", Key="k")["Body"].read() == b"kept", "what was there before the kill")
    expect(not any(incoming.iterdir()), "what was half")


def test_aws_cli(folder):
    aws = lambda *words: run("aws", *words)
    aws("s3", "mb", "s3://cli")
    aws("s3", "sync", "--quiet", folder, "s3://cli/tree")
    listed = aws("s3", "ls", "--recursive", "s3://cli/tree/")
    expect(len(listed.splitlines()) == 13, f"aws s3 ls: {listed}")
    back = pathlib.Path(scratch, "cli-back")
    aws("s3", "cp", "--quiet", "--recursive", "s3://cli/tree", back)
    expect(same(folder, back), "aws s3: what came back differs")
    expect(not aws("s3", "sync", folder, "s3://cli/tree").strip(), "aws s3 sync sends what is there")
    aws("s3", "rb", "--force", "s3://cli")


def test_rclone(folder):
    env = {
        "RCLONE_CONFIG": os.devnull,
        "RCLONE_CONFIG_R_TYPE": "s3",
        "RCLONE_CONFIG_R_PROVIDER": "Other",
        "RCLONE_CONFIG_R_ENV_AUTH": "true",
        "RCLONE_CONFIG_R_ENDPOINT": endpoint(),
        "RCLONE_CONFIG_R_REGION": "us-east-1",
    }
    rclone = lambda *words: run(
        "rclone", *words, "--s3-upload-cutoff=5M", "--s3-chunk-size=5M", "--retries=1", "--low-level-retries=1", env=env
    )
    rclone("mkdir", "r:rclone")
    rclone("sync", folder, "r:rclone/tree")
    rclone("check", folder, "r:rclone/tree", "--download")
    expect(len(rclone("lsf", "-R", "--files-only", "r:rclone").splitlines()) == 13, "rclone lsf")
    rclone("moveto", "r:rclone/tree/large.bin", "r:rclone/moved.bin")
    rclone("sync", folder / "sub", "r:rclone/tree")
    expect(len(rclone("lsf", "-R", "--files-only", "r:rclone/tree").splitlines()) == 12, "rclone sync removes")
    rclone("purge", "r:rclone")


def test_s3cmd(folder):
    config = pathlib.Path(scratch, "s3cfg")
    config.write_text(
        f"[default]\naccess_key = {os.environ['AWS_ACCESS_KEY_ID']}\n"
        f"secret_key = {os.environ['AWS_SECRET_ACCESS_KEY']}\nhost_base = {place()}\n"
        f"host_bucket = {place()}\nuse_https = False\nbucket_location = us-east-1\n"
        "max_retries = 1\n",
        encoding="utf-8",
    )
    s3cmd = lambda *words: run("s3cmd", "-c", config, "--no-progress", *words)
    s3cmd("mb", "s3://s3cmd")
    s3cmd("sync", "--multipart-chunk-size-mb=5", f"{folder}/", "s3://s3cmd/tree/")
    expect(len(s3cmd("ls", "--recursive", "s3://s3cmd").splitlines()) == 13, "s3cmd ls")
    s3cmd("info", "s3://s3cmd/tree/large.bin")
    s3cmd("cp", "s3://s3cmd/tree/sub/deep/1.txt", "s3://s3cmd/copied")
    back = pathlib.Path(scratch, "s3cmd-back")
    back.mkdir()
    s3cmd("sync", "s3://s3cmd/tree/", f"{back}/")
    expect(same(folder, back), "s3cmd: what came back differs")
    s3cmd("del", "--recursive", "--force", "s3://s3cmd")
    s3cmd("rb", "s3://s3cmd")


def test_restic(folder):
    env = {
        "RESTIC_REPOSITORY": f"s3:{endpoint()}/restic",
        "RESTIC_PASSWORD": "password",
        "RESTIC_CACHE_DIR": os.path.join(scratch, "restic-cache"),
    }
    restic = lambda *words: run("restic", "-q", *words, env=env)
    restic("init")
    restic("backup", folder)
    restic("check", "--read-data")
    restic("restore", "latest", "--target", os.path.join(scratch, "restic-back"))
    expect(same(folder, f"{scratch}/restic-back/{folder}"), "restic: what came back differs")
    restic("forget", "--prune", "--keep-last", "1")


def test_a_machine_reaches_it():
    """By the address that this computer has for it, and without being named."""
    folder = pathlib.Path(scratch, "task")
    folder.mkdir()
    (folder / "train.py").write_text(
        "import os, urllib.error, urllib.request\n"
        "try:\n    urllib.request.urlopen(os.environ['S3URL'], timeout=20)\n"
        "except urllib.error.HTTPError as error:\n"
        "    print('it says', error.headers['Server'], "
        "error.read().decode())\n",
        encoding="utf-8",
    )
    env = {"HOME": scratch, "FERRY_NO_INTERNET": "0"}
    said = run(
        os.path.abspath(lib.ferry),
        "run",
        "--workdir",
        folder,
        "--infra",
        "rehearsal",
        "--env",
        f"S3URL={endpoint()}",
        "--",
        "python3",
        "train.py",
        env=env,
        cwd=scratch,
    )
    expect(
        "it says AmazonS3" in said and "AccessDenied" in said,
        f"a machine of the rehearsal cloud does not reach S3: {said[-1500:]}",
    )


def clients():
    """Two at a time: they wait more than they compute."""
    folder = some_files("tree")
    waiting = [
        test
        for name, test in (
            ("aws", test_aws_cli),
            (("restic"), test_restic),
            ("s3cmd", test_s3cmd),
            ("rclone", test_rclone),
        )
        if shutil.which(name) or print(f"left out: {name} is not installed")
    ]
    lock = threading.Lock()

    def work():
        while True:
            with lock:
                if not waiting:
                    return
                test = waiting.pop(0)
            try:
                test(folder)
            except Exception as error:  # a thread's own would be lost
                lib.problems.append(f"{test.__name__}: {error!r}")

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main():
    for test in (
        test_boto3,
        test_regions_and_sessions,
        test_strictness,
        test_faults,
        test_a_machine_reaches_it,
        clients,
        test_a_killed_server_leaves_nothing_half,
    ):
        began = time.monotonic()
        test()
        print(f"{test.__name__}  {time.monotonic() - began:.1f} s")


lib.run(main)
