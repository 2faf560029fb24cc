#!/usr/bin/env python3
"""boto3 against the rehearsal cloud's networks, groups of machines and reserved capacity, and other ways in than a key
pair; AWS's models judge. Usage: network.py FERRY"""
import subprocess
from datetime import datetime, timedelta, timezone

from lib import (
    client,
    described,
    end,
    expect,
    fault,
    launch,
    log_lines,
    make_profile,
    new_key,
    newest_ubuntu,
    only,
    refuses,
    run,
    scratch,
    ssh,
)


def networks_of_ones_own(ec2, order):
    vpc = ec2.create_vpc(
        CidrBlock="127.80.0.0/16",
        TagSpecifications=[{"ResourceType": "vpc", "Tags": [{"Key": "Name", "Value": "mine"}]}],
    )["Vpc"]
    expect(not vpc["IsDefault"] and vpc["Tags"] == [{"Key": "Name", "Value": "mine"}], f"new VPC {vpc}")
    vpc_id = vpc["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc_id, CidrBlock="127.80.0.0/24", AvailabilityZone="us-east-1c")["Subnet"]
    expect(not subnet["MapPublicIpOnLaunch"] and subnet["AvailableIpAddressCount"] == 251, f"new subnet {subnet}")
    subnet_id = subnet["SubnetId"]
    ec2.get_waiter("subnet_available").wait(SubnetIds=[subnet_id])
    ec2.get_waiter("vpc_available").wait(VpcIds=[vpc_id])
    expect(
        only(ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc_id]}])["Subnets"])["SubnetId"]
        == subnet_id,
        "subnets of the VPC",
    )
    expect(len(ec2.describe_vpcs()["Vpcs"]) == 2, "two VPCs")
    group = ec2.create_security_group(GroupName="mine", Description="d", VpcId=vpc_id)["GroupId"]
    usual = ec2.create_security_group(GroupName="mine", Description="d")["GroupId"]
    refuses("InvalidParameter", ec2.run_instances, **order, SubnetId=subnet_id, SecurityGroupIds=[usual])
    refuses("InvalidParameterCombination", ec2.run_instances, **order, SubnetId=subnet_id, SecurityGroups=["mine"])
    refuses("DryRunOperation", ec2.run_instances, **order, SecurityGroups=["mine"], DryRun=True)
    ec2.delete_security_group(GroupName="mine")
    refuses("InvalidGroup.NotFound", ec2.delete_security_group, GroupName="mine")

    fault("no-default-vpc")
    machine = launch(ec2, order, SubnetId=subnet_id, SecurityGroupIds=[group])
    fault("clear")
    expect(
        "PublicIpAddress" not in machine and machine["PublicDnsName"] == "",
        f"a public address: {machine.get('PublicIpAddress')}",
    )
    expect(
        machine["VpcId"] == vpc_id
        and machine["SubnetId"] == subnet_id
        and machine["Placement"]["AvailabilityZone"] == "us-east-1c",
        "its place",
    )
    try:
        ssh(machine, machine["PrivateIpAddress"], "true")
        expect(False, "a way in that no rule opens")
    except subprocess.CalledProcessError as closed:
        expect("timed out" in closed.stderr, f"a closed group says something: {closed.stderr}")
    ec2.authorize_security_group_ingress(
        GroupId=group, IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="127.80.0.0/16"
    )
    expect(ssh(machine, machine["PrivateIpAddress"], "echo in") == "in", "no login at the private address")
    refuses("DependencyViolation", ec2.delete_subnet, SubnetId=subnet_id)
    ec2.modify_subnet_attribute(SubnetId=subnet_id, MapPublicIpOnLaunch={"Value": True})
    public = launch(ec2, order, NetworkInterfaces=[{"DeviceIndex": 0, "SubnetId": subnet_id, "Groups": [group]}])
    expect("PublicIpAddress" in public, "no public address from the subnet")
    private = launch(
        ec2,
        order,
        NetworkInterfaces=[
            {"DeviceIndex": 0, "SubnetId": subnet_id, "Groups": [group], "AssociatePublicIpAddress": False}
        ],
    )
    expect("PublicIpAddress" not in private, "a public address that was not wanted")
    ec2.describe_network_interfaces(Filters=[{"Name": "vpc-id", "Values": [vpc_id]}])
    end(ec2, *(it["InstanceId"] for it in (machine, public, private)))
    ec2.delete_subnet(SubnetId=subnet_id)
    refuses("DependencyViolation", ec2.delete_vpc, VpcId=vpc_id)
    ec2.delete_security_group(GroupId=group)
    ec2.delete_vpc(VpcId=vpc_id)
    refuses("InvalidVpcID.NotFound", ec2.describe_vpcs, VpcIds=[vpc_id])


