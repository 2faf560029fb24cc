#!/usr/bin/env python3
"""Whole commands of ferry through a proxy in front of the rehearsal cloud: every request is held against AWS's own
service models and botocore's signer, and against the policy that `ferry policy` prints; then boto3 reads back what
ferry made."""
import fnmatch
import json
import pathlib
import re
import sys
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "program"))
try:
    import boto3
    import iam
    from proxy import Proxy, pass_on, rehearsal_env
except ImportError as error:
    print(f"SKIP: {error.name} is not installed")
    sys.exit(77)
from lib import Home
from network_test import make_key, make_profile, own_network, session_plugin


def main():
    with Home() as home:
        env = rehearsal_env(home)
        upstream = urllib.parse.urlparse(env["AWS_ENDPOINT_URL"]).netloc
        calls = []  # of ferry's own, with what was answered

        def answer(request):
            got = pass_on(upstream, request)
            if request.headers.get("User-Agent", "").startswith("ferry/"):
                calls.append((request, got))
            return got

        proxy = Proxy(env["AWS_SECRET_ACCESS_KEY"], answer)
        env["AWS_ENDPOINT_URL"] = proxy.url
        env["FERRY_CALLER_CIDR"] = "127.0.0.1/32"  # for ferry, what is no rehearsal cloud may be a tunnel
        home.env.update(env)

        home.good("check")
        home.good("quota")
        home.good("catalog", "update", timeout=300)
        home.good("plan", "--gpus", "A10G")
        home.good("plan", "--spot", "--gpus", "A10G")
        home.good("run", "--yes", "--infra", "aws", "--gpus", "T4", "--", "true")
        home.good("run", "--yes", "--keep", "--infra", "aws", "-t", "t3.large", "--disk", "60", "--", "true")
        run = home.runs()[0]
        home.good("ps")

        ec2 = boto3.client(
            "ec2",
            endpoint_url=env["AWS_ENDPOINT_URL"],
            region_name="us-east-1",
            aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
        )
        made = ec2.describe_instances(Filters=[{"Name": "tag:ferry:run", "Values": [run["run"]]}])["Reservations"][0][
            "Instances"
        ][0]
        tags = {tag["Key"]: tag["Value"] for tag in made["Tags"]}
        assert tags["ferry:run"] == run["run"] and tags["ferry:owner"] and tags["ferry:version"], tags
        assert made["MetadataOptions"]["HttpTokens"] == "required", made["MetadataOptions"]
        shutdown = ec2.describe_instance_attribute(
            InstanceId=made["InstanceId"], Attribute="instanceInitiatedShutdownBehavior"
        )
        assert shutdown["InstanceInitiatedShutdownBehavior"]["Value"] == "terminate", shutdown
        volume = ec2.describe_volumes(Filters=[{"Name": "attachment.instance-id", "Values": [made["InstanceId"]]}])[
            "Volumes"
        ][0]
        assert volume["Encrypted"] and volume["Size"] == 60 and volume["VolumeType"] == "gp3", volume
        group = ec2.describe_security_groups(GroupIds=[made["SecurityGroups"][0]["GroupId"]])["SecurityGroups"][0]
        ports = [
            (rule["FromPort"], rule["ToPort"], [one["CidrIp"] for one in rule["IpRanges"]])
            for rule in group["IpPermissions"]
        ]
        assert ports == [(22, 22, ["127.0.0.1/32"])], ports
        boto_only = {"ec2:DescribeInstanceAttribute", "ec2:DescribeVolumes"}

        # A private key that is lost is replaced without the machine's help.
        (home.root / "data/ferry/runs" / run["run"] / "id_ed25519").unlink()
        assert home.good("ssh", run["run"], "--", "echo", "hello").out == "hello\n"

        home.good("down", run["run"])
        assert not ec2.describe_key_pairs()["KeyPairs"], "a key pair is left"
        home.nothing_left()
        document = json.loads(home.good("policy").out)
        needed = hold_against(calls, document)
        judge_policy(proxy.actions - boto_only | needed, document)

        # What only aws: settings need.
        usual = set(proxy.actions)
        make_profile(
            boto3.client(
                "iam",
                endpoint_url=f"http://{upstream}",
                region_name="us-east-1",
                aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
                aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
            ),
            "ssm",
        )
        boto_only = use_settings(home, ec2)
        home.good("capacity", "H100:8")
        document = json.loads(home.good("policy", "--all", "--role", "ssm").out)
        needed = hold_against(calls, document) - needed | {"ec2:RunInstances"}  # on reserved capacity
        judge_policy(proxy.actions - usual - boto_only | needed, document, "Optional")
        assert not proxy.complaints, "\n".join(sorted(set(proxy.complaints)))
        print(f"{len(proxy.actions)} actions, no complaint")


