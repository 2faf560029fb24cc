#!/usr/bin/env python3
"""Every typed AWS call of ferry against a server that judges it by AWS's own service models and by botocore's signer;
then the judge itself, which must not be blind. Usage: calls.py FERRY (aws_test is expected beside it)"""
import http.server
import os
import re
import subprocess
import sys
import threading

try:
    import models
except ImportError as error:
    print(f"SKIP: {error.name} is not installed")
    sys.exit(77)

KEYS = (
    "<Credentials><AccessKeyId>A</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>"
    "<Expiration>2035-01-01T00:00:00Z</Expiration></Credentials>"
)
ANSWERS = {
    "RunInstances": "<instancesSet><item><instanceId>i-1</instanceId></item></instancesSet>",
    "DescribeImages": "<imagesSet><item><imageId>ami-1</imageId></item></imagesSet>",
    "CreateSecurityGroup": "<groupId>sg-1</groupId>",
    "DescribeCapacityReservations": (
        "<capacityReservationSet><item><capacityReservationId>cr-1</capacityReservationId></item>"
        "</capacityReservationSet>"
    ),
    "PurchaseCapacityBlock": (
        "<capacityReservation><capacityReservationId>cr-1</capacityReservationId></capacityReservation>"
    ),
    "SendSSHPublicKey": '{"RequestId": "r-1", "Success": true}',
    "TerminateSession": '{"SessionId": "me-1"}',
    "StartSession": '{"SessionId": "me-1", "TokenValue": "t", "StreamUrl": "wss://x"}',
    "AssumeRole": f"<AssumeRoleResult>{KEYS}</AssumeRoleResult>",
    "AssumeRoleWithWebIdentity": f"<AssumeRoleWithWebIdentityResult>{KEYS}</AssumeRoleWithWebIdentityResult>",
    "GetParameter": '{"Parameter": {"Value": "ami-1"}}',
    "GetProducts": '{"PriceList": []%s}',
    "GetServiceQuota": None,
    "GetAWSDefaultServiceQuota": '{"Quota": {"QuotaCode": "L-1216C47A", "Value": 5.0}}',
    "ListServiceQuotas": '{"Quotas": []%s}',
    "ListRequestedServiceQuotaChangeHistory": '{"RequestedQuotas": []%s}',
    "CreateToken": '{"accessToken": "A2", "expiresIn": 3600}',
    "GetRoleCredentials": '{"roleCredentials": {"accessKeyId": "A", "secretAccessKey": "s", "sessionToken": "t"}}',
    "CreateRole": "<Role><RoleName>ferry-r</RoleName></Role>",
    "GetRole": "<Role><RoleName>ferry-r</RoleName></Role>",
    "ListRoles": "<Roles><member><RoleName>ferry-r</RoleName></member></Roles>",
    "CreateInstanceProfile": "<InstanceProfile><InstanceProfileName>ferry-p</InstanceProfileName></InstanceProfile>",
    "GetInstanceProfile": "<InstanceProfile><InstanceProfileName>ferry-p</InstanceProfileName></InstanceProfile>",
    "CreatePolicy": "<Policy><PolicyName>ferry-store</PolicyName></Policy>",
    "GetPolicy": "<Policy><PolicyName>ferry-store</PolicyName></Policy>",
    "GetPolicyVersion": "<PolicyVersion><Document>%7B%7D</Document></PolicyVersion>",
    "ListPolicyVersions": "<Versions>"
    + "".join((f"<member><VersionId>v{n}</VersionId></member>") for n in range(1, 6))
    + "</Versions>",
    "CreateExperimentTemplate": '{"experimentTemplate": {"id": "EXT1"}}',
    "StartExperiment": '{"experiment": {"id": "EXP1", "state": {"status": "initiating"}}}',
    "GetExperiment": '{"experiment": {"id": "EXP1", "state": {"status": "completed"}}}',
    "DeleteExperimentTemplate": "{}",
    "ListEndpoints": '{"Endpoints": [{"EndpointName": "e"}]%s}',
    "DescribeEndpoint": '{"EndpointName": "e", "EndpointConfigName": "c"}',
    "DescribeEndpointConfig": (
        '{"ProductionVariants": [{"VariantName": "v", "InstanceType": "ml.g5.xlarge", "InitialInstanceCount": 1}]}'
    ),
    "ListNotebookInstances": '{"NotebookInstances": []%s}',
    "CreateLaunchTemplate": (
        "<launchTemplate><launchTemplateId>lt-1</launchTemplateId><latestVersionNumber>1</latestVersionNumber>"
        "</launchTemplate>"
    ),
    "CreateLaunchTemplateVersion": (
        "<launchTemplateVersion><launchTemplateId>lt-1</launchTemplateId><versionNumber>2</versionNumber>"
        "</launchTemplateVersion>"
    ),
    "RequestServiceQuotaIncrease": '{"RequestedQuota": {"Id": "r-1"}}',
}
UNSIGNED = {"AssumeRoleWithWebIdentity", "GetRoleCredentials", "CreateToken"}
complaints, seen = [], {}


