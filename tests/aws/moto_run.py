#!/usr/bin/env python3
"""Whole runs of ferry on moto's EC2, STS and SSM, with machines of the rehearsal cloud behind it (moto_cloud.py): what
ferry makes is what another reading of AWS's documents expects, and nothing of it is left. Usage: moto_run.py FERRY
[test_name]"""
import contextlib
import datetime
import hashlib
import json
import pathlib
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "program"))
try:
    import boto3
    from moto_cloud import UBUNTU, Answer, MotoCloud, nothing
except ImportError as error:
    print(f"SKIP: {error.name} is not installed")
    sys.exit(77)
from lib import Home, main

JAMMY = "ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-amd64-server-20260101"
DLAMI = "Deep Learning Base OSS Nvidia Driver GPU AMI (Ubuntu 22.04) 20260101"
DLAMI_PARAMETER = "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-22.04/latest/ami-id"
WAITS = "echo up; until [ -e go ]; do sleep 0.1; done"


@contextlib.contextmanager
def account(region="us-east-1", image=True, sandbox=None):
    with contextlib.ExitStack() as afterwards, Home() as home:  # home's last commands need the proxy still
        home.env.update({"FERRY_SANDBOX": sandbox} if sandbox else {})
        cloud = MotoCloud(home, region)
        afterwards.callback(cloud.proxy.close)
        cloud.ami = cloud.publish_image(JAMMY, UBUNTU) if image else None
        yield home, cloud
        assert not cloud.proxy.complaints, "\n".join(sorted(set(cloud.proxy.complaints)))


def training(home):
    """The newest run, once it trains and has said so."""
    home.wait_for(
        "the training", lambda: (now := home.newest())["phase"] == "training" and home.good("logs", now["run"]).out
    )
    return home.newest()


def let_go(home, run):
    home.good("ssh", run["run"], "--", "touch", f"ferry/{run['run']}/go")


def released(home, run):
    """The run's record, once it is over and its machine given back."""
    home.wait_for("released", lambda: (now := home.newest())["run"] == run["run"] and now["phase"] == "released")
    return home.newest()


def run_and_be_killed(home, moments, then=nothing):
    """A run that dies by SIGKILL while its RunInstances is at the proxy; `moments` is the cloud's `before` or
    `after`."""
    ferry = home.start("run", "--yes", "--infra", "aws", "-t", "t3.large", "--", "true")

    def kill(request):
        ferry.kill()
        return then(request)

    moments["RunInstances"] = kill
    ferry.communicate(timeout=60)
    assert ferry.returncode == -signal.SIGKILL, ferry.returncode


def test_a_run_brings_its_outputs_home_and_leaves_nothing_in_the_account():
    with account() as (home, cloud):
        home.file("data.txt", "seven")
        home.file(
            "task.yaml",
            "name: tiny\nresources: {infra: aws, instance_type: t3.large}\n"
            "run: mkdir -p outputs; tr a-z A-Z < data.txt > outputs/model.txt; echo trained\n",
        )
        done = home.good("run", "--yes", "task.yaml")
        assert done.out == "trained\n", done.out
        run = home.newest()
        assert (home.home_of(run) / "outputs/model.txt").read_text() == "SEVEN"
        assert run["phase"] == "released" and run["outcome"] == "succeeded" and run["exit_code"] == 0, run
        rented = cloud.instances("terminated")
        assert [one["InstanceId"] for one in rented] == [one["id"] for one in run["instances"]], (rented, run)
        assert "terminated · nothing left running · total $0.0" in done.err, done.err
        total = json.loads(home.good("cost", "--json").out)["total"]
        assert total["machine_usd"] > 0 and total["disk_usd"] > 0 and total["address_usd"] > 0, total
        cloud.nothing_left()
        home.nothing_left()


