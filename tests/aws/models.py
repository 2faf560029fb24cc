"""AWS's own service models (botocore's) as judges of requests.

    check("ec2", "RunInstances", {"ImageId": "ami-1", "MinCount": "1", …})   names as on the wire
    check("pricing", "GetProducts", {"ServiceCode": "AmazonEC2", …})         JSON as sent
    check_request(method, url, headers, body)                                a whole request, whatever its service
    check_signature(method, url, headers, body, secret)                      recomputed by botocore's signer

Each answers a list of complaints in words; an empty list means that AWS's model has none. Unknown names, wrong types,
values outside an enum or a limit, missing required members and lists with gaps are complaints.
"""
import base64
import datetime
import functools
import json
import re
import urllib.parse

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import botocore.session

# Enums that grow with every new machine or region; the rest are complete in any botocore of the last years.
GROWING_ENUMS = {"InstanceType", "BucketLocationConstraint"}
# Debian 12's models are of 2022, before capacity blocks could be bought.
BEFORE_CAPACITY_BLOCKS = (
    "capacity-block" not in botocore.session.get_session().get_service_model("ec2").shape_for("MarketType").enum
)
if BEFORE_CAPACITY_BLOCKS:
    GROWING_ENUMS.add("MarketType")
# Services by the version that a query request names.
QUERY_SERVICES = {
    "2016-11-15": "ec2",
    "2011-06-15": "sts",
    "2010-05-08": "iam",
    "2012-06-01": "elb",
    "2015-12-01": "elbv2",
    "2011-01-01": "autoscaling",
}
JSON_SERVICES = ("ssm", "pricing", "service-quotas", "ec2-instance-connect", "sagemaker")
REST_ROUTES = {
    ("GET", "/federation/credentials"): ("sso", "GetRoleCredentials"),
    ("POST", "/token"): ("sso-oidc", "CreateToken"),
}


@functools.lru_cache(maxsize=None)
def model(service):
    return botocore.session.get_session().get_service_model(service)


def operation(service, action):
    known = model(service)
    return known.operation_model(action) if action in known.operation_names else None


# ---- the query protocols: names flattened with dots


def ec2_name(name, shape):
    """The wire name of a member: queryName, else locationName capitalised, else the model's."""
    given = shape.serialization
    if "queryName" in given:
        return given["queryName"]
    if "name" in given:
        return given["name"][0].upper() + given["name"][1:]
    return name


def tree_of(params):
    """{"A.1.B": "x"} as {"A": {"1": {"B": "x"}}}."""
    root = {}
    for name, value in params.items():
        node = root
        *path, last = name.split(".")
        for part in path:
            node = node.setdefault(part, {})
            if not isinstance(node, dict):
                raise ValueError(f"{name}: a value and members at once")
        node[last] = value
    return root


def check_query(shape, node, path, ec2):
    if shape.type_name == "structure":
        if not isinstance(node, dict):
            return [f"{path}: a structure with the value {node!r}"]
        names = {
            (ec2_name(name, member) if ec2 else member.serialization.get("name", name)): (name, member)
            for name, member in shape.members.items()
        }
        found = [f"{path}: unknown member {name}" for name in node if name not in names]
        for wire, (name, member) in names.items():
            if wire in node:
                found += check_query(member, node[wire], f"{path}.{wire}", ec2)
            elif name in shape.required_members:
                found.append(f"{path}: {wire} is required")
        return found
    if shape.type_name == "list":
        items = node
        if not ec2 and not shape.serialization.get("flattened"):
            inner = shape.member.serialization.get("name", "member")
            if not isinstance(node, dict) or set(node) != {inner}:
                return [f"{path}: a list goes as {path}.{inner}.N"]
            items = node[inner]
        if not isinstance(items, dict) or sorted(items) != sorted(str(i + 1) for i in range(len(items))):
            return [
                f"{path}: a list is numbered 1, 2, 3 …, not {sorted(items) if isinstance(items, dict) else items!r}"
            ]
        found = check_limits(shape, len(items), path)
        for number, item in items.items():
            found += check_query(shape.member, item, f"{path}.{number}", ec2)
        return found
    if isinstance(node, dict):
        return [f"{path}: a {shape.type_name} with members {sorted(node)}"]
    return check_text(shape, node, path)


