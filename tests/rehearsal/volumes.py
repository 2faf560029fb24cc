#!/usr/bin/env python3
"""boto3 against the rehearsal cloud's volumes: their states, what is refused in which words, and that what is written
on one machine is there on the next; AWS's models judge. Usage: volumes.py FERRY"""
from lib import (
    client,
    described,
    end,
    expect,
    fault,
    launch,
    log_lines,
    new_key,
    newest_ubuntu,
    only,
    refuses,
    run,
    ssh,
)

NOWHERE = "vol-00000000000000000"
PLACE = "$(cd -P \"$HOME/../../srv/rehearsal-volumes\" && pwd)"
WAIT = {"Delay": 1, "MaxAttempts": 30}


def volume_of(ec2, volume):
    return only(ec2.describe_volumes(VolumeIds=[volume])["Volumes"])


def made(ec2, zone, **more):
    tags = [{"ResourceType": "volume", "Tags": [{"Key": "Name", "Value": "data"}]}]
    volume = ec2.create_volume(AvailabilityZone=zone, Size=20, VolumeType="gp3", TagSpecifications=tags, **more)
    expect(
        volume["State"] == "creating" and volume["Tags"] == [{"Key": "Name", "Value": "data"}], f"new volume {volume}"
    )
    ec2.get_waiter("volume_available").wait(VolumeIds=[volume["VolumeId"]], WaiterConfig=WAIT)
    return volume["VolumeId"]


def making(ec2):
    for code, more in {
        "InvalidZone.NotFound": {"AvailabilityZone": "us-east-1z", "Size": 8},
        "MissingParameter": {"AvailabilityZone": "us-east-1a"},
        "InvalidParameterValue": {"AvailabilityZone": "us-east-1a", "Size": 100000},
    }.items():
        refuses(code, ec2.create_volume, **more)
    refuses("DryRunOperation", ec2.create_volume, AvailabilityZone="us-east-1a", Size=8, DryRun=True)
    first, again = (
        ec2.create_volume(AvailabilityZone="us-east-1b", Size=8, ClientToken="t", Encrypted=True)["VolumeId"]
        for _ in "12"
    )
    expect(first == again, "a token makes two")
    ec2.get_waiter("volume_available").wait(VolumeIds=[first], WaiterConfig=WAIT)
    found = volume_of(ec2, first)
    expect(
        found["Size"] == 8 and found["VolumeType"] == "gp2" and found["Encrypted"] and found["Attachments"] == [],
        f"{found}",
    )
    ec2.create_tags(Resources=[first], Tags=[{"Key": "Name", "Value": "other"}])
    expect(
        only(ec2.describe_volumes(Filters=[{"Name": "tag:Name", "Values": ["other"]}])["Volumes"])["VolumeId"] == first,
        "by its name",
    )
    ec2.delete_volume(VolumeId=first)
    for call in (ec2.delete_volume, ec2.detach_volume):
        refuses("InvalidVolume.NotFound", call, VolumeId=first)
    refuses("InvalidVolume.NotFound", ec2.describe_volumes, VolumeIds=[first])
    expect(
        ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [first]}])["Tags"] == [], "tags of what is gone"
    )


def attaching(ec2, volume, machine, other_zone):
    where = {"InstanceId": machine["InstanceId"], "Device": "/dev/sdf"}
    refuses("InvalidVolume.NotFound", ec2.attach_volume, VolumeId=NOWHERE, **where)
    refuses(
        "InvalidInstanceID.NotFound",
        ec2.attach_volume,
        VolumeId=volume,
        InstanceId="i-00000000000000000",
        Device="/dev/sdf",
    )
    refuses("InvalidVolume.ZoneMismatch", ec2.attach_volume, VolumeId=other_zone, **where)
    refuses(
        "InvalidParameterValue",
        ec2.attach_volume,
        VolumeId=volume,
        InstanceId=machine["InstanceId"],
        Device="/dev/sda1",
    )
    refuses("IncorrectState", ec2.detach_volume, VolumeId=volume)
    fresh = ec2.create_volume(AvailabilityZone=machine["Placement"]["AvailabilityZone"], Size=8)["VolumeId"]
    refuses("IncorrectState", ec2.attach_volume, VolumeId=fresh, **where)
    ec2.get_waiter("volume_available").wait(VolumeIds=[fresh], WaiterConfig=WAIT)
    ec2.delete_volume(VolumeId=fresh)
    begun = ec2.attach_volume(VolumeId=volume, **where)
    expect(begun["State"] == "attaching" and begun["Device"] == "/dev/sdf", f"begun {begun}")
    ec2.get_waiter("volume_in_use").wait(VolumeIds=[volume], WaiterConfig=WAIT)
    found = only(volume_of(ec2, volume)["Attachments"])
    expect(found["InstanceId"] == machine["InstanceId"] and not found["DeleteOnTermination"], f"attached {found}")
    shown = {
        it["DeviceName"]: it["Ebs"]["VolumeId"] for it in described(ec2, machine["InstanceId"])["BlockDeviceMappings"]
    }
    expect(shown.get("/dev/sdf") == volume, f"the instance has {shown}")
    refuses("VolumeInUse", ec2.attach_volume, VolumeId=volume, **where)
    refuses("VolumeInUse", ec2.delete_volume, VolumeId=volume)
    expect(
        only(
            ec2.describe_volumes(
                Filters=[
                    {"Name": "attachment.instance-id", "Values": [machine["InstanceId"]]},
                    {"Name": "attachment.device", "Values": ["/dev/sdf"]},
                ]
            )["Volumes"]
        )["VolumeId"]
        == volume,
        "by its machine",
    )


