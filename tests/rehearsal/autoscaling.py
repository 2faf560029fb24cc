#!/usr/bin/env python3
"""boto3 keeps one spot machine alive with a launch template and an Auto Scaling group of at most one; every answer is
checked against AWS's own models. Usage: autoscaling.py FERRY"""
import base64
import contextlib
import datetime
import json
import os
import subprocess
import time

from lib import (
    boto3,
    client,
    described,
    end,
    expect,
    fault,
    launch,
    make_profile,
    new_key,
    newest_ubuntu,
    only,
    refuses,
    run,
    ssh,
)

os.environ["FERRY_REHEARSAL_SPOT_NOTICE_MS"] = "1000"
NAME = "ferry-r"


def until(what, ask, seconds=180):
    deadline = time.monotonic() + seconds
    while not (got := ask()):
        if time.monotonic() > deadline:
            expect(False, f"not within {seconds} s: {what}")
            return None
        time.sleep(0.1)
    return got


def main():
    ec2, scaling = client("ec2"), client("autoscaling")
    new_key(ec2)
    group_id = ec2.create_security_group(GroupName="g", Description="d")["GroupId"]
    ec2.authorize_security_group_ingress(
        GroupId=group_id, IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="127.0.0.1/32"
    )
    make_profile(
        "ferry-p",
        {
            "Statement": {
                "Effect": "Allow",
                "Action": "autoscaling:SetDesiredCapacity",
                "Resource": f"arn:aws:autoscaling:*:*:autoScalingGroup:*:autoScalingGroupName/{NAME}",
            }
        },
    )
    data = dict(
        ImageId=newest_ubuntu(),
        InstanceType="g4dn.xlarge",
        KeyName="k",
        SecurityGroupIds=[group_id],
        IamInstanceProfile={"Name": "ferry-p"},
        InstanceMarketOptions={
            "MarketType": "spot",
            "SpotOptions": {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"},
        },
        MetadataOptions={"HttpTokens": "required", "HttpEndpoint": "enabled"},
        InstanceInitiatedShutdownBehavior="terminate",
        BlockDeviceMappings=[
            {("DeviceName"): "/dev/sda1", "Ebs": {"VolumeSize": 20, "VolumeType": "gp3", "Encrypted": True}}
        ],
        UserData=base64.b64encode(b"#!/bin/sh\necho hello >/home/ubuntu/note\n").decode(),
        TagSpecifications=[
            {("ResourceType"): kind, "Tags": [{"Key": "ferry:run", "Value": "r"}]} for kind in ("instance", "volume")
        ],
    )
    made = ec2.create_launch_template(
        LaunchTemplateName=NAME,
        LaunchTemplateData=data,
        TagSpecifications=[{"ResourceType": "launch-template", "Tags": [{"Key": "ferry:owner", "Value": "me"}]}],
    )["LaunchTemplate"]
    refuses(
        "InvalidLaunchTemplateName.AlreadyExistsException",
        ec2.create_launch_template,
        LaunchTemplateName=NAME,
        LaunchTemplateData=data,
    )
    told = only(
        ec2.describe_launch_template_versions(LaunchTemplateId=made["LaunchTemplateId"])["LaunchTemplateVersions"]
    )["LaunchTemplateData"]
    for member in (
        "ImageId",
        "InstanceType",
        "KeyName",
        "SecurityGroupIds",
        "InstanceMarketOptions",
        "BlockDeviceMappings",
        "UserData",
        "TagSpecifications",
    ):
        expect(told.get(member) == data[member], f"{member}: {told.get(member)} instead of {data[member]}")
    expect(
        only(ec2.describe_launch_templates(Filters=[{"Name": "tag:ferry:owner", "Values": ["me"]}])["LaunchTemplates"])[
            "LaunchTemplateName"
        ]
        == NAME,
        "not found by tag",
    )
    second = ec2.create_launch_template_version(
        LaunchTemplateName=NAME, SourceVersion="1", LaunchTemplateData={"InstanceType": "g5.xlarge"}
    )["LaunchTemplateVersion"]
    expect(
        second["LaunchTemplateData"]["InstanceType"] == "g5.xlarge" and second["LaunchTemplateData"]["KeyName"] == "k",
        f"{second}",
    )
    refuses(
        "InvalidLaunchTemplateId.NotFound", ec2.describe_launch_templates, LaunchTemplateIds=["lt-00000000000000000"]
    )

    subnets = [
        each["SubnetId"]
        for each in ec2.describe_subnets(Filters=[{"Name": "default-for-az", "Values": ["true"]}])["Subnets"]
    ]
    order = dict(
        AutoScalingGroupName=NAME,
        LaunchTemplate={("LaunchTemplateId"): made["LaunchTemplateId"], "Version": "1"},
        MinSize=0,
        MaxSize=1,
        DesiredCapacity=0,
        VPCZoneIdentifier=",".join(subnets),
        HealthCheckType="EC2",
        NewInstancesProtectedFromScaleIn=False,
        Tags=[
            {
                "ResourceId": NAME,
                "ResourceType": "auto-scaling-group",
                "Key": "ferry:owner",
                "Value": "me",
                "PropagateAtLaunch": True,
            }
        ],
    )
    fault("permission", "action=iam:CreateServiceLinkedRole", "count=1")
    refuses("AccessDenied", scaling.create_auto_scaling_group, **order)
    refuses("ValidationError", scaling.set_desired_capacity, AutoScalingGroupName=NAME, DesiredCapacity=0)
    scaling.create_auto_scaling_group(**order)
    refuses("AlreadyExists", scaling.create_auto_scaling_group, **order)

    def group():
        return only(scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[NAME])["AutoScalingGroups"])

    def member(state="InService"):
        found = [each["InstanceId"] for each in group()["Instances"] if each["LifecycleState"] == state]
        return found[0] if found else None

    expect(group()["DesiredCapacity"] == 0 and not group()["Instances"], "a group that is to have none has one")
    scaling.suspend_processes(AutoScalingGroupName=NAME, ScalingProcesses=["AZRebalance"])
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
    scaling.put_scheduled_update_group_action(
        AutoScalingGroupName=NAME, ScheduledActionName="end", StartTime=at, MinSize=0, MaxSize=0, DesiredCapacity=0
    )
    refuses(
        "ValidationError",
        scaling.put_scheduled_update_group_action,
        AutoScalingGroupName=NAME,
        ScheduledActionName="past",
        StartTime=at - datetime.timedelta(hours=2),
        DesiredCapacity=0,
    )
    expect(
        only(scaling.describe_scheduled_actions(AutoScalingGroupName=NAME)["ScheduledUpdateGroupActions"])["MaxSize"]
        == 0,
        "no scheduled end",
    )

    first = launch(ec2, {**data, "UserData": "#!/bin/sh\n"}, MinCount=1, MaxCount=1)
    scaling.attach_instances(AutoScalingGroupName=NAME, InstanceIds=[first["InstanceId"]])
    refuses("ValidationError", scaling.attach_instances, AutoScalingGroupName=NAME, InstanceIds=[first["InstanceId"]])
    expect(group()["DesiredCapacity"] == 1 and member() == first["InstanceId"], "it was not put in")
    mine = {tag["Key"]: tag["Value"] for tag in described(ec2, first["InstanceId"])["Tags"]}
    expect(mine["aws:autoscaling:groupName"] == NAME, f"{mine}")

    # Taken back: the next one comes by itself, is what the template says, and can be logged in to.
    fault("interrupt", f"instance={first['InstanceId']}")
    second_id = until("a second machine", lambda: (got := member()) != first["InstanceId"] and got)
    second = described(ec2, second_id)
    tags = {tag["Key"]: tag["Value"] for tag in second["Tags"]}
    expect(
        tags["ferry:run"] == "r" and tags["ferry:owner"] == "me" and tags["aws:autoscaling:groupName"] == NAME,
        f"{tags}",
    )
    expect(
        second["InstanceLifecycle"] == "spot" and second["IamInstanceProfile"]["Arn"].endswith("/ferry-p"), f"{second}"
    )
    note = until(
        "user-data has run", lambda: "hello" in ssh(second, second["PublicDnsName"], "cat note 2>/dev/null || true")
    )
    expect(note, "the template's user-data did not run")

    # Without capacity it is noted and tried again.
    fault("capacity", "type=g4dn.xlarge")
    ec2.terminate_instances(InstanceIds=[second_id])
    failed = until(
        "a failed launch",
        lambda: [
            each
            for each in scaling.describe_scaling_activities(AutoScalingGroupName=NAME)["Activities"]
            if each["StatusCode"] == "Failed"
        ],
    )
    expect("capacity" in failed[0]["StatusMessage"], f"{failed[0]}")
    fault("clear")
    third_id = until("a third machine", member)

    # Its own role may have it end itself, and nothing else.
    third = described(ec2, third_id)
    role = "ferry-p"
    keys = until(
        "keys of the role",
        lambda: json.loads(
            ssh(
                third,
                third["PublicDnsName"],
                'T=$(curl -s -X PUT -H "X-aws-ec2-metadata-token-ttl-seconds: '
                '60" http://169.254.169.254/latest/api/token); '
                'curl -s -H "X-aws-ec2-metadata-token: '
                f'$T" http://169.254.169.254/latest/meta-data/iam/security-credentials/{role}',
            )
            or "null"
        ),
    )
    own = boto3.client(
        "autoscaling",
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["Token"],
    )
    refuses("AccessDenied", own.delete_auto_scaling_group, AutoScalingGroupName=NAME)
    refuses("AccessDenied", own.set_desired_capacity, AutoScalingGroupName="ferry-other", DesiredCapacity=0)
    with contextlib.suppress(subprocess.CalledProcessError):  # it may be ended before it has told the answer
        ssh(
            third,
            third["PublicDnsName"],  # from inside, as its agent would
            "curl -s --aws-sigv4 aws:amz:us-east-1:autoscaling --user "
            f"'{keys['AccessKeyId']}:{keys['SecretAccessKey']}' "
            f"-H 'x-amz-security-token: {keys['Token']}' -d "
            f"'Action=SetDesiredCapacity&Version=2011-01-01&AutoScalingGroupName={NAME}&DesiredCapacity=0' "
            f"{os.environ['AWS_ENDPOINT_URL']}/",
        )
    expect(group()["DesiredCapacity"] == 0, "the machine could not lower what its group wants")
    ec2.get_waiter("instance_terminated").wait(InstanceIds=[third_id], WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    expect(until("an empty group", lambda: not group()["Instances"]), "")

    # What is deleted by force takes its machine along.
    scaling.set_desired_capacity(AutoScalingGroupName=NAME, DesiredCapacity=1)
    fourth_id = until("a fourth machine", member)
    refuses("ResourceInUse", scaling.delete_auto_scaling_group, AutoScalingGroupName=NAME)
    scaling.delete_auto_scaling_group(AutoScalingGroupName=NAME, ForceDelete=True)
    until(
        "no group", lambda: not scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[NAME])["AutoScalingGroups"]
    )
    expect(described(ec2, fourth_id)["State"]["Name"] == "terminated", "a deleted group left its machine")
    ec2.delete_launch_template(LaunchTemplateName=NAME)
    refuses("InvalidLaunchTemplateName.NotFoundException", ec2.delete_launch_template, LaunchTemplateName=NAME)
    living = [
        each["InstanceId"]
        for page in ec2.describe_instances(Filters=[{"Name": "instance-state-name", "Values": ["pending", "running"]}])[
            "Reservations"
        ]
        for each in page["Instances"]
    ]
    expect(not living, f"left: {living}")


run(main)