def check_text(shape, text, path):
    """A scalar as it stands in a form."""
    kind = shape.type_name
    if kind in ("integer", "long"):
        return (
            check_limits(shape, int(text), path) if re.fullmatch(r"-?\d+", text) else [f"{path}: {text!r} is no number"]
        )
    if kind in ("float", "double"):
        return [] if re.fullmatch(r"-?\d+(\.\d+)?", text) else [f"{path}: {text!r} is no number"]
    if kind == "boolean":
        return [] if text in ("true", "false") else [f"{path}: {text!r} is no boolean"]
    if kind == "timestamp":
        return (
            [] if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", text) else [f"{path}: {text!r} is no time"]
        )
    if kind == "blob":
        try:
            base64.b64decode(text, validate=True)
            return []
        except ValueError:
            return [f"{path}: not base64"]
    return check_string(shape, text, path)


# ---- JSON


def check_json(shape, node, path):
    kind = shape.type_name
    if kind == "structure":
        if not isinstance(node, dict):
            return [f"{path}: a structure with the value {node!r}"]
        found = [f"{path}: unknown member {name}" for name in node if name not in shape.members]
        found += [f"{path}: {name} is required" for name in shape.required_members if name not in node]
        for name, member in shape.members.items():
            if name in node:
                found += check_json(member, node[name], f"{path}.{name}")
        return found
    if kind == "list":
        if not isinstance(node, list):
            return [f"{path}: {node!r} is no list"]
        return check_limits(shape, len(node), path) + [
            complaint for i, item in enumerate(node) for complaint in check_json(shape.member, item, f"{path}[{i}]")
        ]
    if kind == "timestamp":
        return []
    if kind == "map":
        return [
            complaint for name, item in node.items() for complaint in check_json(shape.value, item, f"{path}.{name}")
        ]
    if kind in ("integer", "long"):
        good = isinstance(node, int) and not isinstance(node, bool)
        return check_limits(shape, node, path) if good else [f"{path}: {node!r} is no whole number"]
    if kind in ("float", "double"):
        good = isinstance(node, (int, float)) and not isinstance(node, bool)
        return check_limits(shape, node, path) if good else [f"{path}: {node!r} is no number"]
    if kind == "boolean":
        return [] if isinstance(node, bool) else [f"{path}: {node!r} is no boolean"]
    if not isinstance(node, str):
        return [f"{path}: {node!r} is no text"]
    return check_string(shape, node, path)


# ---- both


def check_string(shape, text, path):
    found = check_limits(shape, len(text), path)
    if getattr(shape, "enum", None) and text not in shape.enum and shape.name not in GROWING_ENUMS:
        found.append(f"{path}: {text!r} is not among {shape.enum}")
    pattern = shape.metadata.get("pattern")
    if pattern:
        try:
            if not re.fullmatch(pattern, text):
                found.append(f"{path}: {text!r} does not match {pattern}")
        except re.error:
            pass  # Java's patterns are not all Python's
    return found


def check_limits(shape, size, path):
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if low is not None and size < low:
        return [f"{path}: {size} is less than {low}"]
    if high is not None and size > high:
        return [f"{path}: {size} is more than {high}"]
    return []


def check(service, action, params):
    known = operation(service, action)
    if known is None:
        return [] if BEFORE_CAPACITY_BLOCKS and "CapacityBlock" in action else [f"{service} has no {action}"]
    if known.input_shape is None:
        return [f"{action} takes no {name}" for name in params]
    protocol = model(service).metadata["protocol"]
    if protocol not in ("ec2", "query"):
        return check_json(known.input_shape, params, action)
    try:
        return check_query(known.input_shape, tree_of(params), action, protocol == "ec2")
    except ValueError as error:
        return [f"{action}: {error}"]