def placement_groups(ec2, order):
    made = ec2.create_placement_group(
        GroupName="near",
        Strategy="cluster",
        TagSpecifications=[{"ResourceType": "placement-group", "Tags": [{"Key": "a", "Value": "b"}]}],
    )
    expect(
        made["PlacementGroup"]["Strategy"] == "cluster" and made["PlacementGroup"]["Tags"],
        f"new group {made['PlacementGroup']}",
    )
    ec2.create_placement_group(GroupName="parts", Strategy="partition", PartitionCount=3)
    expect(
        len(ec2.describe_placement_groups(Filters=[{"Name": "tag:a", "Values": ["b"]}])["PlacementGroups"]) == 1,
        "by tag",
    )
    expect(
        only(ec2.describe_placement_groups(GroupNames=["parts"])["PlacementGroups"])["PartitionCount"] == 3,
        "partitions",
    )
    refuses("InvalidPlacementGroup.Unknown", ec2.run_instances, **order, Placement={"GroupName": "none"})
    refuses("InvalidParameterCombination", ec2.run_instances, **order, Placement={"GroupName": "near"})
    order = {**order, "InstanceType": "g5.xlarge"}
    first = launch(ec2, order, Placement={"GroupName": "near", "AvailabilityZone": "us-east-1d"})
    expect(
        first["Placement"]["GroupName"] == "near"
        and first["Placement"]["GroupId"] == made["PlacementGroup"]["GroupId"],
        f"placement {first['Placement']}",
    )
    refuses(
        "InvalidPlacementGroup.InUse",
        ec2.run_instances,
        **order,
        Placement={"GroupName": "near", "AvailabilityZone": "us-east-1a"},
    )
    refuses("InvalidPlacementGroup.InUse", ec2.delete_placement_group, GroupName="near")
    end(ec2, first["InstanceId"])
    for name in ("near", "parts"):
        ec2.delete_placement_group(GroupName=name)


