#!/usr/bin/env python3
"""Whole commands of ferry through a proxy in front of the rehearsal cloud: every request is held against AWS's own service models
and botocore's signer, and against the policy that `ferry policy` prints; then boto3 reads back what ferry made."""
import fnmatch
import http.client
import http.server
import json
import os
import pathlib
import sys
import threading
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "program"))
try:
    import boto3
    import models
except ImportError as error:
    print(f"SKIP: {error.name} is not installed")
    sys.exit(77)
from lib import Home

complaints, actions = [], set()


class Proxy(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        request = (self.command, f"http://{self.headers['Host']}{self.path}", dict(self.headers), body)
        service, action, found = models.check_request(*request)
        found += models.check_signature(*request, self.server.secret)
        complaints.extend(f"{service} {action}: {complaint}" for complaint in found)
        prefix = {"service-quotas": "servicequotas"}.get(service, service)
        actions.add(f"{prefix}:{action}")
        upstream = http.client.HTTPConnection(self.server.upstream)
        upstream.request(self.command, self.path, body, dict(self.headers))
        answer = upstream.getresponse()
        text = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("content-length", "connection", "transfer-encoding", "date", "server"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


def main():
    with Home() as home:
        lines = home.good("rehearsal", "env").out.splitlines()
        env = dict(line.removeprefix("export ").split("=", 1) for line in lines if line.startswith("export "))
        env = {key: value.strip("'\"") for key, value in env.items()}
        proxy = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
        proxy.upstream = urllib.parse.urlparse(env["AWS_ENDPOINT_URL"]).netloc
        proxy.secret = env["AWS_SECRET_ACCESS_KEY"]
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        env["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{proxy.server_address[1]}"
        home.env.update(env)

        home.good("check")
        home.good("quota")
        home.good("catalog", "update", timeout=300)
        home.good("plan", "--gpus", "A10G")
        home.good("run", "--infra", "aws", "--gpus", "T4", "--", "true")
        home.good("run", "--keep", "--infra", "aws", "-t", "t3.large", "--disk", "60", "--", "true")
        run = home.runs()[0]
        home.good("ps")

        ec2 = boto3.client("ec2", endpoint_url=env["AWS_ENDPOINT_URL"], region_name="us-east-1", aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
                           aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"])
        made = ec2.describe_instances(Filters=[{"Name": "tag:ferry:run", "Values": [run["run"]]}])["Reservations"][0]["Instances"][0]
        tags = {tag["Key"]: tag["Value"] for tag in made["Tags"]}
        assert tags["ferry:run"] == run["run"] and tags["ferry:owner"] and tags["ferry:version"], tags
        assert made["MetadataOptions"]["HttpTokens"] == "required", made["MetadataOptions"]
        shutdown = ec2.describe_instance_attribute(InstanceId=made["InstanceId"], Attribute="instanceInitiatedShutdownBehavior")
        assert shutdown["InstanceInitiatedShutdownBehavior"]["Value"] == "terminate", shutdown
        volume = ec2.describe_volumes(Filters=[{"Name": "attachment.instance-id", "Values": [made["InstanceId"]]}])["Volumes"][0]
        assert volume["Encrypted"] and volume["Size"] == 60 and volume["VolumeType"] == "gp3", volume
        group = ec2.describe_security_groups(GroupIds=[made["SecurityGroups"][0]["GroupId"]])["SecurityGroups"][0]
        ports = [(rule["FromPort"], rule["ToPort"], [one["CidrIp"] for one in rule["IpRanges"]]) for rule in group["IpPermissions"]]
        assert ports == [(22, 22, ["127.0.0.1/32"])], ports
        boto_only = {"ec2:DescribeInstanceAttribute", "ec2:DescribeVolumes"}

        home.good("down", run["run"])
        assert not ec2.describe_key_pairs()["KeyPairs"], "a key pair is left"
        boto_only.add("ec2:DescribeKeyPairs")
        home.nothing_left()

        policy = json.loads(home.good("policy").out)
        allowed = {action for statement in policy["Statement"] for action in statement["Action"]}
        asked = actions - boto_only
        missing = {one for one in asked if not any(fnmatch.fnmatchcase(one, pattern) for pattern in allowed)}
        assert not missing, f"the policy lacks {missing}"
        # What these commands did not need now: other zones, second thoughts, and what only some accounts meet.
        rare = {"ec2:RevokeSecurityGroupIngress", "servicequotas:GetAWSDefaultServiceQuota", "servicequotas:RequestServiceQuotaIncrease",
                "iam:CreateServiceLinkedRole", "ec2:DescribeAvailabilityZones"}
        idle = allowed - asked - rare
        assert not idle, f"the policy allows what nothing needs: {idle}"
        assert not complaints, "\n".join(sorted(set(complaints)))
        print(f"{len(asked)} actions, no complaint")


if __name__ == "__main__":
    main()
