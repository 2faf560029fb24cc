#!/usr/bin/env python3
"""boto3 and the aws CLI against the rehearsal cloud's IAM: what it answers is held against AWS's model; then machines
with a role. Usage: iam.py FERRY"""
import json
import shutil
import subprocess

from lib import TRUST, boto3, client, expect, fault, refuses, run

PUTS = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["s3:PutObject"], "Resource": ["arn:aws:s3:::b/*"]}],
}


def roles(iam):
    made = iam.create_role(
        RoleName="trainer",
        Path="/ferry/",
        AssumeRolePolicyDocument=TRUST,
        Description="trains",
        Tags=[{"Key": "ferry:owner", "Value": "me"}],
    )["Role"]
    expect(made["Arn"].endswith(":role/ferry/trainer") and made["RoleId"].startswith("AROA"), f"made {made}")
    shown = iam.get_role(RoleName="trainer")["Role"]
    expect(shown["AssumeRolePolicyDocument"] == json.loads(TRUST), "the trust policy")
    expect(shown["Tags"] == [{"Key": "ferry:owner", "Value": "me"}], f"tags {shown.get('Tags')}")
    refuses("EntityAlreadyExists", iam.create_role, RoleName="trainer", AssumeRolePolicyDocument=TRUST)
    refuses("MalformedPolicyDocument", iam.create_role, RoleName="other", AssumeRolePolicyDocument="{}")
    iam.put_role_policy(RoleName="trainer", PolicyName="own", PolicyDocument=json.dumps(PUTS))
    expect(iam.get_role_policy(RoleName="trainer", PolicyName="own")["PolicyDocument"] == PUTS, "a policy of its own")
    expect(iam.list_role_policies(RoleName="trainer")["PolicyNames"] == ["own"], "names of policies")
    boundary = iam.create_policy(PolicyName="bound", Path="/ferry/", PolicyDocument=json.dumps(PUTS))["Policy"]["Arn"]
    iam.put_role_permissions_boundary(RoleName="trainer", PermissionsBoundary=boundary)
    expect(
        iam.get_role(RoleName="trainer")["Role"]["PermissionsBoundary"]["PermissionsBoundaryArn"] == boundary,
        "the boundary",
    )
    iam.attach_role_policy(RoleName="trainer", PolicyArn="arn:aws:iam::aws:policy/AmazonS3FullAccess")
    expect(
        iam.list_attached_role_policies(RoleName="trainer")["AttachedPolicies"][0]["PolicyName"]
        == "AmazonS3FullAccess",
        "attached",
    )
    expect(
        iam.get_policy_version(PolicyArn=boundary, VersionId="v1")["PolicyVersion"]["Document"] == PUTS,
        "a version's document",
    )
    iam.tag_role(RoleName="trainer", Tags=[{"Key": "more", "Value": ""}])
    expect(len(iam.list_role_tags(RoleName="trainer")["Tags"]) == 2, "two tags")
    for name in ("a", "b", "c"):
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)
    pages = iam.get_paginator("list_roles").paginate(PaginationConfig={"PageSize": 2})
    expect(
        [role["RoleName"] for page in pages for role in page["Roles"]] == ["a", "b", "c", "trainer"], "roles in pages"
    )
    expect(len(iam.list_roles(PathPrefix="/ferry/")["Roles"]) == 1, "by path")
    return boundary


def profiles(iam):
    made = iam.create_instance_profile(InstanceProfileName="trainer", Path="/ferry/")["InstanceProfile"]
    expect(made["Arn"].endswith(":instance-profile/ferry/trainer") and made["Roles"] == [], f"made {made}")
    fault("permission", "action=iam:PassRole")
    refuses("AccessDenied", iam.add_role_to_instance_profile, InstanceProfileName="trainer", RoleName="trainer")
    fault("clear")
    iam.add_role_to_instance_profile(InstanceProfileName="trainer", RoleName="trainer")
    refuses("LimitExceeded", iam.add_role_to_instance_profile, InstanceProfileName="trainer", RoleName="trainer")
    expect(
        iam.get_instance_profile(InstanceProfileName="trainer")["InstanceProfile"]["Roles"][0]["RoleName"] == "trainer",
        "its role",
    )
    expect(len(iam.list_instance_profiles()["InstanceProfiles"]) == 1, "profiles")
    expect(
        iam.list_instance_profiles_for_role(RoleName="trainer")["InstanceProfiles"][0]["InstanceProfileName"]
        == "trainer",
        "of a role",
    )
    iam.get_waiter(("instance_profile_exists")).wait(
        InstanceProfileName="trainer", WaiterConfig={"Delay": 1, "MaxAttempts": 3}
    )


def end(iam, boundary):
    refuses("DeleteConflict", iam.delete_role, RoleName="trainer")
    iam.remove_role_from_instance_profile(InstanceProfileName="trainer", RoleName="trainer")
    iam.delete_instance_profile(InstanceProfileName="trainer")
    iam.delete_role_policy(RoleName="trainer", PolicyName="own")
    iam.detach_role_policy(RoleName="trainer", PolicyArn="arn:aws:iam::aws:policy/AmazonS3FullAccess")
    refuses("DeleteConflict", iam.delete_policy, PolicyArn=boundary)
    iam.delete_role(RoleName="trainer")
    iam.delete_policy(PolicyArn=boundary)
    refuses("NoSuchEntity", iam.get_role, RoleName="trainer")
    refuses("NoSuchEntity", iam.get_instance_profile, InstanceProfileName="trainer")


def by_the_cli():
    if not shutil.which("aws"):
        return
    aws = lambda *words: subprocess.run(
        ["aws", "--endpoint-url", boto3.client("iam").meta.endpoint_url, "iam", *words],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    made = json.loads(aws("create-role", "--role-name", "cli", "--assume-role-policy-document", TRUST))
    expect(made["Role"]["AssumeRolePolicyDocument"] == json.loads(TRUST), "the aws CLI's role")
    aws("put-role-policy", "--role-name", "cli", "--policy-name", "p", "--policy-document", json.dumps(PUTS))
    expect(
        json.loads(aws("get-role-policy", "--role-name", "cli", "--policy-name", "p"))["PolicyDocument"] == PUTS,
        "the aws CLI's policy",
    )
    aws("delete-role-policy", "--role-name", "cli", "--policy-name", "p")
    aws("delete-role", "--role-name", "cli")


def main():
    iam = client("iam")
    boundary = roles(iam)
    profiles(iam)
    end(iam, boundary)
    by_the_cli()


run(main)
