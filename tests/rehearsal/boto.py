#!/usr/bin/env python3
"""boto3 against the rehearsal cloud: every answer is checked against AWS's own model of it, element by element.
Usage: boto.py FERRY"""
import os

from lib import boto3, client, newest_ubuntu, refuses, run, scratch


def main():
    ec2, ssm, sts = client("ec2"), client("ssm"), boto3.client("sts")
    assert sts.get_caller_identity()["Account"].isdigit()
    ami = newest_ubuntu()
    names = [
        p["Name"]
        for page in ssm.get_paginator("get_parameters_by_path").paginate(
            Path="/aws/service/deeplearning/ami", Recursive=True
        )
        for p in page["Parameters"]
    ]
    assert len(names) == len(set(names)) > 5
    assert ssm.get_parameters(Names=["/nope"])["InvalidParameters"] == ["/nope"]
    refuses("ParameterNotFound", ssm.get_parameter, Name="/nope")

    key = ec2.create_key_pair(
        KeyName="made",
        KeyType="ed25519",
        TagSpecifications=[{("ResourceType"): "key-pair", "Tags": [{"Key": "a", "Value": "b"}]}],
    )
    assert "PRIVATE KEY" in key["KeyMaterial"]
    assert ec2.describe_key_pairs(IncludePublicKey=True)["KeyPairs"][0]["PublicKey"].startswith("ssh-ed25519 ")
    group = ec2.create_security_group(GroupName="g", Description="d")["GroupId"]
    ec2.authorize_security_group_ingress(
        GroupId=group,
        IpPermissions=[
            {
                "IpProtocol": "tcp",
                "FromPort": 22,
                "ToPort": 22,
                "IpRanges": [{"CidrIp": "10.0.0.0/8", "Description": "in"}],
            }
        ],
    )
    order = dict(
        ImageId=ami,
        InstanceType="t3.medium",
        MinCount=2,
        MaxCount=2,
        KeyName="made",
        SecurityGroupIds=[group],
        ClientToken="boto-1",
        MetadataOptions={"HttpTokens": "required", "HttpPutResponseHopLimit": 2},
        BlockDeviceMappings=[
            {
                "DeviceName": "/dev/sda1",
                "Ebs": {"VolumeSize": 20, "VolumeType": "gp3", "Encrypted": True, "DeleteOnTermination": True},
            }
        ],
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "ünï <&>"}]}],
        UserData=("#!/bin/sh\ntrue\n"),
    )
    ids = [i["InstanceId"] for i in ec2.run_instances(**order)["Instances"]]
    assert sorted(i["InstanceId"] for i in ec2.run_instances(**order)["Instances"]) == sorted(ids)
    refuses("IdempotentParameterMismatch", ec2.run_instances, **{**order, "MaxCount": 3})
    ec2.get_waiter("instance_running").wait(InstanceIds=ids, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    found = ec2.describe_instances(
        Filters=[{"Name": "tag:Name", "Values": ["ünï*"]}, {"Name": "instance-state-name", "Values": ["running"]}]
    )
    assert sum(len(r["Instances"]) for r in found["Reservations"]) == 2
    assert (
        found["Reservations"][0]["Instances"][0]["Tags"][0]["Value"] == "ünï <&>"
        or len(found["Reservations"][0]["Instances"][0]["Tags"]) > 1
    )
    assert ec2.describe_instance_status(InstanceIds=ids)["InstanceStatuses"][0]["InstanceStatus"]["Status"] == "ok"

    for attribute in (
        "instanceInitiatedShutdownBehavior",
        "disableApiTermination",
        "disableApiStop",
        "userData",
        "groupSet",
        "blockDeviceMapping",
        "instanceType",
        "sourceDestCheck",
    ):
        ec2.describe_instance_attribute(InstanceId=ids[0], Attribute=attribute)
    ec2.modify_instance_attribute(InstanceId=ids[0], DisableApiTermination={"Value": True})
    refuses("OperationNotPermitted", ec2.terminate_instances, InstanceIds=ids)
    ec2.modify_instance_attribute(InstanceId=ids[0], DisableApiTermination={"Value": False})
    ec2.modify_instance_metadata_options(InstanceId=ids[0], HttpTokens="optional")
    ec2.create_tags(Resources=ids, Tags=[{"Key": "more", "Value": ""}])
    ec2.delete_tags(Resources=ids[:1], Tags=[{"Key": "more"}])
    for call in (
        ec2.describe_tags,
        ec2.describe_volumes,
        ec2.describe_network_interfaces,
        ec2.describe_vpcs,
        ec2.describe_subnets,
        ec2.describe_availability_zones,
        ec2.describe_regions,
        ec2.describe_images,
        ec2.describe_instance_types,
        ec2.describe_instance_type_offerings,
        ec2.describe_security_groups,
        ec2.describe_security_group_rules,
        ec2.describe_account_attributes,
        ec2.describe_instance_credit_specifications,
        ec2.describe_spot_price_history,
    ):
        call()
    ec2.describe_vpc_attribute(VpcId=ec2.describe_vpcs()["Vpcs"][0]["VpcId"], Attribute="enableDnsHostnames")
    ec2.get_console_output(InstanceId=ids[0])
    types = [
        t["InstanceType"]
        for page in ec2.get_paginator(("describe_instance_types")).paginate(PaginationConfig={"PageSize": 20})
        for t in page["InstanceTypes"]
    ]
    assert len(types) == len(set(types)) > 100

    url = ec2.generate_presigned_url("describe_regions", HttpMethod="GET")
    import urllib.request

    assert b"us-east-1" in urllib.request.urlopen(url).read()

    ec2.stop_instances(InstanceIds=ids[:1])
    ec2.get_waiter("instance_stopped").wait(InstanceIds=ids[:1], WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    ec2.terminate_instances(InstanceIds=ids)
    ec2.get_waiter("instance_terminated").wait(InstanceIds=ids, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    ec2.delete_security_group(GroupId=group)
    ec2.delete_key_pair(KeyName="made")
    instances = os.path.join(scratch, "ferry", "rehearsal", "instances")
    assert not os.path.isdir(instances) or not os.listdir(instances)


run(main)