def test_a_run_with_a_store_saves_itself_by_a_role_that_goes_with_the_machine():
    with account(sandbox="plain") as (home, cloud):
        s3 = cloud.serve_s3(home, "a-bucket")
        home.file(
            "task.yaml",
            "name: tiny\nresources: {infra: aws, instance_type: t3.large}\nstore: s3://a-bucket/team\n"
            "run: mkdir -p outputs/deep; echo model > outputs/m; head -c 17000000 /dev/zero > outputs/deep/large; "
            "echo trained\n",
        )
        done = home.good("run", "--yes", "task.yaml")
        assert "all outputs are in s3://a-bucket/team" in done.err, done.err
        run = home.newest()
        assert run["outcome"] == "succeeded" and run["outputs_stored"] and run["outputs_home"], run
        assert (home.home_of(run) / "outputs/m").read_text() == "model\n"
        below = f"team/runs/{run['run']}/a1/r0/"
        manifest = json.loads(cloud.s3.get_object(Bucket="a-bucket", Key=below + "manifest.json")["Body"].read())
        assert manifest["complete"] and {"outputs/m", "outputs/deep/large"} <= {
            one["path"] for one in manifest["entries"]
        }, manifest
        for entry in manifest["entries"]:
            if entry.get("key"):
                stored = cloud.s3.get_object(Bucket="a-bucket", Key="team/" + entry["key"])["Body"].read()
                assert hashlib.sha256(stored).hexdigest() == entry["sha256"] and len(stored) == entry["bytes"], entry
        assert "Uploads" not in cloud.s3.list_multipart_uploads(Bucket="a-bucket")
        machine = {key for key, asked in s3.asked.items() if f"PUT /a-bucket/{below}manifest.json" in asked}
        assert machine and all(key.startswith("ASIA") for key in machine), "the machine stores by its role's own keys"
        assert all(
            one.split(" ")[1].startswith(f"/a-bucket/team/runs/{run['run']}/") or one == "GET /a-bucket"
            for key in machine
            for one in s3.asked[key]
        ), s3.asked
        iam = boto3.client("iam", endpoint_url=f"http://{cloud.moto}", region_name="us-east-1", **cloud.keys)
        assert (
            not iam.list_roles(PathPrefix="/ferry/")["Roles"] and not iam.list_instance_profiles()["InstanceProfiles"]
        ), "the role goes with the machine"
        shutil.rmtree(home.home_of(run))
        home.good("fetch", run["run"])
        assert (home.home_of(run) / "outputs/deep/large").read_bytes() == bytes(17_000_000)
        cloud.nothing_left()
        home.nothing_left()


