#!/usr/bin/env python3
"""Machines of the rehearsal cloud with a role: what runs inside finds its credentials, uses S3 with them as far as its
policies go, through restarts of the cloud, and no longer than the role lasts. Usage: roles.py FERRY"""
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess

from lib import (
    boto3,
    client,
    described,
    end,
    expect,
    fault,
    ferry,
    launch,
    make_profile,
    make_role,
    new_key,
    newest_ubuntu,
    refusal,
    run,
    scratch,
    ssh,
    start,
)

POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": "arn:aws:s3:::store/runs/r1/*"},
        {
            "Effect": "Allow",
            "Action": "s3:ListBucket",
            "Resource": "arn:aws:s3:::store",
            "Condition": {"StringLike": {"s3:prefix": "runs/r1/*"}},
        },
    ],
}
# `meta PATH`: metadata; `s3 METHOD TARGET [curl's words]`: the answer's status, by curl, with the role's credentials.
TOOLS = r"""
at=${AWS_EC2_METADATA_SERVICE_ENDPOINT:-http://169.254.169.254}/latest
token() { curl -sf -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' $at/api/token; }
meta() { curl -sf -H "X-aws-ec2-metadata-token: $(token)" $at/meta-data/$1; }
part() { printf %s "$given" | python3 -c "import json, sys; print(json.load(sys.stdin)['$1'])"; }
s3() {
  role=$(meta iam/security-credentials/) && given=$(meta iam/security-credentials/$role) || { echo no role; return; }
  method=$1 target=$2; shift 2
  curl -s -o ${out:-/dev/null} -w '%{http_code}' --aws-sigv4 aws:amz:us-east-1:s3 \
    -u "$(part AccessKeyId):$(part SecretAccessKey)" -H "x-amz-security-token: $(part Token)" \
    -H 'x-amz-content-sha256: UNSIGNED-PAYLOAD' -X $method "$@" "$url/$target" || true
}
"""


def inside(machine, command):
    return ssh(machine, machine["PublicIpAddress"], f"url={os.environ['FIRST_S3']}\n{TOOLS}\n{command}")


def server_pid():
    with open(os.path.join(scratch, "ferry", "rehearsal", "server.json"), encoding="utf-8") as file:
        return json.load(file)["pid"]


def is_plain():
    status = subprocess.run([ferry, "rehearsal", "status", "--json"], check=True, capture_output=True, text=True).stdout
    return json.loads(status)["sandbox"] == "plain"


def eventually(what, holds):
    for _ in range(120):
        if holds():
            return
        subprocess.run(["sleep", "0.5"], check=True)
    expect(False, what)


def within_its_policies(machine):
    expect(inside(machine, "meta iam/security-credentials/") == "trainer", "the role's name")
    expect(inside(machine, "echo model >m; s3 PUT store/runs/r1/model -T m") == "200", "a put below its run")
    expect(inside(machine, "out=got s3 GET store/runs/r1/model >&2; cat got") == "model", "a get below its run")
    expect(inside(machine, "s3 PUT store/runs/r2/model -T m") == "403", "a put outside")
    expect(inside(machine, "s3 DELETE store/runs/r1/model") == "403", "a removal that no policy allows")
    expect(inside(machine, "s3 GET 'store?list-type=2&prefix=runs%2Fr1%2F'") == "200", "a listing of its run")
    expect(inside(machine, "s3 GET 'store?list-type=2'") == "403", "a listing of all")
    boto = (
        "AWS_ENDPOINT_URL_S3=$url AWS_DEFAULT_REGION=us-east-1 python3 -c 'import boto3, os; "
        "s3 = boto3.client(\"s3\", endpoint_url=os.environ[\"AWS_ENDPOINT_URL_S3\"]); "
        "s3.put_object(Bucket=\"store\", Key=\"runs/r1/boto\", Body=b\"x\"); "
        "print(s3.get_object(Bucket=\"store\", Key=\"runs/r1/boto\")[\"Body\"].read())'"
    )
    if inside(machine, "python3 -c 'import boto3' 2>&1; echo") == "":
        expect(inside(machine, boto) == "b'x'", "boto3 by the machine's role")


def nowhere_else(machine):
    given = json.loads(inside(machine, "meta iam/security-credentials/trainer"))
    as_role = dict(
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["Token"],
    )
    who = boto3.client("sts", **as_role).get_caller_identity()
    expect(who["Arn"].endswith(f":assumed-role/trainer/{machine['InstanceId']}"), f"who {who}")
    expect(
        refusal(boto3.client("ec2", **as_role).describe_instances) == "UnauthorizedOperation",
        "EC2 by the machine's role",
    )
    expect(refusal(boto3.client("iam", **as_role).list_roles) == "AccessDenied", "IAM by the machine's role")
    live = os.path.join(scratch, "ferry", "rehearsal", "instances", machine["InstanceId"], "live")
    expect(os.stat(live).st_mode & 0o777 == 0o600, "others can read the machine's credentials")


def much_at_once(machine):
    expect(inside(machine, "head -c 64M /dev/urandom >big; s3 PUT store/runs/r1/big -T big") == "200", "a large put")
    theirs = inside(machine, "out=back s3 GET store/runs/r1/big >&2; sha256sum <big; sha256sum <back").splitlines()
    expect(theirs[0] == theirs[1], f"a large object came back differently: {theirs}")
    ours = (
        boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL_S3"])
        .get_object(Bucket="store", Key="runs/r1/big")["Body"]
        .read()
    )
    expect(hashlib.sha256(ours).hexdigest() == theirs[0].split()[0], "a large object arrived differently")


def take(port, taken):
    try:
        taken.append(socket.create_server(("127.0.0.1", port)))
    except OSError:
        return False
    return True


def through_restarts(machine):
    os.kill(server_pid(), signal.SIGKILL)
    expect("Success" in inside(machine, "meta iam/security-credentials/trainer"), "credentials while the cloud is down")
    expect(inside(machine, "s3 PUT store/runs/r1/model -T m") == "000", "S3 answers while the cloud is down")
    start()
    expect(os.environ["AWS_ENDPOINT_URL_S3"] == os.environ["FIRST_S3"], "the port changed")
    expect(inside(machine, "s3 PUT store/runs/r1/model -T m") == "200", "S3 after a restart")
    if is_plain():
        return  # the computer's port is the machine's
    os.kill(server_pid(), signal.SIGKILL)
    taken = []
    eventually(
        "the port of a killed server is free", lambda: take(int(os.environ["FIRST_S3"].rsplit(":", 1)[1]), taken)
    )
    with taken[0]:
        start()
        expect(os.environ["AWS_ENDPOINT_URL_S3"] != os.environ["FIRST_S3"], "a port that somebody else has")
        eventually(
            "S3 where it was, though its port is another now",
            lambda: inside(machine, "s3 PUT store/runs/r1/model -T m") == "200",
        )
        moved = os.environ["AWS_ENDPOINT_URL_S3"]
        expect(inside(machine, f"url={moved}; s3 PUT store/runs/r1/model -T m") == "200", "S3 where it is now")


def renewed_in_time(machine):
    fault("role-session", "seconds=4")
    iam = boto3.client("iam")
    iam.remove_role_from_instance_profile(InstanceProfileName="trainer", RoleName="trainer")
    eventually(
        "no credentials of a profile without a role",
        lambda: inside(machine, "s3 PUT store/runs/r1/model -T m") == "no role",
    )
    remove_role("trainer")  # and with it its sessions of six hours
    make_role("trainer", POLICY)
    iam.add_role_to_instance_profile(InstanceProfileName="trainer", RoleName="trainer")
    keys = set()

    def renewed_twice():
        keys.add(json.loads(inside(machine, "meta iam/security-credentials/trainer || echo {}")).get("AccessKeyId", ""))
        return len(keys - {""}) >= 3

    eventually("credentials that are renewed", renewed_twice)
    expect(inside(machine, "s3 PUT store/runs/r1/model -T m") == "200", "a put with renewed credentials")
    fault("clear")


def remove_role(name):
    iam = boto3.client("iam")
    iam.delete_role_policy(RoleName=name, PolicyName="its")
    iam.delete_role(RoleName=name)


def gone_with_the_role(machine):
    iam = boto3.client("iam")
    given = json.loads(inside(machine, "meta iam/security-credentials/trainer"))
    s3 = boto3.client(
        "s3",
        endpoint_url=os.environ["AWS_ENDPOINT_URL_S3"],
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["Token"],
    )
    iam.remove_role_from_instance_profile(InstanceProfileName="trainer", RoleName="trainer")
    iam.delete_instance_profile(InstanceProfileName="trainer")
    remove_role("trainer")
    code = refusal(s3.put_object, Bucket="store", Key="runs/r1/late", Body=b"")
    expect(code == "InvalidAccessKeyId", f"a deleted role: {code or 'may write'}")
    eventually("no credentials in metadata", lambda: inside(machine, "s3 PUT store/runs/r1/model -T m") == "no role")


def main():
    if not shutil.which("curl"):
        print("SKIP: curl is not installed")
        raise SystemExit(77)
    os.environ["FIRST_S3"] = os.environ["AWS_ENDPOINT_URL_S3"]
    ec2 = client("ec2")
    new_key(ec2)
    boto3.client("s3", endpoint_url=os.environ["FIRST_S3"]).create_bucket(Bucket="store")
    make_profile("trainer", POLICY)
    order = {"ImageId": newest_ubuntu(), "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1, "KeyName": "k"}
    ec2.authorize_security_group_ingress(
        GroupName="default", IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="127.0.0.1/32"
    )
    machine = launch(ec2, order, IamInstanceProfile={"Name": "trainer"})
    within_its_policies(machine)
    nowhere_else(machine)
    much_at_once(machine)
    through_restarts(machine)
    renewed_in_time(machine)
    gone_with_the_role(machine)
    expect(described(ec2, machine["InstanceId"])["State"]["Name"] == "running", "the machine")
    end(ec2, machine["InstanceId"])


run(main)