def reserved_capacity(ec2, order):
    order = {**order, "InstanceType": "g5.xlarge"}
    made = ec2.create_capacity_reservation(
        InstanceType="g5.xlarge",
        InstancePlatform="Linux/UNIX",
        AvailabilityZone="us-east-1c",
        InstanceCount=1,
        InstanceMatchCriteria="targeted",
        EndDateType="limited",
        EndDate=datetime.now(timezone.utc) + timedelta(days=1),
        TagSpecifications=[{"ResourceType": "capacity-reservation", "Tags": [{"Key": "a", "Value": "b"}]}],
    )["CapacityReservation"]
    expect(
        made["State"] == "active" and made["AvailableInstanceCount"] == 1 and made["Tags"], f"new reservation {made}"
    )
    ours = {"CapacityReservationTarget": {"CapacityReservationId": made["CapacityReservationId"]}}
    refuses(
        "InvalidCapacityReservationId.NotFound",
        ec2.run_instances,
        **order,
        CapacityReservationSpecification={
            "CapacityReservationTarget": {"CapacityReservationId": "cr-00000000000000000"}
        },
    )
    first = launch(ec2, order, CapacityReservationSpecification=ours)
    expect(
        first["CapacityReservationId"] == made["CapacityReservationId"], f"runs in {first.get('CapacityReservationId')}"
    )
    refuses("ReservationCapacityExceeded", ec2.run_instances, **order, CapacityReservationSpecification=ours)
    end(ec2, first["InstanceId"])
    free = only(
        ec2.describe_capacity_reservations(Filters=[{"Name": "tag:a", "Values": ["b"]}])["CapacityReservations"]
    )["AvailableInstanceCount"]
    expect(free == 1, f"{free} free after the end")
    ec2.cancel_capacity_reservation(CapacityReservationId=made["CapacityReservationId"])
    refuses(
        "InvalidCapacityReservationState.Unavailable", ec2.run_instances, **order, CapacityReservationSpecification=ours
    )

    order = {**order, "InstanceType": "p5.48xlarge"}
    offers = ec2.describe_capacity_block_offerings(
        InstanceType="p5.48xlarge", InstanceCount=1, CapacityDurationHours=24
    )["CapacityBlockOfferings"]
    expect(offers and float(offers[0]["UpfrontFee"]) > 0, f"offers {offers}")
    bought = ec2.purchase_capacity_block(
        CapacityBlockOfferingId=offers[0]["CapacityBlockOfferingId"], InstancePlatform="Linux/UNIX"
    )["CapacityReservation"]
    expect(bought["State"] == "active" and bought["ReservationType"] == "capacity-block", f"bought {bought}")
    ours = {"CapacityReservationTarget": {"CapacityReservationId": bought["CapacityReservationId"]}}
    refuses("InvalidParameterValue", ec2.run_instances, **order, CapacityReservationSpecification=ours)
    machine = launch(
        ec2, order, CapacityReservationSpecification=ours, InstanceMarketOptions={"MarketType": "capacity-block"}
    )
    expect(machine["InstanceLifecycle"] == "capacity-block", f"lifecycle {machine.get('InstanceLifecycle')}")
    expect(
        len(
            [
                page
                for page in ec2.get_paginator(("describe_capacity_reservations")).paginate(
                    PaginationConfig={"PageSize": 1}
                )
            ]
        )
        == 2,
        "pages",
    )
    end(ec2, machine["InstanceId"])


def instance_profiles(ec2, order):
    profile = {"IamInstanceProfile": {"Name": "trainer"}}
    refuses("InvalidParameterValue", ec2.run_instances, **order, **profile)
    make_profile("trainer")
    fault("permission", "action=iam:PassRole")
    refuses("UnauthorizedOperation", ec2.run_instances, **order, **profile)
    refuses("UnauthorizedOperation", ec2.run_instances, **order, **profile, DryRun=True)
    fault("clear")
    machine = launch(ec2, order, **profile)
    arn = machine["IamInstanceProfile"]["Arn"]
    expect(arn.endswith(":instance-profile/trainer"), f"profile {arn}")
    asked = """python3 -c 'import os, urllib.request as u
at = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://169.254.169.254") + "/latest/"
def ask(path, method, name, value):
    asked = u.Request(at + path, method=method, headers={"X-aws-ec2-metadata-token" + name: value})
    return u.urlopen(asked).read().decode()
print(ask("meta-data/iam/info", "GET", "", ask("api/token", "PUT", "-ttl-seconds", "60")))'"""
    ec2.authorize_security_group_ingress(
        GroupName="default", IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="127.0.0.1/32"
    )
    expect(arn in ssh(machine, machine["PublicIpAddress"], asked), "iam/info")
    association = only(ec2.describe_iam_instance_profile_associations()["IamInstanceProfileAssociations"])
    expect(
        association["InstanceId"] == machine["InstanceId"] and association["State"] == "associated",
        f"association {association}",
    )
    refuses("IncorrectState", ec2.associate_iam_instance_profile, InstanceId=machine["InstanceId"], **profile)
    ec2.disassociate_iam_instance_profile(AssociationId=association["AssociationId"])
    expect("IamInstanceProfile" not in described(ec2, machine["InstanceId"]), "a profile that was taken away")
    ec2.associate_iam_instance_profile(InstanceId=machine["InstanceId"], **profile)
    return machine