def detaching(ec2, volume, machine):
    refuses("InvalidAttachment.NotFound", ec2.detach_volume, VolumeId=volume, InstanceId="i-00000000000000000")
    expect(ec2.detach_volume(VolumeId=volume)["State"] == "detaching", "not detaching")
    ec2.get_waiter("volume_available").wait(VolumeIds=[volume], WaiterConfig=WAIT)
    expect(ssh(machine, machine["PublicIpAddress"], f"ls {PLACE}") == "", "it is there yet")


def main():
    ec2 = client("ec2")
    new_key(ec2)
    ec2.authorize_security_group_ingress(
        GroupName="default", IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="127.0.0.1/32"
    )
    order = {
        "ImageId": newest_ubuntu(),
        "InstanceType": "t3.micro",
        "MinCount": 1,
        "MaxCount": 1,
        "KeyName": "k",
        "Placement": {("AvailabilityZone"): "us-east-1c"},
    }
    making(ec2)
    machine = launch(ec2, order)
    volume, elsewhere = made(ec2, "us-east-1c"), made(ec2, "us-east-1a")
    expect(
        len(ec2.describe_volumes(Filters=[{"Name": "tag:Name", "Values": ["data"]}])["Volumes"]) == 2, "two of one name"
    )
    attaching(ec2, volume, machine, elsewhere)
    ssh(
        machine,
        machine["PublicIpAddress"],
        f"sudo mkdir {PLACE}/{volume}/data && echo 42 | sudo tee {PLACE}/{volume}/data/answer",
    )
    detaching(ec2, volume, machine)
    ec2.attach_volume(VolumeId=volume, InstanceId=machine["InstanceId"], Device="/dev/sdf")
    end(ec2, machine["InstanceId"])
    expect(volume_of(ec2, volume)["State"] == "available", "its machine is gone, and it is not available")
    following = launch(ec2, order)
    ec2.attach_volume(VolumeId=volume, InstanceId=following["InstanceId"], Device="/dev/sdg")
    expect(
        ssh(following, following["PublicIpAddress"], f"cat {PLACE}/{volume}/data/answer") == "42",
        "what was written is gone",
    )
    fault("die", f"instance={following['InstanceId']}")
    ec2.get_waiter(("instance_terminated")).wait(
        InstanceIds=[following["InstanceId"]], WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    ec2.get_waiter("volume_available").wait(VolumeIds=[volume], WaiterConfig=WAIT)
    last = launch(ec2, order)
    ec2.stop_instances(InstanceIds=[last["InstanceId"]])
    ec2.get_waiter(("instance_stopped")).wait(
        InstanceIds=[last["InstanceId"]], WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    ec2.attach_volume(VolumeId=volume, InstanceId=last["InstanceId"], Device="/dev/sdf")
    ec2.start_instances(InstanceIds=[last["InstanceId"]])
    ec2.get_waiter(("instance_running")).wait(
        InstanceIds=[last["InstanceId"]], WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    last = described(ec2, last["InstanceId"])
    expect(
        ssh(last, last["PublicIpAddress"], f"cat {PLACE}/{volume}/data/answer") == "42",
        "what was written did not live through a crash",
    )
    end(ec2, last["InstanceId"])
    for one in (volume, elsewhere):
        ec2.delete_volume(VolumeId=one)
    expect(ec2.describe_volumes()["Volumes"] == [], "volumes are left")
    for name in ("CreateVolume", "AttachVolume", "DetachVolume", "DeleteVolume"):
        expect(any(line.startswith(f"ec2:{name} 200 ") for line in log_lines()), f"no line for {name}")


run(main)