def use_settings(home, ec2):
    """Runs with an own key pair, reserved capacity and a role, reached through Systems Manager; and with a volume. What
    boto3 called for it."""
    mine = ec2.create_capacity_reservation(
        InstanceType="m5.large", AvailabilityZone="us-east-1c", InstancePlatform="Linux/UNIX", InstanceCount=1
    )
    key = home.root / "mine"
    ec2.import_key_pair(KeyName="mine", PublicKeyMaterial=make_key(key).encode())
    vpc, (subnet,) = own_network(ec2, "c")
    session_plugin(home, "1.2.553.0")
    (home.root / "address").write_text("127.80.0.10")
    home.good(
        "run",
        "--yes",
        "--infra",
        "aws",
        "--subnet",
        subnet,
        "--private",
        "--ssh-proxy",
        "ssm",
        "--instance-profile",
        "ssm",
        "--key-name",
        "mine",
        "--key-file",
        str(key),
        "--capacity-reservation",
        mine["CapacityReservation"]["CapacityReservationId"],
        "--",
        "true",
    )
    home.nothing_left()
    volume = ec2.create_volume(
        AvailabilityZone="us-east-1b",
        Size=20,
        TagSpecifications=[{"ResourceType": "volume", "Tags": [{"Key": "Name", "Value": "my-data"}]}],
    )["VolumeId"]
    home.file("volume.yaml", "resources: {infra: aws, cpus: 2}\nvolumes: {~/vol: my-data}\nrun: touch ~/vol/written\n")
    home.good("run", "--yes", "volume.yaml")
    home.nothing_left()
    assert ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]["State"] == "available"
    return {"ec2:CreateCapacityReservation", "ec2:CreateVpc", "ec2:CreateSubnet", "ec2:CreateVolume"}


def hold_against(calls, document):
    """Every call that ferry made must be allowed, by actions, resources and conditions. Which actions that took."""
    iam.CALLER["aws:userid"] = "rehearsal"  # sessions are called after whoever opened them
    policy, there, needed = iam.Policy(document), {}, set()
    for request, answer in calls:
        makes = request.action in ("RunInstances", "CreateSecurityGroup", "ImportKeyPair", "CreateLaunchTemplate")
        if request.params.get("DryRun") == "true" and not makes:
            continue  # a trial on what does not exist
        for need in iam.needs_of(request.service, request.action, request.params, there):
            assert policy.allows(need), f"the policy does not allow {need}"
            needed.add(need.action)
        if makes and answer.status == 200:
            found = iam.tag_specifications(request.params)
            (kind,) = {"instance", "security-group", "key-pair", "launch-template"} & set(found)
            names = (
                [request.params.get(name) for name in ("KeyName", "GroupName", "LaunchTemplateName")]
                if kind != "instance"
                else []
            )
            names += re.findall(r"<(?:instanceId|groupId|launchTemplateId)>([^<]+)<", answer.body.decode())
            there.update({name: found[kind] for name in names if name})
        if request.action.startswith("CreateLaunchTemplate") and answer.status == 200:  # what whoever uses it launches
            prefix = "LaunchTemplateData."
            data = {
                name.removeprefix(prefix): value for name, value in request.params.items() if name.startswith(prefix)
            }
            there.update(
                {f"{name} data": data for name in re.findall(r"<launchTemplateId>([^<]+)<", answer.body.decode())}
            )
        if request.action == "CreateAutoScalingGroup" and answer.status == 200:
            there[request.params["AutoScalingGroupName"]] = iam.iam_tags(request.params)
    return needed


def judge_policy(asked, policy, prefix="Ferry"):
    """The policy's statements of that prefix must allow all that was asked, and little that was not."""
    allowed = {
        action
        for statement in policy["Statement"]
        if statement["Sid"].startswith(prefix)
        for action in statement["Action"]
    }
    missing = {one for one in asked if not any(fnmatch.fnmatchcase(one, pattern) for pattern in allowed)}
    assert not missing, f"the policy lacks {missing}"
    # What these commands did not need now: other zones, second thoughts, and what only some accounts meet.
    rare = {
        "ec2:RevokeSecurityGroupIngress",
        "servicequotas:GetAWSDefaultServiceQuota",
        "servicequotas:RequestServiceQuotaIncrease",
        "iam:CreateServiceLinkedRole",
        "ec2:DescribeAvailabilityZones",
    }
    idle = allowed - asked - rare
    assert not idle, f"the policy allows what nothing needs: {idle}"


if __name__ == "__main__":
    main()