# ---- whole requests


def identify(method, url, headers, body):
    """(service, action, params) of a request; service is None when it is of no service known here."""
    headers = {name.lower(): value for name, value in headers.items()}
    parts = urllib.parse.urlsplit(url)
    target = headers.get("x-amz-target", "")
    for service in JSON_SERVICES:
        prefix = model(service).metadata["targetPrefix"] + "."
        if target.startswith(prefix):
            return service, target[len(prefix) :], json.loads(body or b"{}")
    for name in model("fis").operation_names if parts.path.startswith("/experiment") else ():
        route = operation("fis", name).http
        names = re.findall(r"{(\w+)}", route["requestUri"])
        match = re.fullmatch(re.sub(r"{\w+}", "([^/]+)", route["requestUri"]), parts.path)
        if match and route["method"] == method:
            return (
                "fis",
                name,
                {**json.loads(body or b"{}"), **dict(zip(names, map(urllib.parse.unquote, match.groups())))},
            )
    if (method, parts.path) in REST_ROUTES:
        service, action = REST_ROUTES[method, parts.path]
        return service, action, rest_params(operation(service, action), parts.query, headers, body)
    form = dict(urllib.parse.parse_qsl(body.decode() if isinstance(body, bytes) else body, keep_blank_values=True))
    service = QUERY_SERVICES.get(form.pop("Version", ""))
    return service, form.pop("Action", ""), form


def rest_params(known, query, headers, body):
    """The members of a REST call, gathered from where the model puts them."""
    params = json.loads(body) if body else {}
    given = dict(urllib.parse.parse_qsl(query))
    for name, member in known.input_shape.members.items():
        place, wire = member.serialization.get("location"), member.serialization.get("name", name)
        if place == "querystring" and wire in given:
            params[name] = given.pop(wire)
        if place == "header" and wire.lower() in headers:
            params[name] = headers[wire.lower()]
    return {**params, **{f"query {name}": value for name, value in given.items()}}


def check_request(method, url, headers, body):
    """(service, action, complaints)."""
    service, action, params = identify(method, url, headers, body)
    if service is None:
        return None, action, [f"{method} {url}: of no service known here"]
    return service, action, check(service, action, params)


def check_signature(method, url, headers, body, secret):
    """Recomputes a request's signature with botocore, over exactly the headers that it says are signed."""
    headers = {name.lower(): value for name, value in headers.items()}
    match = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, "
        r"SignedHeaders=([^,]+), Signature=([0-9a-f]{64})",
        headers.get("authorization", ""),
    )
    if not match:
        return [f"no signature: {headers.get('authorization')!r}"]
    key, day, region, service, names, theirs = match.groups()
    found = []
    if not headers.get("x-amz-date", "").startswith(day):
        found.append(f"the scope's day {day} is not that of {headers.get('x-amz-date')}")
    age = datetime.datetime.now(datetime.timezone.utc) - datetime.datetime.strptime(
        headers["x-amz-date"], "%Y%m%dT%H%M%SZ"
    ).replace(tzinfo=datetime.timezone.utc)
    if abs(age) > datetime.timedelta(minutes=5):
        found.append(f"signed {age} ago")
    for needed in ["host", "x-amz-date"] + (["x-amz-security-token"] if "x-amz-security-token" in headers else []):
        if needed not in names.split(";"):
            found.append(f"{needed} is not signed")
    signed = {name: headers[name] for name in names.split(";") if name in headers}
    request = botocore.awsrequest.AWSRequest(method=method, url=url, data=body, headers=signed)
    request.context["timestamp"] = headers["x-amz-date"]
    keys = botocore.credentials.Credentials(key, secret, headers.get("x-amz-security-token"))
    signer = botocore.auth.S3SigV4Auth if service == "s3" else botocore.auth.SigV4Auth
    auth = signer(keys, service, region)
    ours = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    if ours != theirs:
        found.append(f"the signature is {theirs}, botocore's {ours}")
    return found
