#!/usr/bin/env python3
"""The policy that `ferry policy` prints, before an evaluator that knows nothing of ferry (iam.py): what its holder
could do to others in the account, and what ferry itself needs. Usage: policy.py FERRY"""
import json
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "program"))
from iam import ACCOUNT, Need, Policy, ec2_arn, needs_of, s3_need
from lib import FERRY, Home, main

ME, OTHER = "anna@laptop", "ben@tower"
THERE = {
    "i-mine": {("ferry:owner"): ME, "ferry:run": "a"},
    "i-bens": {"ferry:owner": OTHER, "ferry:run": "b"},
    "i-database": {"Name": "payroll"},
    "sg-mine": {"ferry:owner": ME},
    "sg-bens": {"ferry:owner": OTHER},
    "sg-office": {},
    "key-mine": {"ferry:owner": ME},
    "key-bens": {"ferry:owner": OTHER},
}


def policy(*flags):
    done = subprocess.run([FERRY, "policy", *flags], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return Policy(json.loads(done.stdout))


def tags(kind, number=1, **more):
    pairs = {"ferry:owner": ME, "ferry:run": "a", **more}
    found = {f"TagSpecification.{number}.ResourceType": kind}
    for place, (key, value) in enumerate(pairs.items(), 1):
        found |= {
            f"TagSpecification.{number}.Tag.{place}.Key": key,
            f"TagSpecification.{number}.Tag.{place}.Value": value,
        }
    return {name: value for name, value in found.items() if value is not None}


def rental(**more):
    return {
        "ImageId": "ami-1",
        "InstanceType": "g5.xlarge",
        "KeyName": "key-mine",
        "SecurityGroupId.1": "sg-mine",
        "MinCount": "1",
        "MaxCount": "1",
        **tags("instance"),
        **tags("volume", 2),
        **more,
    }


def refused(document, action, params, service="ec2"):
    needs = needs_of(service, action, params, THERE)
    assert not all(document.allows(need) for need in needs), f"its holder may {action} {params}"


def allowed(document, action, params, service="ec2"):
    for need in needs_of(service, action, params, THERE):
        assert document.allows(need), f"ferry may not {need}"


def test_the_evaluator_is_not_blind():
    def one(effect="Allow", action="ec2:Start*", resource="*", **condition):
        return {
            "Effect": effect,
            "Action": action,
            "Resource": resource,
            **({("Condition"): condition} if condition else {}),
        }

    need = Need(
        "ec2:StartInstances", ec2_arn("instance", "i-1"), {("aws:ResourceTag/Team"): "a", "aws:TagKeys": ["x", "y"]}
    )
    equals = lambda value, key="aws:ResourceTag/team": {"StringEquals": {key: value}}
    for expected, statements in [
        (True, [one()]),
        (False, []),
        (False, [one(), one("Deny", "*")]),
        (False, [one(action="ec2:Stop*")]),
        (False, [one(action="s3:*")]),
        (True, [one(resource="arn:aws:ec2:*:*:instance/*")]),
        (False, [one(resource="arn:aws:ec2:*:*:volume/*")]),
        (True, [one(**equals(("a")))]),
        (True, [one(**equals(["b", "a"]))]),
        (False, [one(**equals("A"))]),
        (False, [one(**equals("*"))]),
        (False, [one(**equals("a", "aws:ResourceTag/other"))]),
        (True, [one(StringLike={"aws:ResourceTag/team": "?"})]),
        (True, [one(StringNotEquals={("aws:ResourceTag/other"): "a"})]),
        (False, [one(StringNotEquals={"aws:ResourceTag/team": "a"})]),
        (True, [one(Null={("aws:ResourceTag/other"): "true"})]),
        (False, [one(Null={"aws:ResourceTag/team": "true"})]),
        (True, [one(**{"ForAllValues:StringEquals": {"aws:TagKeys": ["x", "y", "z"]}})]),
        (False, [one(**{"ForAllValues:StringEquals": {"aws:TagKeys": ["x"]}})]),
        (True, [one(**{"ForAnyValue:StringEquals": {"aws:TagKeys": ["x"]}})]),
        (True, [one(StringEqualsIfExists={("aws:ResourceTag/other"): "z"})]),
        (False, [one(**equals("${aws:nothing}"))]),
    ]:
        assert Policy({"Version": "2012-10-17", "Statement": statements}).allows(need) == expected, statements
    named = Need("ssm:TerminateSession", "arn:aws:ssm:us-east-1:1:session/AIDAFERRY-1")
    assert Policy(
        {
            "Version": "2012-10-17",
            "Statement": [one(action="ssm:*", resource="arn:aws:ssm:*:*:session/${aws:userid}-*")],
        }
    ).allows(named)


def test_nobody_takes_what_is_anothers():
    for document in (policy("--owner", ME), policy("--owner", ME, "--all", "--role", "trainer")):
        for name in ("i-bens", "i-database"):
            for action in ("TerminateInstances", "StopInstances", "StartInstances"):
                refused(document, action, {"InstanceId.1": name})
                refused(document, action, {"InstanceId.1": "i-mine", "InstanceId.2": name})
            refused(document, "SendSSHPublicKey", {"InstanceId": name}, "ec2-instance-connect")
            refused(document, "StartSession", {"Target": name, "DocumentName": "AWS-StartSSHSession"}, "ssm")
            # To tag it first would make it one's own.
            for tag in (ME, OTHER, "*"):
                refused(document, "CreateTags", {"ResourceId.1": name, "Tag.1.Key": "ferry:owner", "Tag.1.Value": tag})
        refused(document, "CreateTags", {"ResourceId.1": "sg-office", "Tag.1.Key": "ferry:owner", "Tag.1.Value": ME})
        refused(document, "CreateTags", {"ResourceId.1": "i-mine", "Tag.1.Key": "Name", "Tag.1.Value": "x"})
        lease = {"Tag.1.Key": "ferry:lease", "Tag.1.Value": "{}"}
        allowed(document, "CreateTags", {"ResourceId.1": "i-mine", **lease})
        refused(
            document,
            "CreateTags",
            {("ResourceId.1"): "i-mine", **lease, "Tag.2.Key": "ferry:owner", "Tag.2.Value": OTHER},
        )
        for name in ("i-bens", "i-database", "sg-mine"):
            refused(document, "CreateTags", {"ResourceId.1": name, **lease})
        for name in ("sg-bens", "sg-office"):
            for action in ("AuthorizeSecurityGroupIngress", "RevokeSecurityGroupIngress", "DeleteSecurityGroup"):
                refused(document, action, {"GroupId": name})
        refused(document, "DeleteKeyPair", {"KeyName": "key-bens"})
        refused(document, "ModifyInstanceAttribute", {"InstanceId": "i-mine"})
        refused(document, "DeleteTags", {"ResourceId.1": "i-bens", "Tag.1.Key": "ferry:owner"})


def test_nothing_is_made_without_its_makers_tag():
    document = policy("--owner", ME, "--all", "--role", "trainer")
    refused(document, "RunInstances", rental(**tags("instance", **{"ferry:owner": OTHER})))
    refused(document, "RunInstances", rental(**tags("volume", 2, **{"ferry:owner": OTHER})))
    refused(document, "RunInstances", rental(**tags("instance", **{"ferry:owner": ""})))
    untagged = {name: value for name, value in rental().items() if not name.startswith("TagSpecification")}
    refused(document, "RunInstances", untagged)
    refused(document, "RunInstances", {**untagged, **tags("volume")})
    refused(document, "RunInstances", rental(**tags("network-interface", 3)))
    for action, kind in (("ImportKeyPair", "key-pair"), ("CreateSecurityGroup", "security-group")):
        refused(document, action, {"KeyName": "k"})
        refused(document, action, {"KeyName": "k", **tags(kind, **{"ferry:owner": OTHER})})
    # A call that makes something is no way to tag something else.
    for made in ("RunInstances", "CreateSecurityGroup", "ImportKeyPair", "CreateVolume", "CreateFleet"):
        stranger = Need(
            "ec2:CreateTags",
            ec2_arn("instance", "i-bens"),
            {("aws:RequestTag/ferry:owner"): OTHER, "ec2:CreateAction": made},
        )
        assert not document.allows(stranger), made
    assert not document.allows(
        Need(
            "ec2:CreateTags",
            ec2_arn("vpc", "new"),
            {("aws:RequestTag/ferry:owner"): ME, "ec2:CreateAction": "CreateVpc"},
        )
    )


def test_no_role_is_passed_on_but_those_that_are_named():
    profile = {"IamInstanceProfile.Name": "admin"}
    for document in (
        policy(("--owner"), ME),
        policy("--owner", ME, "--all"),
        policy("--owner", ME, "--all", "--role", "trainer"),
    ):
        refused(document, "RunInstances", rental(**profile))
        for role in ("admin", "trainer2", "x/trainer", "*"):
            assert not document.allows(
                Need(
                    "iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/{role}", {"iam:PassedToService": "ec2.amazonaws.com"}
                )
            )
    named = policy("--owner", ME, "--role", "trainer", "--role", f"arn:aws:iam::{ACCOUNT}:instance-profile/team/reader")
    allowed(named, "RunInstances", rental(**{"IamInstanceProfile.Name": "trainer"}))
    reader = f"arn:aws:iam::{ACCOUNT}:role/team/reader"
    assert named.allows(Need("iam:PassRole", reader, {"iam:PassedToService": "ec2.amazonaws.com"}))
    assert not named.allows(Need("iam:PassRole", reader, {"iam:PassedToService": "lambda.amazonaws.com"}))
    for action in (
        "iam:CreateRole",
        "iam:AttachRolePolicy",
        "iam:CreateAccessKey",
        "sts:AssumeRole",
        "s3:GetObject",
        "ec2:CreateVolume",
    ):
        assert not named.allows(Need(action, "*")), action
    assert not named.allows(
        Need(
            "iam:CreateServiceLinkedRole",
            f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/x",
            {"iam:AWSServiceName": "x.amazonaws.com"},
        )
    )


BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/ferry/ferry-store"
ROLES = {
    "role/ferry/ferry-mine": {"tags": {"ferry:owner": ME}, "boundary": BOUNDARY},
    "instance-profile/ferry/ferry-mine": {"tags": {"ferry:owner": ME}},
    "role/ferry/ferry-bens": {"tags": {"ferry:owner": OTHER}, "boundary": BOUNDARY},
    "instance-profile/ferry/ferry-bens": {"tags": {"ferry:owner": OTHER}},
    "role/ferry/ferry-free": {"tags": {"ferry:owner": ME}},
    "role/admin": {},
    "instance-profile/admin": {},
}


def iam_tag(owner=ME):
    return {"Tags.member.1.Key": "ferry:owner", "Tags.member.1.Value": owner}


def may_iam(document, action, **params):
    return all(document.allows(need) for need in needs_of("iam", action, params, ROLES))


def test_a_store_gives_roles_that_its_boundary_holds_and_no_other_way_to_any_right():
    new = {"RoleName": "ferry-new", "Path": "/ferry/", "AssumeRolePolicyDocument": "{}"}
    profile = {"InstanceProfileName": "ferry-new", "Path": "/ferry/"}
    for document in (
        policy("--owner", ME, "--store", "s3://bucket/team"),
        policy("--owner", ME, "--store", "s3://bucket/team", "--all"),
    ):
        # What ferry does.
        for action, params in [
            ("CreateRole", {**new, "PermissionsBoundary": BOUNDARY, **iam_tag()}),
            (("CreateInstanceProfile"), {**profile, **iam_tag()}),
            ("PutRolePolicy", {"RoleName": "ferry-mine", "PolicyName": "x"}),
            (("DeleteRolePolicy"), {"RoleName": "ferry-mine", "PolicyName": "x"}),
            ("AddRoleToInstanceProfile", {"InstanceProfileName": "ferry-mine", "RoleName": "ferry-mine"}),
            ("RemoveRoleFromInstanceProfile", {"InstanceProfileName": "ferry-mine", "RoleName": "ferry-mine"}),
            (("DeleteInstanceProfile"), {"InstanceProfileName": "ferry-mine"}),
            ("DeleteRole", {"RoleName": "ferry-mine"}),
            ("GetRole", {"RoleName": "ferry-mine"}),
            ("GetInstanceProfile", {("InstanceProfileName"): "ferry-mine"}),
            ("ListRoles", {}),
            ("GetPolicy", {"PolicyArn": BOUNDARY}),
            (("GetPolicyVersion"), {"PolicyArn": BOUNDARY, "VersionId": "v1"}),
        ]:
            assert may_iam(document, action, **params), (action, params)
        assert document.allows(
            Need(
                "iam:PassRole",
                f"arn:aws:iam::{ACCOUNT}:role/ferry/ferry-mine",
                {"iam:PassedToService": "ec2.amazonaws.com"},
            )
        )
        # What an attacker would do.
        for action, params in [
            ("CreateRole", {**new, **iam_tag()}),
            ("CreateRole", {**new, "PermissionsBoundary": BOUNDARY}),
            ("CreateRole", {**new, "PermissionsBoundary": "arn:aws:iam::aws:policy/AdministratorAccess", **iam_tag()}),
            ("CreateRole", {**new, "PermissionsBoundary": f"arn:aws:iam::{ACCOUNT}:policy/ferry-store", **iam_tag()}),
            ("CreateRole", {**new, "Path": "/", "PermissionsBoundary": BOUNDARY, **iam_tag()}),
            ("CreateRole", {**new, "Path": "/ferry/x/", "RoleName": "y", "PermissionsBoundary": BOUNDARY, **iam_tag()}),
            ("CreateRole", {**new, "RoleName": "admin", "PermissionsBoundary": BOUNDARY, **iam_tag()}),
            ("CreateRole", {**new, "PermissionsBoundary": BOUNDARY, **iam_tag(OTHER)}),
            (("PutRolePolicy"), {"RoleName": "ferry-free", "PolicyName": "x"}),
            ("PutRolePolicy", {"RoleName": "ferry-bens", "PolicyName": "x"}),
            ("PutRolePolicy", {"RoleName": "admin", "PolicyName": "x"}),
            (("AttachRolePolicy"), {"RoleName": "ferry-mine"}),
            ("DeleteRolePermissionsBoundary", {"RoleName": "ferry-mine"}),
            ("PutRolePermissionsBoundary", {"RoleName": "ferry-mine", "PermissionsBoundary": BOUNDARY}),
            (("UpdateAssumeRolePolicy"), {"RoleName": "ferry-mine"}),
            ("DeleteRole", {"RoleName": "ferry-bens"}),
            ("DeleteRole", {"RoleName": "admin"}),
            ("TagRole", {"RoleName": "ferry-bens", **iam_tag()}),
            ("TagRole", {"RoleName": "admin", **iam_tag()}),
            ("UntagRole", {"RoleName": "ferry-bens"}),
            ("TagInstanceProfile", {"InstanceProfileName": "ferry-bens", **iam_tag()}),
            ("AddRoleToInstanceProfile", {"InstanceProfileName": "ferry-mine", "RoleName": "admin"}),
            ("AddRoleToInstanceProfile", {"InstanceProfileName": "admin", "RoleName": "ferry-mine"}),
            ("AddRoleToInstanceProfile", {"InstanceProfileName": "ferry-bens", "RoleName": "ferry-mine"}),
            ("RemoveRoleFromInstanceProfile", {"InstanceProfileName": "ferry-bens", "RoleName": "ferry-bens"}),
            ("CreatePolicyVersion", {"PolicyArn": BOUNDARY}),
            (("SetDefaultPolicyVersion"), {"PolicyArn": BOUNDARY}),
            ("DeletePolicy", {"PolicyArn": BOUNDARY}),
            ("CreatePolicy", {"PolicyName": "ferry-store", "Path": "/ferry/"}),
        ]:
            assert not may_iam(document, action, **params), f"its holder may {action} {params}"
        for role, service in [
            ("admin", "ec2"),
            ("ferry/ferry-mine", "lambda"),
            ("ferry-mine", "ec2"),
            (("x/ferry/ferry-mine"), "ec2"),
        ]:
            passed = Need(
                "iam:PassRole",
                f"arn:aws:iam::{ACCOUNT}:role/{role}",
                {"iam:PassedToService": f"{service}.amazonaws.com"},
            )
            assert not document.allows(passed), (role, service)


def test_a_store_gives_its_own_part_of_its_own_bucket():
    document = policy("--owner", ME, "--store", "s3://bucket/team")
    for action in ("GetObject", "PutObject", "DeleteObject", "AbortMultipartUpload", "ListMultipartUploadParts"):
        assert document.allows(s3_need(action, "bucket", "team/runs/a/a1/r0/manifest.json")), action
        for bucket, key in [
            ("bucket", "team/secret"),
            ("bucket", "runs/a/lease"),
            ("bucket", "other/runs/a/lease"),
            ("bucket2", "team/runs/a/lease"),
            ("bucket", ""),
        ]:
            assert not document.allows(s3_need(action, bucket, key)), (action, bucket, key)
    for prefix in ("team/runs/", "team/runs/a/"):
        assert document.allows(s3_need("ListBucket", "bucket", prefix=prefix))
    for prefix in (None, "", "team/", "other/runs/"):
        assert not document.allows(s3_need("ListBucket", "bucket", prefix=prefix)), prefix
    assert document.allows(s3_need("ListBucketMultipartUploads", "bucket"))
    for action in ("DeleteBucket", "PutBucketPolicy", "PutLifecycleConfiguration", "CreateBucket", "GetBucketPolicy"):
        assert not document.allows(s3_need(action, "bucket")), action
    plain = policy("--owner", ME)
    for need in (
        s3_need("GetObject", "bucket", "team/runs/a/lease"),
        Need(
            "iam:PassRole",
            f"arn:aws:iam::{ACCOUNT}:role/ferry/ferry-mine",
            {("iam:PassedToService"): "ec2.amazonaws.com"},
        ),
    ):
        assert not plain.allows(need), "who has no store needs none of it"
    for bad in ("gs://bucket", "s3://bucket/*", "s3://b*", "s3://bucket/${aws:username}", "here"):
        done = subprocess.run([FERRY, "policy", "--store", bad], capture_output=True, text=True)
        assert done.returncode == 125 and not done.stdout and "try:" in done.stderr, (bad, done)
    with Home() as home:
        settings = home.root / ".config/ferry/config.yaml"
        settings.parent.mkdir(parents=True)
        settings.write_text("store: s3://bucket/team\n")
        assert json.loads(home.good("policy", "--owner", ME).out) == json.loads(
            home.good("policy", "--owner", ME, "--store", "s3://bucket/team").out
        )


def test_what_is_ones_own_is_made_reached_and_ended():
    document = policy("--owner", "anna@other", "--owner", ME, "--all", "--role", "trainer")
    allowed(document, "RunInstances", rental())
    allowed(document, "RunInstances", rental(**{"InstanceMarketOptions.MarketType": "spot", "SubnetId": "subnet-1"}))
    allowed(document, "RunInstances", rental(**{"Placement.GroupName": "together"}))
    for action in ("TerminateInstances", "StopInstances", "StartInstances"):
        allowed(document, action, {"InstanceId.1": "i-mine"})
    allowed(document, "CreateSecurityGroup", {"GroupName": "g", **tags("security-group")})
    allowed(document, "CreateSecurityGroup", {"GroupName": "g", "VpcId": "vpc-1", **tags("security-group")})
    allowed(document, "ImportKeyPair", {"KeyName": "k", **tags("key-pair")})
    for action in ("AuthorizeSecurityGroupIngress", "RevokeSecurityGroupIngress", "DeleteSecurityGroup"):
        allowed(document, action, {"GroupId": "sg-mine"})
    allowed(document, "DeleteKeyPair", {"KeyName": "key-mine"})
    allowed(document, "SendSSHPublicKey", {"InstanceId": "i-mine"}, "ec2-instance-connect")
    allowed(document, "StartSession", {"Target": "i-mine", "DocumentName": "AWS-StartSSHSession"}, "ssm")
    for action in ("DescribeInstances", "DescribeRegions"):
        allowed(document, action, {})


def test_volumes_are_attached_to_ones_own_machines_alone_and_never_taken_away_or_deleted():
    attached = {"VolumeId": "vol-data", "Device": "/dev/sdf"}
    document = policy("--owner", ME, "--all")
    allowed(document, "AttachVolume", {**attached, "InstanceId": "i-mine"})
    allowed(document, "DescribeVolumes", {})
    for name in ("i-bens", "i-database"):
        refused(document, "AttachVolume", {**attached, "InstanceId": name})
    refused(document, "DetachVolume", {**attached, "InstanceId": "i-mine"})
    refused(document, "DeleteVolume", attached)
    refused(policy("--owner", ME), "AttachVolume", {**attached, "InstanceId": "i-mine"})
    assert not document.allows(Need("ec2:CreateVolume", "*"))


def test_names_that_iam_would_read_as_many_are_refused():
    for flags in (
        ("--owner", "*"),
        ("--owner", "anna@*"),
        ("--owner", "${aws:username}"),
        ("--role", "*"),
        ("--role", "arn:aws:iam::1:role/*"),
        ("--role", "a b"),
        ("--role", "arn:aws:iam::1:user/x"),
        ("--owner", ""),
    ):
        done = subprocess.run([FERRY, "policy", *flags], capture_output=True, text=True)
        assert done.returncode == 125 and not done.stdout and "try:" in done.stderr, (flags, done)


def test_the_role_of_ones_settings_is_the_one_that_is_named():
    with Home() as home:
        settings = home.root / ".config/ferry/config.yaml"
        settings.parent.mkdir(parents=True)
        settings.write_text("aws: {instance_profile: trainer}\n")
        assert '"arn:aws:iam::*:role/trainer"' in home.good("policy", "--all").out
        assert "PassRole" not in home.good("policy").out
        settings.unlink()
        done = home.good("policy", "--all")
        assert "PassRole" not in done.out and "--role NAME" in done.err, done.err


GROUP, OTHERS = "ferry-r", "ferry-bens"
STANDING = {
    **THERE,
    "lt-mine": {"ferry:owner": ME},
    "lt-bens": {"ferry:owner": OTHER},
    "lt-mine data": {**rental(), "IamInstanceProfile.Name": "ferry/ferry-r"},
    "lt-admin": {"ferry:owner": ME},
    "lt-admin data": {**rental(), "IamInstanceProfile.Name": "admin"},
    GROUP: {"ferry:owner": ME},
    OTHERS: {"ferry:owner": OTHER},
}


def group(template="lt-mine", name=GROUP, owner=ME, most="1", version="3", **more):
    return {
        "AutoScalingGroupName": name,
        "MinSize": "0",
        "MaxSize": most,
        "LaunchTemplate.LaunchTemplateId": template,
        "LaunchTemplate.Version": version,
        "Tags.member.1.Key": "ferry:owner",
        "Tags.member.1.Value": owner,
        **more,
    }


def test_groups_of_one_are_made_of_templates_that_are_its_owners():
    document = policy("--owner", ME, "--recover", "--store", "s3://bucket/ferry")

    def may(service, action, params, expected=True):
        got = all(document.allows(need) for need in needs_of(service, action, params, STANDING))
        assert got == expected, f"{action} {params}: {got}"

    may("ec2", "CreateLaunchTemplate", {"LaunchTemplateName": GROUP, **tags("launch-template")})
    may(
        "ec2",
        "CreateLaunchTemplate",
        {"LaunchTemplateName": GROUP, **tags("launch-template", **{"ferry:owner": OTHER})},
        False,
    )
    for action in ("CreateLaunchTemplateVersion", "DeleteLaunchTemplate"):
        may("ec2", action, {"LaunchTemplateId": "lt-mine"})
        may("ec2", action, {"LaunchTemplateId": "lt-bens"}, False)
    may("ec2", "DescribeLaunchTemplates", {})
    may("autoscaling", "DescribeAutoScalingGroups", {})
    for action in ("CreateAutoScalingGroup", "UpdateAutoScalingGroup"):
        may("autoscaling", action, group())
        may("autoscaling", action, group(most="2"), False)
        may("autoscaling", action, group(name="web"), False)
        may("autoscaling", action, group(template="lt-bens"), False)
        may("autoscaling", action, group(template="lt-admin"), False)  # a role that is not the store's
        may("autoscaling", action, group(version="$Latest"), False)  # whose later versions nobody would ask about
        may(
            "autoscaling",
            action,
            {name: value for name, value in group().items() if not name.startswith(("LaunchTemplate."))},
            False,
        )
    may("autoscaling", "CreateAutoScalingGroup", group(owner=OTHER, name=OTHERS), False)
    may("autoscaling", "UpdateAutoScalingGroup", group(name=OTHERS), False)
    for action in ("AttachInstances", "DeleteAutoScalingGroup", "PutScheduledUpdateGroupAction", "SuspendProcesses"):
        may("autoscaling", action, {"AutoScalingGroupName": GROUP})
        may("autoscaling", action, {"AutoScalingGroupName": OTHERS}, False)
    for action in (
        "CreateLaunchConfiguration",
        "PutScalingPolicy",
        "PutLifecycleHook",
        "CreateOrUpdateTags",
        "ExecutePolicy",
        "SetDesiredCapacity",
    ):
        may("autoscaling", action, {"AutoScalingGroupName": GROUP}, False)
    plain = policy("--owner", ME)
    assert not any(
        action.startswith("autoscaling:") and "Describe" not in action
        for one in plain.statements
        for action in one["Action"]
    ), "it is not asked for"


if __name__ == "__main__":
    main(globals())
