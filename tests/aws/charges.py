#!/usr/bin/env python3
"""What `ferry account` tells of an account in moto, in which boto3 made things that cost and things that do not, in two
regions: each once, with its price a month, and the commands it gives end every one of them. Usage: charges.py FERRY"""
import json
import logging
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

try:
    import boto3
    from moto_cloud import start_moto
except ImportError as error:
    print(f"SKIP: {error.name} is not installed")
    sys.exit(77)

FERRY = sys.argv[1]
REGIONS = "us-east-1", "sa-east-1"
KEYS = {"AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_EC2_METADATA_DISABLED": "true"}


def make(client, region):
    """Kind → the ids of what costs."""
    ec2, made = client("ec2", region), {}
    image = ec2.register_image(Name="image", Architecture="x86_64", RootDeviceName="/dev/sda1")["ImageId"]
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    subnets = [one["SubnetId"] for one in ec2.describe_subnets()["Subnets"]]

    def rent(**more):
        return ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, InstanceType="t3.medium", **more)["Instances"][
            0
        ]["InstanceId"]

    running = rent(
        TagSpecifications=[
            {
                "ResourceType": "instance",
                "Tags": [{"Key": "ferry:run", "Value": "digits-1"}, {"Key": "ferry:owner", "Value": "ben@tower"}],
            }
        ]
    )
    stopped, ended = rent(), rent()
    ec2.stop_instances(InstanceIds=[stopped])
    ec2.terminate_instances(InstanceIds=[ended])
    ec2.create_volume(AvailabilityZone=region + "a", Size=100, VolumeType="gp2")
    volumes = [one["VolumeId"] for one in ec2.describe_volumes()["Volumes"]]
    ec2.create_snapshot(VolumeId=volumes[0])
    snapshots = [
        one["SnapshotId"] for one in ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]
    ]  # the image has one, too
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    gateway = ec2.create_nat_gateway(SubnetId=subnets[0], AllocationId=address)["NatGateway"]["NatGatewayId"]
    paid = ec2.create_vpc_endpoint(
        VpcId=vpc, VpcEndpointType="Interface", ServiceName=f"com.amazonaws.{region}.sqs", SubnetIds=subnets[:2]
    )["VpcEndpoint"]["VpcEndpointId"]
    ec2.create_vpc_endpoint(VpcId=vpc, VpcEndpointType="Gateway", ServiceName=f"com.amazonaws.{region}.s3")
    client("elbv2", region).create_load_balancer(Name="front", Subnets=subnets[:2])
    client("elb", region).create_load_balancer(
        LoadBalancerName="old",
        AvailabilityZones=[region + "a"],
        Listeners=[{"Protocol": "tcp", "LoadBalancerPort": 80, "InstancePort": 80}],
    )
    sagemaker, role = client("sagemaker", region), "arn:aws:iam::123456789012:role/x"
    sagemaker.create_model(ModelName="m", ExecutionRoleArn=role, PrimaryContainer={"Image": "i"})
    sagemaker.create_endpoint_config(
        EndpointConfigName="c",
        ProductionVariants=[
            {
                "VariantName": "v",
                "ModelName": "m",
                "InstanceType": "ml.m5.large",
                "InitialInstanceCount": 2,
                "InitialVariantWeight": 1,
            }
        ],
    )
    sagemaker.create_endpoint(EndpointName="serving", EndpointConfigName="c")
    sagemaker.create_notebook_instance(NotebookInstanceName="book", InstanceType="ml.t3.medium", RoleArn=role)
    sagemaker.stop_notebook_instance(
        NotebookInstanceName=sagemaker.create_notebook_instance(
            NotebookInstanceName="shut", InstanceType="ml.t3.medium", RoleArn=role
        )["NotebookInstanceArn"].rpartition("/")[2]
    )
    made |= {
        "machine": [running],
        "disk": volumes,
        "snapshot": snapshots,
        "address": [address],
        "NAT gateway": [gateway],
        "VPC endpoint": [paid],
        "load balancer": ["front", "old"],
        "SageMaker endpoint": ["serving"],
        "SageMaker notebook": ["book"],
    }
    return made


def look(env, *words):
    done = subprocess.run([FERRY, "account", "--json", *words], env=env, capture_output=True, text=True, check=False)
    answer = json.loads(done.stdout)
    # These moto does not know, and ferry says so.
    assert [one["kind"] for one in answer["unseen"]] == ["capacity reservations"] and done.returncode == 1, (
        done.returncode,
        done.stderr,
        answer,
    )
    return answer