class Judge(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        url = f"http://{self.headers['Host']}{self.path}"
        self.request = self.command, url, dict(self.headers), body
        service, action, found = models.check_request(*self.request)
        if action in ("DescribeCapacityBlockOfferings", "PurchaseCapacityBlock") and models.BEFORE_CAPACITY_BLOCKS:
            found = []  # this botocore has no model of it
        if action not in UNSIGNED:
            found += models.check_signature(*self.request, "secret")
            if not models.check_signature(*self.request, "another secret"):
                found.append("botocore's signer is blind")
        elif "Authorization" in self.headers:
            found.append("is signed")
        complaints.extend(f"{service} {action}: {complaint}" for complaint in found)
        seen.setdefault((service, action), []).append(body)
        status, text = self.answer(service, action)
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    do_GET = do_DELETE = do_POST

    def answer(self, service, action):
        _, _, params = models.identify(*self.request)
        if params.get("DryRun") == "true":
            return 412, "<Response><Errors><Error><Code>DryRunOperation</Code></Error></Errors></Response>"
        text = ANSWERS.get(action, "")
        if text is None:
            return 400, '{"__type": "NoSuchResourceException"}'
        # Whatever has pages has two, so that the second page's request is judged too.
        known = models.operation(service, action)
        shape = known.input_shape if known else None
        more = shape is not None and "NextToken" in shape.members and "NextToken" not in params
        if service in ("elb", "elbv2"):
            more = "Marker" not in params
            paged = "<NextMarker>more</NextMarker>" if more else ""
            return 200, f"<{action}Response><{action}Result>{text}{paged}</{action}Result></{action}Response>"
        if service == "autoscaling":
            paged = "<NextToken>more</NextToken>" if more else ""
            return 200, f"<{action}Response><{action}Result>{text}{paged}</{action}Result></{action}Response>"
        if service == "iam":
            more = shape is not None and "Marker" in shape.members and "Marker" not in params
            paged = "<IsTruncated>true</IsTruncated><Marker>more</Marker>" if more else ""
            return 200, f"<{action}Response><{action}Result>{text}{paged}</{action}Result></{action}Response>"
        if service not in ("ec2", "sts"):
            return 200, text.replace("%s", ', "NextToken": "more"' if more else "")
        paged = "<nextToken>more</nextToken>" if more else ""
        return 200, f"<{action}Response>{text}{paged}</{action}Response>"

    def log_message(self, *ignored):
        pass


def judge_is_not_blind():
    """The judge must complain where AWS would."""
    good = {
        "ImageId": "ami-1",
        "MinCount": "1",
        "MaxCount": "1",
        "BlockDeviceMapping.1.Ebs.VolumeSize": "8",
        "InstanceMarketOptions.MarketType": "spot",
        "TagSpecification.1.ResourceType": "instance",
        "TagSpecification.1.Tag.1.Key": "a",
        "UserData": "YQ==",
    }
    assert models.check("ec2", "RunInstances", good) == [], models.check("ec2", "RunInstances", good)
    bad = {
        "ImageID": "ami-1",
        "MinCount": "one",
        "BlockDeviceMapping.1.EBS.VolumeSize": "8",
        "SecurityGroupIds.1": "sg",
        "InstanceMarketOptions.MarketType": "cheap",
        "TagSpecification.3.ResourceType": "instance",
        "EbsOptimized": "yes",
        "ImageId.1": "x",
        "SubnetId.Name": "x",
    }
    if models.BEFORE_CAPACITY_BLOCKS:
        del bad["InstanceMarketOptions.MarketType"]
    for name, value in bad.items():
        assert models.check("ec2", "RunInstances", {**good, name: value}), f"{name}={value} passes"
    assert models.check(
        "ec2", "ImportKeyPair", {"KeyName": "k", "PublicKeyMaterial": "ssh-ed25519 AAAA"}
    ), "raw bytes pass"
    assert models.check("ec2", "RunInstances", {}), "required members are not missed"
    assert models.check("ec2", "RunInstance", good), "unknown actions pass"
    assert not models.check("sts", "AssumeRole", {"RoleArn": "a" * 20, "RoleSessionName": "me"})
    assert models.check("sts", "AssumeRole", {"RoleArn": "a" * 20, "RoleSessionName": "a b"}), "patterns are ignored"
    assert models.check("sts", "AssumeRole", {"RoleArn": "a" * 20, "RoleSessionName": "me", "DurationSeconds": "60"})
    assert not models.check(
        "sts", "AssumeRole", {"RoleArn": "a" * 20, "RoleSessionName": "me", "TransitiveTagKeys.member.1": "a"}
    )
    assert models.check("sts", "AssumeRole", {"RoleArn": "a" * 20, "RoleSessionName": "me", "TransitiveTagKeys.1": "a"})
    assert not models.check("pricing", "GetProducts", {"ServiceCode": "A", "MaxResults": 100})
    for wrong in (
        {("ServiceCode"): "A", "MaxResults": "100"},
        {"ServiceCode": "A", "MaxResults": 101},
        {},
        {"ServiceCode": 1},
        {("ServiceCode"): "A", "Filters": [{"Type": "LIKE", "Field": "a", "Value": "b"}]},
        {"ServiceCode": "A", "X": 1},
    ):
        assert models.check("pricing", "GetProducts", wrong), f"{wrong} passes"


def main():
    judge_is_not_blind()
    tests = os.path.join(os.path.dirname(os.path.abspath(sys.argv[1])), "aws_test")
    if not os.access(tests, os.X_OK):
        print("SKIP: aws_test is not beside ferry")
        sys.exit(77)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Judge)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    ran = subprocess.run(
        [tests, "--gtest_filter=EveryCall.*"],
        capture_output=True,
        text=True,
        env={**os.environ, "FERRY_CAPTURE_URL": f"http://127.0.0.1:{server.server_port}"},
    )
    if ran.returncode != 0 or "SKIPPED" in ran.stdout:
        print(ran.stdout + ran.stderr)
        complaints.append("aws_test failed")
    declared = set()
    sources = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../src/aws")
    for name in os.listdir(sources) if os.path.isdir(sources) else []:
        if name.endswith(".cc") and not name.endswith("_test.cc"):
            with open(os.path.join(sources, name)) as source:
                declared |= set(
                    re.findall(
                        r'"((?:Describe|Get|List|Run|Start|Stop|Terminate|Create|Delete|Import|'
                        r'Authorize|Revoke|Put|Add|Remove|Attach|Set|Suspend|Update|'
                        r'Assume|Request)[A-Z]\w+)"',
                        source.read(),
                    )
                )
    missed = {
        name
        for name in declared
        if any(
            models.operation(service, name)
            for service in (
                "ec2",
                "sts",
                "ssm",
                "pricing",
                "service-quotas",
                "iam",
                "fis",
                "elb",
                "elbv2",
                "sagemaker",
                "autoscaling",
            )
        )
    } - {action for _, action in seen}
    complaints.extend(f"{name} is in src/aws and was never called" for name in sorted(missed))
    for complaint in complaints:
        print(complaint)
    requests = sum(map(len, seen.values()))
    print(f"{requests} requests of {len(seen)} actions judged, {len(complaints)} complaints")
    sys.exit(1 if complaints else 0)


main()
