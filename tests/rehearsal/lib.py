"""What the boto3 tests of this folder share: a rehearsal cloud of their own, and AWS's models of its services as judges
of every answer."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET

try:
    import boto3
    import botocore
    from botocore.exceptions import ClientError
except ImportError:
    print("SKIP: boto3 is not installed")
    sys.exit(77)

# The judges are botocore's models: those of 2022 (Debian 12's) do not know what AWS answers today.
if tuple(int(part) for part in botocore.__version__.split(".")[:2]) < (1, 40):
    print(f"SKIP: botocore {botocore.__version__} has models too old to judge by (1.40 or newer: pip install -U boto3)")
    sys.exit(77)

ferry = sys.argv[1]
# boto3 before 1.28 knows no AWS_ENDPOINT_URL.
boto3.client = (
    lambda make: lambda service, **more: make(service, **{"endpoint_url": os.environ.get(("AWS_ENDPOINT_URL")), **more})
)(boto3.client)
scratch = tempfile.mkdtemp()
os.environ.update(
    XDG_DATA_HOME=scratch,
    FERRY_REHEARSAL_BOOT_MS="50",
    AWS_CONFIG_FILE=os.devnull,
    AWS_SHARED_CREDENTIALS_FILE=os.devnull,
    AWS_MAX_ATTEMPTS="1",
    AWS_EC2_METADATA_DISABLED="true",
)
problems = []
UBUNTU = "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id"
# What any operation of the JSON services may answer, though no model lists it.
COMMON_ERRORS = ("AccessDeniedException", "ExpiredTokenException", "InvalidSignatureException", "ValidationException")


def expect(true, what):
    if not true:
        problems.append(what)


def refusal(call, **arguments):
    """The error code; "" if the call succeeds."""
    try:
        call(**arguments)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return ""


def refuses(code, call, **arguments):
    got = refusal(call, **arguments)
    expect(got == code, f"{call.__name__}: {got or 'succeeded'}, expected {code}")


def fault(kind, *members):
    subprocess.run([ferry, "rehearsal", "fault", kind, *members], check=True, stdout=subprocess.DEVNULL)


def local(tag):
    return tag.split("}")[-1]


def check_xml(node, shape, path, item="item"):
    """Reports every element that the service model does not know, and numbers and booleans that are none."""
    if shape.type_name == "structure":
        members = {m.serialization.get("name", name): m for name, m in shape.members.items()}
        for child in node:
            name = local(child.tag)
            if name in members:
                check_xml(child, members[name], f"{path}/{name}", item)
            elif not (path.count("/") == 0 and name in ("requestId", "ResponseMetadata")):
                problems.append(f"{path}: unknown element {name}")
    elif shape.type_name == "list":
        wanted = shape.member.serialization.get("name", item)
        for child in node:
            if local(child.tag) not in (wanted, item):
                problems.append(f"{path}: list element {local(child.tag)}, expected {wanted}")
            check_xml(child, shape.member, path + "[]", item)
    elif len(node):
        problems.append(f"{path}: a {shape.type_name} with children")
    elif shape.type_name in ("integer", "long"):
        int(node.text)
    elif shape.type_name == "boolean" and node.text not in ("true", "false"):
        problems.append(f"{path}: {node.text!r} is no boolean")
    elif (
        getattr(shape, "enum", None)
        and node.text is not None
        and node.text not in shape.enum
        and shape.name != "InstanceType"
    ):  # grows every month
        problems.append(f"{path}: {node.text!r} is not among {shape.enum}")


def check_json(value, shape, path):
    """Reports each member that the service model does not know, each of the wrong type, each word that is not in its
    list."""
    if shape.type_name == "structure":
        for name, member in value.items():
            if name in shape.members:
                check_json(member, shape.members[name], f"{path}.{name}")
            else:
                problems.append(f"{path}: unknown member {name}")
    elif shape.type_name == "map":
        for member in value.values():
            check_json(member, shape.value, path + "{}")
    elif shape.type_name == "list":
        for member in value:
            check_json(member, shape.member, path + "[]")
    else:
        types = {
            "string": str,
            "boolean": bool,
            "integer": int,
            "long": int,
            "double": float,
            "timestamp": (int, float),
        }
        expect(isinstance(value, types[shape.type_name]), f"{path}: {value!r} is no {shape.type_name}")
        if shape.type_name == "string":
            limit = shape.metadata.get("max", 1 << 30)
            pattern = shape.metadata.get("pattern")
            expect(len(value) <= limit, f"{path}: longer than {limit}")
            expect(not pattern or re.fullmatch(pattern, value), f"{path}: {value!r} is not {pattern}")
            expect(not shape.enum or value in shape.enum, f"{path}: {value!r} is not among {shape.enum}")


def check_xml_answer(model, answer):
    if answer.status_code != 200:
        return
    root = ET.fromstring(answer.content)
    operation = model.operation_model(local(root.tag).removesuffix("Response"))
    if operation.output_shape is None:
        return
    result = operation.output_shape.serialization.get("resultWrapper")  # of IAM
    inside = root if result is None else next((child for child in root if local(child.tag) == result), None)
    if inside is None:
        problems.append(f"{operation.name}: no {result}")
    else:
        check_xml(inside, operation.output_shape, operation.name, "item" if result is None else "member")


def check_json_answer(model, request, answer):
    """Errors must be ones that the operation has."""
    operation = model.operation_model(request.headers["X-Amz-Target"].decode().split(".")[1])
    body = json.loads(answer.content)
    if answer.status_code == 200:
        check_json(body, operation.output_shape, operation.name)
    else:
        known = [shape.name for shape in operation.error_shapes]
        expect(
            body["__type"] in known or body["__type"] in COMMON_ERRORS,
            f"{operation.name} has no error {body['__type']}",
        )


def client(service):
    """A client whose every answer is held, as it came, against the service's model."""
    made = boto3.client(service)
    model, send = made.meta.service_model, made._endpoint._send

    def checked(request):
        answer = send(request)
        if model.metadata["protocol"] == "json":
            check_json_answer(model, request, answer)
        elif service in ("ec2", "iam", "autoscaling"):
            check_xml_answer(model, answer)
        return answer

    made._endpoint._send = checked
    return made


TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
    }
)


def make_role(name, policy=None):
    """A role that EC2 may take, and its policy."""
    iam = boto3.client("iam")
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)
    if policy:
        iam.put_role_policy(RoleName=name, PolicyName="its", PolicyDocument=json.dumps(policy))


def make_profile(name, policy=None):
    """An instance profile with a role of the same name."""
    make_role(name, policy)
    iam = boto3.client("iam")
    iam.create_instance_profile(InstanceProfileName=name)
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)


def newest_ubuntu():
    return boto3.client("ssm").get_parameter(Name=UBUNTU)["Parameter"]["Value"]


def only(items):
    expect(len(items) == 1, f"{len(items)} instead of one: {items}")
    return items[0]


def described(ec2, instance_id):
    return only(only(ec2.describe_instances(InstanceIds=[instance_id])["Reservations"])["Instances"])


def launch(ec2, order, **more):
    """Runs one instance and waits until it runs; as it is described then."""
    made = only(ec2.run_instances(**{**order, **more})["Instances"])["InstanceId"]
    ec2.get_waiter("instance_running").wait(InstanceIds=[made], WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    return described(ec2, made)


def end(ec2, *ids):
    ec2.terminate_instances(InstanceIds=list(ids))
    ec2.get_waiter("instance_terminated").wait(InstanceIds=list(ids), WaiterConfig={"Delay": 1, "MaxAttempts": 60})


def ssh(instance, address, command, key=None):
    """What a command says on the instance; an exception if there is no way in."""
    tags = {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])}
    user, port = tags.get("ferry:login-user", "ubuntu"), tags.get("ferry:ssh-port", "22")
    argv = [
        "ssh",
        "-F",
        "none",
        "-i",
        key or f"{scratch}/key",
        "-p",
        port,
        "-oIdentitiesOnly=yes",
        "-oBatchMode=yes",
        "-oStrictHostKeyChecking=no",
        f"-oUserKnownHostsFile={scratch}/known",
        "-oLogLevel=ERROR",
        "-oConnectTimeout=2",
        f"{user}@{address}",
        command,
    ]
    return subprocess.run(argv, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout.strip()


def new_key(ec2):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{scratch}/key"], check=True)
    with open(f"{scratch}/key.pub", "rb") as public:
        ec2.import_key_pair(KeyName="k", PublicKeyMaterial=public.read())


def log_lines():
    """The server's log, without the times."""
    with open(os.path.join(scratch, "ferry", "rehearsal", "server.log"), encoding="utf-8") as log:
        return [line.split(" ", 1)[1].rstrip("\n") for line in log]


def start():
    subprocess.run([ferry, "rehearsal", "start"], check=True, stdout=subprocess.DEVNULL)
    lines = subprocess.run([ferry, "rehearsal", "env"], check=True, capture_output=True, text=True).stdout
    for line in lines.splitlines():
        if line.startswith("export "):
            name, value = line[len("export ") :].split("=", 1)
            os.environ[name] = value.strip("'")


def run(test):
    """Starts a rehearsal cloud, runs the test, tells the problems, and ends the cloud, whatever happens."""
    try:
        start()
        test()
        for problem in sorted(set(problems)):
            print("FAIL:", problem)
        print("FAIL" if problems else "PASS")
    finally:
        subprocess.run([ferry, "rehearsal", "stop"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        shutil.rmtree(scratch, ignore_errors=True)
    sys.exit(1 if problems else 0)
