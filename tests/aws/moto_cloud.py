"""EC2, STS and SSM as moto sees them (an implementation that knows nothing of ferry), with machines that can be
reached.

moto's instances are rows in a table: nobody answers ssh there. So a proxy stands between ferry and moto, and for each
instance that moto granted it rents a twin in the rehearsal cloud: same user-data, same public key. What moto answers
goes to ferry as it is, but for these, each of which makes up for something that moto lacks:

- DescribeInstances shows the twin's address, and its tags that say on which port and as whom to log in; and what takes
  time is pending, stopping or shutting-down for as long as the twin is. In moto everything has happened already.
- A ClientToken that was seen before gets the first answer again, and DescribeInstances filters by client-token. moto
  does neither.
- moto has no quotas of EC2's, and breaks where it is asked for the default ones: there are none here either, said as
  AWS says it.
- An instance profile is one of moto's IAM. The twin gets one of its own cloud's, so that its metadata service has keys
  for it.
- Stopping, starting and terminating happen to the twin too; a twin that ended by itself ends the instance.
"""
import base64
import datetime
import hashlib
import json
import logging
import http.server
import os
import re
import threading
import urllib.parse
import xml.etree.ElementTree as ET

# moto is as strict as it can be. It reads these when it is loaded.
os.environ.update(
    MOTO_ENABLE_KEYPAIR_VALIDATION="true",
    MOTO_ENABLE_AMI_VALIDATION="true",
    MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION="true",
    MOTO_EC2_LOAD_DEFAULT_AMIS="false",
)

import boto3
import models
from botocore.exceptions import ClientError
from moto.core.base_backend import BackendDict
from moto.ec2.models import ec2_backends
from moto.ec2.models.amis import Ami
from moto.server import ThreadedMotoServer
from moto.ssm.models import Parameter, ssm_backends
from proxy import Answer, Proxy, Request, pass_on, rehearsal_env
from s3_model import check_model

ACCOUNT = "123456789012"
UBUNTU = "/aws/service/canonical/ubuntu/server/22.04/stable/current/amd64/hvm/ebs-gp2/ami-id"
NAMESPACE = "http://ec2.amazonaws.com/doc/2016-11-15"  # as moto writes it; AWS has another slash
ET.register_namespace("", NAMESPACE)
NO_QUOTA = Answer(
    400, [], b'{"__type": "NoSuchResourceException", "message": "The request failed because there is no such quota"}'
)


def nothing(_):
    return None


def tag(name):
    return f"{{{NAMESPACE}}}{name}"


def start_moto():
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    return "%s:%d" % server.get_host_and_port()


