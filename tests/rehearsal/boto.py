#!/usr/bin/env python3
"""boto3 against the rehearsal cloud: every answer is checked against AWS's own model of it, element by element.
Usage: boto.py FERRY"""
import os
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET

try:
    import boto3
    from botocore.exceptions import ClientError
except ImportError:
    print("SKIP: boto3 is not installed")
    sys.exit(77)

ferry = sys.argv[1]
scratch = tempfile.mkdtemp()
os.environ.update(XDG_DATA_HOME=scratch, FERRY_REHEARSAL_BOOT_MS="50", AWS_CONFIG_FILE=os.devnull,
                  AWS_SHARED_CREDENTIALS_FILE=os.devnull, AWS_MAX_ATTEMPTS="1")
problems = []


def local(tag):
    return tag.split("}")[-1]


def check(node, shape, path):
    """Reports every element that the service model does not know, and numbers and booleans that are none."""
    if shape.type_name == "structure":
        members = {m.serialization.get("name", name): m for name, m in shape.members.items()}
        for child in node:
            name = local(child.tag)
            if name in members:
                check(child, members[name], f"{path}/{name}")
            elif not (path.count("/") == 0 and name in ("requestId", "ResponseMetadata")):
                problems.append(f"{path}: unknown element {name}")
    elif shape.type_name == "list":
        wanted = shape.member.serialization.get("name", "item")
        for child in node:
            if local(child.tag) not in (wanted, "item"):
                problems.append(f"{path}: list element {local(child.tag)}, expected {wanted}")
            check(child, shape.member, path + "[]")
    elif len(node):
        problems.append(f"{path}: a {shape.type_name} with children")
    elif shape.type_name in ("integer", "long"):
        int(node.text)
    elif shape.type_name == "boolean" and node.text not in ("true", "false"):
        problems.append(f"{path}: {node.text!r} is no boolean")
    elif getattr(shape, 'enum', None) and node.text is not None and node.text not in shape.enum:
        problems.append(f"{path}: {node.text!r} is not among {shape.enum}")


def watch(client):
    """Checks each answer's raw XML once botocore has it."""
    send = client._endpoint._send

    def checked(request):
        answer = send(request)
        if answer.status_code == 200:
            root = ET.fromstring(answer.content)
            operation = client.meta.service_model.operation_model(local(root.tag).removesuffix("Response"))
            if operation.output_shape is not None:
                check(root, operation.output_shape, operation.name)
        return answer
    client._endpoint._send = checked