def main():
    endpoint = "http://" + start_moto()
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)

    def client(service, region):
        return boto3.client(
            service, region_name=region, endpoint_url=endpoint, aws_access_key_id="A", aws_secret_access_key="secret"
        )

    with tempfile.TemporaryDirectory() as home:
        env = {
            "PATH": os.environ["PATH"],
            "HOME": home,
            "XDG_DATA_HOME": home + "/data",
            "XDG_CONFIG_HOME": home + "/config",
            "XDG_CACHE_HOME": home + "/cache",
            "AWS_ENDPOINT_URL": endpoint,
            **KEYS,
        }
        before = look(env)
        # moto has snapshots of its own images in every region.
        assert before["regions"] > 10, before
        own = {(one["region"], one["id"]) for one in before["charges"]}
        assert not {one["kind"] for one in before["charges"]} - {"snapshot"}, before
        made = {region: make(client, region) for region in REGIONS}
        after = look(env)
        found = {}
        for one in after["charges"]:
            if (one["region"], one["id"]) not in own:
                found.setdefault(one["region"], {}).setdefault(one["kind"], []).append(one["id"])
        expected = {region: {kind: sorted(ids) for kind, ids in kinds.items()} for region, kinds in made.items()}
        assert {
            region: {kind: sorted(ids) for kind, ids in kinds.items()} for region, kinds in found.items()
        } == expected, (found, expected)
        by_id = {(one["region"], one["kind"], one["id"]): one for one in after["charges"]}
        machine = by_id["us-east-1", "machine", made["us-east-1"]["machine"][0]]
        assert abs(machine["usd_month"] - (0.0416 + 0.005) * 730) < 0.01 and not machine["estimate"], machine
        assert machine["run"] == "digits-1" and machine["owner"] == "ben@tower" and not machine["own"], machine
        assert by_id["us-east-1", "NAT gateway", made["us-east-1"]["NAT gateway"][0]]["usd_month"] == 32.85
        assert by_id["us-east-1", "VPC endpoint", made["us-east-1"]["VPC endpoint"][0]]["usd_month"] == 14.6
        disks = [one for one in after["charges"] if one["kind"] == "disk" and one["region"] == "us-east-1"]
        assert sorted(one["usd_month"] for one in disks)[-1] == 10.0 and any(
            "which is stopped" in one["about"] for one in disks
        ), disks
        unpriced = sum(one["usd_month"] is None for one in after["charges"])
        assert (
            abs(after["usd_month"] - sum(one["usd_month"] or 0 for one in after["charges"])) < 0.01 and unpriced == 0
        ), unpriced
        one_region = look(env, "--region", "sa-east-1")
        assert one_region["regions"] == 1 and {one["region"] for one in one_region["charges"]} == {"sa-east-1"}
        shown = subprocess.run([FERRY, "account"], env=env, capture_output=True, text=True, check=False)
        assert "a month in account 123456789012" in shown.stdout, (shown.stdout, shown.stderr)
        # What it says ends a thing, ends it.
        if shutil.which("aws"):
            order = [
                "NAT gateway",
                "VPC endpoint",
                "load balancer",
                "SageMaker endpoint",
                "SageMaker notebook",
                "machine",
                "snapshot",
                "disk",
                "address",
            ]
            mine = [one for one in one_region["charges"] if ("sa-east-1", one["id"]) not in own]
            done = set()
            for one in sorted(mine, key=lambda one: order.index(one["kind"])):
                if one["end_by"] in done:
                    continue
                done.add(one["end_by"])
                assert one["end_by"].startswith("aws "), one
                ran = subprocess.run(
                    ["bash", "-c", one["end_by"]],
                    env={**env, "AWS_PAGER": ""},
                    capture_output=True,
                    text=True,
                    check=False,
                )
                assert ran.returncode == 0, (one["end_by"], ran.stderr)
            rest = [one for one in look(env, "--region", "sa-east-1")["charges"] if ("sa-east-1", one["id"]) not in own]
            assert not rest, rest
        denied = subprocess.run(
            [FERRY, "account", "--json"],
            env={**env, "AWS_ENDPOINT_URL_EC2": "http://127.0.0.1:1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert denied.returncode == 75 and "regions" in denied.stderr + denied.stdout, (
            denied.returncode,
            denied.stderr,
        )
        hidden = subprocess.run(
            [FERRY, "account", "--json", "--region", "us-east-1"],
            capture_output=True,
            text=True,
            check=False,
            env={**env, "AWS_ENDPOINT_URL_SAGEMAKER": "http://127.0.0.1:1", "AWS_MAX_ATTEMPTS": "1"},
        )
        answer = json.loads(hidden.stdout)
        assert hidden.returncode == 1 and [one["kind"] for one in answer["unseen"]] == [
            "capacity reservations",
            "SageMaker endpoints",
            "SageMaker notebooks",
        ], hidden
        assert any(one["kind"] == "machine" for one in answer["charges"])
    print("ok")


main()