def key_pairs(ec2):
    found = only(
        ec2.describe_key_pairs(IncludePublicKey=True, Filters=[{"Name": "key-name", "Values": ["k*"]}])["KeyPairs"]
    )
    expect(found["PublicKey"].startswith("ssh-ed25519 AAAA"), f"public key {found.get('PublicKey')}")
    expect(
        "PublicKey" not in only(ec2.describe_key_pairs(KeyNames=["k"])["KeyPairs"]),
        "a public key that nobody asked for",
    )


def sessions(ssm, trainer, plain):
    asked = {"DocumentName": "AWS-StartSSHSession", "Parameters": {"portNumber": ["22"]}}
    refuses("TargetNotConnected", ssm.start_session, Target=plain["InstanceId"], **asked)
    refuses("InvalidDocument", ssm.start_session, Target=trainer["InstanceId"], DocumentName="Nothing")
    begun = ssm.start_session(Target=trainer["InstanceId"], **asked)
    expect(
        begun["StreamUrl"].startswith("ws://127.0.0.1:")
        and begun["StreamUrl"].endswith(("/v1/data-channel/") + begun["SessionId"]),
        begun["StreamUrl"],
    )
    ssm.terminate_session(SessionId=begun["SessionId"])
    refuses("ValidationException", ssm.terminate_session, SessionId=begun["SessionId"])


def instance_connect(connect, machine):
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-b", "3072", "-N", "", "-f", f"{scratch}/guest"], check=True)
    with open(f"{scratch}/guest.pub", encoding="ascii") as public:
        asked = {"InstanceId": machine["InstanceId"], "InstanceOSUser": "ubuntu", "SSHPublicKey": public.read()}
    try:
        ssh(machine, machine["PublicIpAddress"], "true", f"{scratch}/guest")
        expect(False, "a key opens before it was sent")
    except subprocess.CalledProcessError:
        pass
    refuses("EC2InstanceNotFoundException", connect.send_ssh_public_key, **asked, AvailabilityZone="us-west-2a")
    expect(
        connect.send_ssh_public_key(**asked, AvailabilityZone=machine["Placement"]["AvailabilityZone"])["Success"],
        "no success",
    )
    expect(ssh(machine, machine["PublicIpAddress"], "echo in", f"{scratch}/guest") == "in", "a sent key opens nothing")


def the_log_names_permissions():
    calls = log_lines()
    for name in (
        "ec2:CreateVpc",
        "ec2:CreateSubnet",
        "ec2:CreatePlacementGroup",
        "ec2:CreateCapacityReservation",
        "ec2:PurchaseCapacityBlock",
        "ssm:StartSession",
        "ssm:TerminateSession",
        "ec2-instance-connect:SendSSHPublicKey",
    ):
        expect(any(line.startswith(name + " 200 ") for line in calls), f"no line for {name}")
    expect(
        any(
            line.startswith("ec2:CreateCapacityReservation 200 ") and line.endswith(" with ec2:CreateTags")
            for line in calls
        ),
        "its tags need a permission of their own",
    )


def main():
    ec2 = client("ec2")
    new_key(ec2)
    order = {"ImageId": newest_ubuntu(), "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1, "KeyName": "k"}
    networks_of_ones_own(ec2, order)
    placement_groups(ec2, order)
    reserved_capacity(ec2, order)
    key_pairs(ec2)
    trainer, plain = instance_profiles(ec2, order), launch(ec2, order)
    sessions(client("ssm"), trainer, plain)
    instance_connect(client("ec2-instance-connect"), plain)
    end(ec2, trainer["InstanceId"], plain["InstanceId"])
    the_log_names_permissions()


run(main)