def refuses(code, call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        got = error.response["Error"]["Code"]
        if got != code:
            problems.append(f"{call.__name__}: {got}, expected {code}")
    else:
        problems.append(f"{call.__name__} succeeded, expected {code}")


def main():
    subprocess.run([ferry, "rehearsal", "start"], check=True, stdout=subprocess.DEVNULL)
    lines = subprocess.run([ferry, "rehearsal", "env"], check=True, capture_output=True, text=True).stdout
    for line in lines.splitlines():
        if line.startswith("export "):
            name, value = line[len("export "):].split("=", 1)
            os.environ[name] = value.strip("'")
    ec2, sts, ssm = boto3.client("ec2"), boto3.client("sts"), boto3.client("ssm")
    watch(ec2)
    assert sts.get_caller_identity()["Account"].isdigit()
    ami = ssm.get_parameter(Name="/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id")["Parameter"]["Value"]
    names = [p["Name"] for page in ssm.get_paginator("get_parameters_by_path").paginate(Path="/aws/service/deeplearning/ami", Recursive=True) for p in page["Parameters"]]
    assert len(names) == len(set(names)) > 5
    assert ssm.get_parameters(Names=["/nope"])["InvalidParameters"] == ["/nope"]
    refuses("ParameterNotFound", ssm.get_parameter, Name="/nope")

    key = ec2.create_key_pair(KeyName="made", KeyType="ed25519", TagSpecifications=[{"ResourceType": "key-pair", "Tags": [{"Key": "a", "Value": "b"}]}])
    assert "PRIVATE KEY" in key["KeyMaterial"]
    assert ec2.describe_key_pairs(IncludePublicKey=True)["KeyPairs"][0]["PublicKey"].startswith("ssh-ed25519 ")
    group = ec2.create_security_group(GroupName="g", Description="d")["GroupId"]
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "10.0.0.0/8", "Description": "in"}]}])
    order = dict(ImageId=ami, InstanceType="t3.medium", MinCount=2, MaxCount=2, KeyName="made", SecurityGroupIds=[group], ClientToken="boto-1",
                 MetadataOptions={"HttpTokens": "required", "HttpPutResponseHopLimit": 2},
                 BlockDeviceMappings=[{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 20, "VolumeType": "gp3", "Encrypted": True, "DeleteOnTermination": True}}],
                 TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "ünï <&>"}]}], UserData="#!/bin/sh\ntrue\n")
    ids = [i["InstanceId"] for i in ec2.run_instances(**order)["Instances"]]
    assert sorted(i["InstanceId"] for i in ec2.run_instances(**order)["Instances"]) == sorted(ids)
    refuses("IdempotentParameterMismatch", ec2.run_instances, **{**order, "MaxCount": 3})
    ec2.get_waiter("instance_running").wait(InstanceIds=ids, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    found = ec2.describe_instances(Filters=[{"Name": "tag:Name", "Values": ["ünï*"]}, {"Name": "instance-state-name", "Values": ["running"]}])
    assert sum(len(r["Instances"]) for r in found["Reservations"]) == 2
    assert found["Reservations"][0]["Instances"][0]["Tags"][0]["Value"] == "ünï <&>" or len(found["Reservations"][0]["Instances"][0]["Tags"]) > 1
    assert ec2.describe_instance_status(InstanceIds=ids)["InstanceStatuses"][0]["InstanceStatus"]["Status"] == "ok"

    for attribute in ("instanceInitiatedShutdownBehavior", "disableApiTermination", "disableApiStop", "userData", "groupSet", "blockDeviceMapping", "instanceType", "sourceDestCheck"):
        ec2.describe_instance_attribute(InstanceId=ids[0], Attribute=attribute)
    ec2.modify_instance_attribute(InstanceId=ids[0], DisableApiTermination={"Value": True})
    refuses("OperationNotPermitted", ec2.terminate_instances, InstanceIds=ids)
    ec2.modify_instance_attribute(InstanceId=ids[0], DisableApiTermination={"Value": False})
    ec2.modify_instance_metadata_options(InstanceId=ids[0], HttpTokens="optional")
    ec2.create_tags(Resources=ids, Tags=[{"Key": "more", "Value": ""}])
    ec2.delete_tags(Resources=ids[:1], Tags=[{"Key": "more"}])
    for call in (ec2.describe_tags, ec2.describe_volumes, ec2.describe_network_interfaces, ec2.describe_vpcs, ec2.describe_subnets, ec2.describe_availability_zones, ec2.describe_regions,
                 ec2.describe_images, ec2.describe_instance_types, ec2.describe_instance_type_offerings, ec2.describe_security_groups, ec2.describe_security_group_rules,
                 ec2.describe_account_attributes, ec2.describe_instance_credit_specifications, ec2.describe_spot_price_history):
        call()
    ec2.describe_vpc_attribute(VpcId=ec2.describe_vpcs()["Vpcs"][0]["VpcId"], Attribute="enableDnsHostnames")
    ec2.get_console_output(InstanceId=ids[0])
    types = [t["InstanceType"] for page in ec2.get_paginator("describe_instance_types").paginate(PaginationConfig={"PageSize": 20}) for t in page["InstanceTypes"]]
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

    for problem in sorted(set(problems)):
        print("FAIL:", problem)
    print("FAIL" if problems else "PASS")
    return 1 if problems else 0


try:
    sys.exit(main())
finally:
    subprocess.run([ferry, "rehearsal", "stop"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    shutil.rmtree(scratch, ignore_errors=True)