class S3Handler(http.server.BaseHTTPRequestHandler):
    """Judges what is asked of S3, by whomever, and passes it on to moto."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are written apart

    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        request = Request(self.command, self.path, dict(self.headers), body)
        self.server.judge(request, f"http://{self.headers['Host']}{self.path}")
        answer = pass_on(MotoCloud.moto, request)
        self.send_response(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        size = (
            {name.lower(): value for name, value in answer.headers}.get("content-length")
            if self.command == "HEAD"
            else None
        )
        if size is None:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    do_PUT = do_POST = do_DELETE = do_HEAD = do_GET

    def log_message(self, *_):
        pass


class JudgedS3(http.server.ThreadingHTTPServer):
    """moto's S3 behind a judge: AWS's own model, botocore's signer, and the body against what was signed.
    `secrets(key)` gives the secret that belongs to an access key; `asked` tells by whom what was asked: {access key:
    {"PUT /bucket/key", …}}."""

    def __init__(self, secrets, complaints):
        super().__init__(("127.0.0.1", 0), S3Handler)
        self.secrets, self.complaints, self.asked = secrets, complaints, {}
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def judge(self, request, url):
        match = re.search(r"Credential=([^/]+)/", request.headers.get("Authorization", ""))
        key = match[1] if match else ""
        self.asked.setdefault(key, set()).add(f"{request.method} {request.path.partition('?')[0]}")
        whole = (request.method, url, request.headers, request.body)
        found = models.check_signature(*whole, self.secrets(key))
        if not models.check_signature(*whole, "another secret"):
            found.append("botocore's signer is blind")
        if {name.lower(): value for name, value in request.headers.items()}.get(
            "x-amz-content-sha256"
        ) != hashlib.sha256(request.body).hexdigest():
            found.append("the body is not what was signed")
        found += check_model(request.method, url, request.headers)
        self.complaints.extend(f"S3 {request.method} {request.path}: {one}" for one in found)


class MotoCloud:
    """One account in moto, fresh; one proxy before it; the rehearsal cloud of `home` behind it. Sets AWS_… in
    home.env."""

    moto = None  # the server: one is enough for all accounts that follow one another

    def __init__(self, home, region="us-east-1"):
        MotoCloud.moto = MotoCloud.moto or start_moto()
        BackendDict.reset()
        self.region = region
        self.env = rehearsal_env(home)
        self.keys = {
            "aws_access_key_id": self.env["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": self.env["AWS_SECRET_ACCESS_KEY"],
        }
        self.machines = boto3.client(
            "ec2", endpoint_url=self.env["AWS_ENDPOINT_URL"], region_name=self.env["AWS_REGION"], **self.keys
        )
        # Moto's groups are not the twins' own: those let ferry in.
        self.machines.authorize_security_group_ingress(
            GroupName="default", IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="127.0.0.1/32"
        )
        images = boto3.client(
            "ssm", endpoint_url=self.env["AWS_ENDPOINT_URL"], region_name=self.env["AWS_REGION"], **self.keys
        )
        self.image = images.get_parameter(Name=UBUNTU)["Parameter"]["Value"]
        self.ec2 = boto3.client("ec2", endpoint_url=f"http://{self.moto}", region_name=region, **self.keys)
        self.twins = {}  # ids of instances: moto's → the rehearsal cloud's
        self.granted = {}  # answers to RunInstances by their ClientToken
        # What a test wants done once, by action: before moto hears of it, after it answered. What it gives is answered
        # instead.
        self.before, self.after = {}, {}
        self.settling = (
            threading.Event()
        )  # somebody asked whether a launch, known by its token only, became an instance
        self.one_by_one = threading.Lock()  # an instance is not seen before it has its twin
        self.proxy = Proxy(self.keys["aws_secret_access_key"], self.answer)
        # The proxy sees all that boto3 asks here, and does to the twin what is done to the instance.
        self.through = boto3.client("ec2", endpoint_url=self.proxy.url, region_name=region, **self.keys)
        home.env.update(
            {
                **self.env,
                "AWS_ENDPOINT_URL": self.proxy.url,
                "AWS_REGION": region,
                "AWS_DEFAULT_REGION": region,
                "FERRY_CALLER_CIDR": "127.0.0.1/32",
            }
        )

    def serve_s3(self, home, bucket):
        """Lets `home` and the machines ask moto's S3, where there is a bucket then; they must share this computer's
        loopback (the plain sandbox). Answers the judge."""

        def secret_of(key):
            if key == self.keys["aws_access_key_id"]:
                return self.keys["aws_secret_access_key"]
            state = json.loads((home.root / "data/ferry/rehearsal/state.json").read_text())
            return state["iam"]["sessions"].get(key, {}).get("secret", "")  # a machine's, from its metadata service

        judged = JudgedS3(secret_of, self.proxy.complaints)
        self.s3 = boto3.client("s3", endpoint_url=f"http://{self.moto}", region_name=self.region, **self.keys)
        elsewhere = (
            {} if self.region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": self.region}}
        )
        self.s3.create_bucket(Bucket=bucket, **elsewhere)
        home.env["AWS_ENDPOINT_URL_S3"] = f"http://127.0.0.1:{judged.server_port}"
        return judged

    def publish_image(self, name, parameter=None, owner="099720109477", alias=None, created=None):
        """An image of someone else's, and the public parameter that names it. Gives its id. (In process: over the
        network nobody but AWS may make either.)"""
        backend = ec2_backends[ACCOUNT][self.region]
        image_id = f"ami-{len(backend.amis) + 1:017x}"
        backend.amis[image_id] = Ami(
            backend,
            image_id,
            name=name,
            owner_id=owner,
            owner_alias=alias,
            public=True,
            virtualization_type="hvm",
            architecture="x86_64",
            creation_date=created,
            hypervisor="xen",
            root_device_type="ebs",
            root_device_name="/dev/sda1",
            region_name=self.region + "a",
        )
        if parameter:
            ssm_backends[ACCOUNT][self.region]._parameters[parameter].append(
                Parameter(
                    account_id=ACCOUNT,
                    name=parameter,
                    value=image_id,
                    parameter_type="String",
                    description="",
                    allowed_pattern=None,
                    keyid=None,
                    last_modified_date=datetime.datetime.now(),
                    version=1,
                    data_type="aws:ec2:image",
                )
            )
        return image_id

    # ---- what ferry asks

    def answer(self, request):
        mine = {
            "RunInstances": self.run_instances,
            "DescribeInstances": self.describe_instances,
            "GetAWSDefaultServiceQuota": lambda _: NO_QUOTA,
        }
        dry = "DryRun" in request.params
        said = None if dry else self.before.pop(request.action, nothing)(request)
        if said:
            return said
        with self.one_by_one:
            answer = (self.both if dry else mine.get(request.action, self.both))(request)
        return (None if dry else self.after.pop(request.action, nothing)(request)) or answer

    def both(self, request):
        answer = pass_on(self.moto, request)
        if answer.status != 200:
            return answer
        name = request.params.get("KeyName")
        if request.action == "ImportKeyPair":
            material = base64.b64decode(request.params["PublicKeyMaterial"])
            self.machines.import_key_pair(KeyName=name, PublicKeyMaterial=material)
        elif request.action == "DeleteKeyPair":
            self.machines.delete_key_pair(KeyName=name)
        twins = [
            self.twins[value]
            for key, value in request.params.items()
            if key.startswith("InstanceId.") and value in self.twins
        ]
        change = {
            "StopInstances": self.machines.stop_instances,
            "StartInstances": self.machines.start_instances,
            "TerminateInstances": self.machines.terminate_instances,
        }.get(request.action)
        if change and twins:
            change(InstanceIds=twins)
        return answer

    def run_instances(self, request):
        token = request.params.get("ClientToken")
        if token in self.granted:
            return self.granted[token]
        answer = pass_on(self.moto, request)
        if answer.status == 200:
            self.granted[token] = answer
            self.rent_twin(ET.fromstring(answer.body).find(f".//{tag('instanceId')}").text, request.params)
        return answer

    def profile_of_twin(self, name):
        """One of the rehearsal cloud's, as moto has one of that name: what its role may is moto's matter, which lets
        everybody."""
        iam = boto3.client("iam", endpoint_url=self.env["AWS_ENDPOINT_URL"], region_name="us-east-1", **self.keys)
        trust = {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
            ],
        }
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
        iam.create_instance_profile(InstanceProfileName=name)
        iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
        return {"IamInstanceProfile": {"Name": name}}

    def rent_twin(self, instance_id, asked):
        profile = asked.get("IamInstanceProfile.Name")
        made = self.machines.run_instances(
            **(self.profile_of_twin(profile) if profile else {}),
            ImageId=self.image,
            InstanceType=asked["InstanceType"],
            KeyName=asked["KeyName"],
            MinCount=1,
            MaxCount=1,
            UserData=base64.b64decode(asked["UserData"]).decode(),
            ClientToken=asked["ClientToken"],
            InstanceInitiatedShutdownBehavior=asked["InstanceInitiatedShutdownBehavior"],
        )
        self.twins[instance_id] = made["Instances"][0]["InstanceId"]

    def describe_instances(self, request):
        twins = {instance_id: self.twin(instance_id) for instance_id in self.twins}
        self.end_what_ended_itself(twins)
        asked = urllib.parse.parse_qsl(request.body.decode())
        number = next(
            (name.split(".")[1] for name, value in asked if name.endswith(".Name") and value == "client-token"), None
        )
        tokens = None
        if number:
            self.settling.set()
            prefix = f"Filter.{number}."
            tokens = {value.replace("\\", "") for name, value in asked if name.startswith(prefix + "Value.")}
            asked = [(name, value) for name, value in asked if not name.startswith(prefix)]
        answer = pass_on(self.moto, request, urllib.parse.urlencode(asked).encode())
        if answer.status != 200:
            return answer
        root = ET.fromstring(answer.body)
        for instances in root.iter(tag("instancesSet")):
            for instance in list(instances):
                if tokens is not None and instance.findtext(tag("clientToken")) not in tokens:
                    instances.remove(instance)
                else:
                    self.show_twin(instance, twins.get(instance.findtext(tag("instanceId"))))
        return Answer(answer.status, answer.headers, ET.tostring(root, xml_declaration=True, encoding="utf-8"))

    def show_twin(self, instance, twin):
        state = instance.find(f"{tag('instanceState')}/{tag('name')}")
        there = twin["State"] if twin else {"Name": "terminated"}
        if there["Name"] in ("pending", "stopping", "shutting-down"):
            state.text = there["Name"]
            instance.find(f"{tag('instanceState')}/{tag('code')}").text = str(there["Code"])
        reachable = state.text == there["Name"] == "running"
        for name in ("dnsName", "ipAddress"):
            element = instance.find(tag(name))
            if element is not None:
                element.text = twin["PublicIpAddress"] if reachable else None
        for pair in twin.get("Tags", []) if reachable else []:
            item = ET.SubElement(instance.find(tag("tagSet")), tag("item"))
            ET.SubElement(item, tag("key")).text = pair["Key"]
            ET.SubElement(item, tag("value")).text = pair["Value"]

    def twin(self, instance_id):
        try:
            found = self.machines.describe_instances(InstanceIds=[self.twins[instance_id]])
        except ClientError:
            return None  # long gone
        return found["Reservations"][0]["Instances"][0]

    def end_what_ended_itself(self, twins):
        ended = [
            one
            for one, twin in twins.items()
            if twin is None or twin["State"]["Name"] in ("shutting-down", "terminated")
        ]
        if ended:
            self.ec2.terminate_instances(InstanceIds=ended)

    # ---- what tests ask moto directly

    def instances(self, *states):
        found = [one for page in self.ec2.describe_instances()["Reservations"] for one in page["Instances"]]
        return [one for one in found if not states or one["State"]["Name"] in states]

    def nothing_left(self):
        """Nothing of ferry's is in moto."""
        running = self.instances("pending", "running", "stopping", "stopped")
        assert not running, f"moto still has {[one['InstanceId'] for one in running]}"
        keys = [one["KeyName"] for one in self.ec2.describe_key_pairs()["KeyPairs"]]
        groups = [
            one["GroupName"]
            for one in self.ec2.describe_security_groups()["SecurityGroups"]
            if one["GroupName"] != "default"
        ]
        volumes = [one["VolumeId"] for one in self.ec2.describe_volumes()["Volumes"]]
        assert not keys and not groups and not volumes, f"moto still has {keys} {groups} {volumes}"