def test_what_is_rented_while_it_trains_is_as_it_should_be():
    with account(image=False) as (home, cloud):
        ami = cloud.publish_image(DLAMI, DLAMI_PARAMETER, alias="amazon", owner="898082745236")
        planned = json.loads(home.good("plan", "--gpus", "T4", "--json").out)["offers"][0]
        home.good("run", "--yes", "-d", "--infra", "aws", "--gpus", "T4", "--disk", "60", "--", "sh", "-c", WAITS)
        run = training(home)
        (instance,) = cloud.instances("running")
        assert instance["InstanceType"] == planned["instance_type"] and instance["ImageId"] == ami, instance
        assert instance["InstanceId"] == run["instances"][-1]["id"]
        assert instance["MetadataOptions"]["HttpTokens"] == "required", instance["MetadataOptions"]
        assert instance.get("InstanceLifecycle") is None, "nobody asked for spot"
        shutdown = cloud.ec2.describe_instance_attribute(
            InstanceId=instance["InstanceId"], Attribute="instanceInitiatedShutdownBehavior"
        )
        assert shutdown["InstanceInitiatedShutdownBehavior"]["Value"] == "terminate", shutdown

        (volume,) = cloud.ec2.describe_volumes()["Volumes"]
        (attached,) = volume["Attachments"]
        assert (
            attached["InstanceId"] == instance["InstanceId"] and attached["Device"] == instance["RootDeviceName"]
        ), volume
        assert instance["BlockDeviceMappings"][0]["Ebs"]["DeleteOnTermination"] and volume["Encrypted"], volume
        assert volume["Size"] == 60 and volume["VolumeType"] == "gp3", volume
        for thing in (instance, volume):
            tags = {tag["Key"]: tag["Value"] for tag in thing["Tags"]}
            assert tags["ferry:run"] == run["run"] and tags["ferry:owner"] and tags["ferry:version"], tags

        (key,) = cloud.ec2.describe_key_pairs(IncludePublicKey=True)["KeyPairs"]
        assert key["KeyName"] == instance["KeyName"] and run["run"] in key["KeyName"], key
        own = subprocess.run(
            ["ssh-keygen", "-yf", home.root / f"data/ferry/runs/{run['run']}/id_ed25519"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert key["PublicKey"].split()[:2] == own.split()[:2], key
        (interface,) = instance["NetworkInterfaces"]
        assert len(interface["Groups"]) == 1 and interface["Association"]["PublicIp"], interface
        (group,) = cloud.ec2.describe_security_groups(GroupIds=[interface["Groups"][0]["GroupId"]])["SecurityGroups"]
        (rule,) = group["IpPermissions"]
        (source,) = rule["IpRanges"]
        assert (rule["IpProtocol"], rule["FromPort"], rule["ToPort"], source["CidrIp"]) == (
            "tcp",
            22,
            22,
            "127.0.0.1/32",
        ), rule
        assert not rule["Ipv6Ranges"] and not rule["UserIdGroupPairs"] and not rule["PrefixListIds"], rule

        let_go(home, run)
        assert released(home, run)["outcome"] == "succeeded"
        cloud.nothing_left()


def test_a_machine_with_another_name_after_a_stop_and_start_is_found_again():
    with account() as (home, cloud):
        home.good(
            "run",
            "--yes",
            "-d",
            "--infra",
            "aws",
            "-t",
            "t3.large",
            "--",
            "sh",
            "-c",
            "mkdir outputs; echo half > outputs/part; echo up; sleep 1000",
        )
        run = training(home)
        (before,) = cloud.instances("running")
        ids = [before["InstanceId"]]
        cloud.through.stop_instances(InstanceIds=ids)
        home.wait_for("stopped", lambda: cloud.twin(*ids)["State"]["Name"] == "stopped")
        home.wait_for("ps to call it stopped", lambda: "stopped" in home.good("ps").out)
        cloud.through.start_instances(InstanceIds=ids)
        assert (
            cloud.instances("running")[0]["PublicDnsName"] != before["PublicDnsName"]
        ), "moto gives another name on start"
        # The training did not survive; what it made is on the disk still, and comes home.
        home.good("ps")
        run = released(home, run)
        assert (home.home_of(run) / "outputs/part").read_text() == "half\n"
        assert home.good("logs", run["run"]).out == "up\n"
        cloud.nothing_left()


def test_a_ferry_killed_before_its_launch_was_heard_leaves_nothing():
    with account() as (home, cloud):
        run_and_be_killed(home, cloud.before, then=lambda _: Answer(503, [], b""))
        assert "nothing was rented" in home.good("ps").err
        assert not cloud.instances(), cloud.instances()
        cloud.nothing_left()


def test_a_launch_that_arrives_after_its_ferry_was_killed_is_found_by_its_token_and_ended():
    with account() as (home, cloud):
        run_and_be_killed(home, cloud.before, then=lambda _: nothing(cloud.settling.wait(30)))
        home.good("down", "--all")
        assert len(cloud.instances()) == 1, cloud.instances()
        cloud.nothing_left()
        home.nothing_left()


def test_a_ferry_killed_before_it_heard_of_its_machine_gives_it_back():
    with account() as (home, cloud):
        run_and_be_killed(home, cloud.after)
        home.good("ps")
        assert len(cloud.instances()) == 1, cloud.instances()
        cloud.nothing_left()
        home.nothing_left()


def test_a_launch_whose_answer_is_lost_is_asked_for_again_and_rents_once():
    with account() as (home, cloud):
        cloud.after["RunInstances"] = lambda _: Answer(503, [], b"")
        home.good("run", "--yes", "--infra", "aws", "-t", "t3.large", "--", "true")
        assert len(cloud.instances()) == 1, cloud.instances()
        cloud.nothing_left()


def test_without_a_published_parameter_the_newest_image_by_its_name_is_taken():
    with account(image=False) as (home, cloud):
        cloud.publish_image(JAMMY.replace("20260101", "20250101"), created=datetime.datetime(2025, 1, 1))
        newest = cloud.publish_image(JAMMY, created=datetime.datetime(2026, 1, 1))
        cloud.publish_image(JAMMY.replace("20260101", "20241231"), created=datetime.datetime(2024, 12, 31))
        cloud.publish_image(
            JAMMY.replace("20260101", "20270101"), owner="666666666666", created=datetime.datetime(2027, 1, 1)
        )
        home.good("run", "--yes", "--infra", "aws", "-t", "t3.large", "--", "true")
        assert [one["ImageId"] for one in cloud.instances()] == [newest], cloud.instances()
        cloud.nothing_left()


def test_a_spot_machine_is_asked_for_as_one_that_is_gone_when_it_is_taken_back():
    with account() as (home, cloud):
        asked = {}
        cloud.before["RunInstances"] = lambda request: asked.update(request.params)
        home.good("run", "--yes", "--spot", "--infra", "aws", "-t", "t3.large", "--", "true")
        (instance,) = cloud.instances()
        assert instance["InstanceLifecycle"] == "spot", instance
        assert asked["InstanceMarketOptions.SpotOptions.SpotInstanceType"] == "one-time", asked
        assert asked["InstanceMarketOptions.SpotOptions.InstanceInterruptionBehavior"] == "terminate", asked
        cloud.nothing_left()


def test_a_kept_machine_that_ends_itself_takes_its_key_and_group_with_it():
    with account() as (home, cloud):
        home.good("run", "--yes", "--keep", "--infra", "aws", "-t", "t3.large", "--", "true")
        run = home.newest()
        (instance,) = cloud.instances("running")
        home.ferry("ssh", run["run"], "--", "sudo", "poweroff")
        home.wait_for("the end", lambda: cloud.twin(instance["InstanceId"])["State"]["Name"] == "terminated")
        home.good("ps")
        assert home.newest()["phase"] == "released", home.newest()
        cloud.nothing_left()
        home.nothing_left()


def test_check_tells_what_the_account_allows_and_what_a_lost_ledger_left_there():
    with account() as (home, cloud):
        done = home.good("check")
        for line in (
            "account 123456789012",
            "RunInstances ✓",
            "DeleteSecurityGroup ✓",
            "subnets in 6 zones",
            "orphans       none",
        ):
            assert line in done.out, done.out
        home.good("run", "--yes", "--keep", "--infra", "aws", "-t", "t3.large", "--", "true")
        assert "orphans       none" in home.good("check").out
        for file in (home.root / "data/ferry").glob("ledger.db*"):
            file.unlink()
        (instance,) = cloud.instances("running")
        done = home.ferry("check")
        assert done.returncode == 1 and instance["InstanceId"] in done.out, done.out
        cloud.through.terminate_instances(InstanceIds=[instance["InstanceId"]])
        # Its key pair and its group cost nothing, and are told and removed all the same.
        done = home.good("check")
        assert (
            "orphans       no machine; left over, at no cost: key pair ferry-" in done.out
            and ", security group ferry-" in done.out
        ), done.out
        home.good("down", "--all")
        assert "orphans       none" in home.good("check").out


def test_another_region_works_the_same():
    with account("eu-west-1") as (home, cloud):
        home.good(
            "run", "--yes", "--infra", "aws", "-t", "t3.large", "--", "sh", "-c", "mkdir outputs; echo w > outputs/m"
        )
        run = home.newest()
        assert (home.home_of(run) / "outputs/m").read_text() == "w\n"
        (instance,) = cloud.instances()
        assert instance["ImageId"] == cloud.ami and instance["Placement"]["AvailabilityZone"].startswith(
            "eu-west-1"
        ), instance
        cloud.nothing_left()
        home.nothing_left()


if __name__ == "__main__":
    main(globals())
