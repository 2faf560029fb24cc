"""What IAM makes of a policy, written from its documents and nothing of ferry's: the evaluation of statements and
conditions (IAM User Guide, "Policy evaluation logic" and "Condition operators"), and for each call which actions on
which resources it needs, with which condition keys (Service Authorization Reference, "Amazon EC2" and kin).

    policy = Policy(document)
    policy.allows(Need("ec2:TerminateInstances", "arn:aws:ec2:us-east-1:1:instance/i-1", {"aws:ResourceTag/a": "b"}))
    needs_of(service, action, params, there)     every Need of a call; `there`: tags of what exists, by id or name
"""
import dataclasses
import fnmatch
import re

ACCOUNT = "123456789012"
CALLER = {"aws:userid": "AIDAFERRY", "aws:username": "anna"}


@dataclasses.dataclass
class Need:
    action: str
    resource: str
    context: dict = dataclasses.field(default_factory=dict)


def matches(pattern, text):
    """IAM's wildcards are * and ? alone: a bracket is a bracket."""
    return fnmatch.fnmatchcase(text, pattern.replace("[", "[[]"))


def listed(value):
    return value if isinstance(value, list) else [value]


class Policy:
    def __init__(self, document):
        assert document["Version"] == "2012-10-17", "older policies know no variables"
        self.statements = document["Statement"]
        for one in self.statements:
            unknown = set(one) - {"Sid", "Effect", "Action", "Resource", "Condition"}
            assert not unknown, f"this evaluator does not know {unknown}"

    def allows(self, need):
        effects = {one["Effect"] for one in self.statements if applies(one, need)}
        return "Allow" in effects and "Deny" not in effects


def filled(text, context):
    """With IAM's variables; nothing when one is not known: then the statement does not apply."""
    known = {
        **{key.lower(): value for key, value in CALLER.items()},
        **{key.lower(): value for key, value in context.items()},
    }
    names = re.findall(r"\$\{([^}]*)\}", text)
    if any(name.lower() not in known for name in names):
        return None
    return re.sub(r"\$\{([^}]*)\}", lambda found: known[found.group(1).lower()], text)


def applies(statement, need):
    if not any(matches(pattern.lower(), need.action.lower()) for pattern in listed(statement["Action"])):
        return False
    resources = [filled(one, need.context) for one in listed(statement["Resource"])]
    if not any(one is not None and matches(one, need.resource) for one in resources):
        return False
    return all(
        holds(operator, key, listed(values), need.context)
        for operator, pairs in statement.get(("Condition"), {}).items()
        for key, values in pairs.items()
    )


OPERATORS = {
    "StringEquals": lambda wanted, got: wanted == got,
    "StringEqualsIgnoreCase": lambda wanted, got: wanted.lower() == got.lower(),
    "StringLike": matches,
    "ArnLike": matches,
    "ArnEquals": matches,
    "Bool": lambda wanted, got: wanted.lower() == got.lower(),
    "NumericLessThanEquals": lambda wanted, got: int(got) <= int(wanted),
}


def holds(operator, key, values, context):
    got = {name.lower(): value for name, value in context.items()}.get(key.lower())
    if operator == "Null":
        return (got is None) == (str(values[0]).lower() == "true")
    of_all, of_any = operator.startswith("ForAllValues:"), operator.startswith("ForAnyValue:")
    operator = operator.split(":")[-1]
    if operator.endswith("IfExists"):
        if got is None:
            return True
        operator = operator.removesuffix("IfExists")
    negated = operator.startswith(("StringNot", "ArnNot"))
    compare = OPERATORS[operator.replace("Not", "", 1) if negated else operator]
    if got is None:
        return negated or of_all
    wanted = [one for one in (filled(str(value), context) for value in values) if one is not None]
    each = [any(compare(one, value) for one in wanted) != negated for value in listed(got)]
    return any(each) if of_any else all(each)


# ---- what calls need


def ec2_arn(kind, name, region="us-east-1"):
    return f"arn:aws:ec2:{region}:{'' if kind in ('image', 'snapshot') else ACCOUNT}:{kind}/{name}"


def tag_specifications(params):
    """{"instance": {"ferry:run": "r"}} of a call that makes things."""
    found = {}
    for name, value in params.items():
        if parts := re.fullmatch(r"TagSpecification\.(\d+)\.Tag\.(\d+)\.Key", name):
            outer, inner = parts.groups()
            kind = params[f"TagSpecification.{outer}.ResourceType"]
            found.setdefault(kind, {})[value] = params.get(f"TagSpecification.{outer}.Tag.{inner}.Value", "")
    return found


def asked_tags(tags):
    return {
        **{(f"aws:RequestTag/{key}"): value for key, value in tags.items()},
        **({"aws:TagKeys": list(tags)} if tags else {}),
    }


def own_tags(there, name):
    return {f"aws:ResourceTag/{key}": value for key, value in there.get(name, {}).items()}


def numbered(params, prefix):
    return [value for name, value in params.items() if re.fullmatch(re.escape(prefix) + r"\.\d+", name)]


def making(action, kinds, params):
    """The needs of what a call makes, and of the tags that it puts there."""
    specifications = tag_specifications(params)
    for kind in kinds:
        tags = asked_tags(specifications.get(kind, {}))
        yield Need(f"ec2:{action}", ec2_arn(kind, "new"), tags)
        if tags:
            yield Need("ec2:CreateTags", ec2_arn(kind, "new"), {**tags, "ec2:CreateAction": action})
    extra = set(specifications) - set(kinds)
    assert not extra, f"{action} makes no {extra}"


def run_instances(params, there):
    spot = params.get("InstanceMarketOptions.MarketType") == "spot"
    yield from making(
        "RunInstances", ["instance", "volume", "network-interface"] + ["spot-instances-request"] * spot, params
    )
    groups = [value for name, value in params.items() if re.search(r"SecurityGroupId\.\d+$", name)] or ["default"]
    subnets = [
        value for name, value in params.items() if re.fullmatch((r"(NetworkInterface\.\d+\.)?SubnetId"), name)
    ] or ["default"]
    uses = [
        ("image", [params["ImageId"]]),
        (("security-group"), groups),
        ("subnet", subnets),
        ("key-pair", [params.get("KeyName")]),
        ("network-interface", [value for name, value in params.items() if name.endswith("NetworkInterfaceId")]),
        ("placement-group", [params.get("Placement.GroupName")]),
        (
            "capacity-reservation",
            [params.get(("CapacityReservationSpecification.CapacityReservationTarget.CapacityReservationId"))],
        ),
    ]
    for kind, names in uses:
        for name in filter(None, names):
            yield Need("ec2:RunInstances", ec2_arn(kind, name), own_tags(there, name))
    profile = params.get("IamInstanceProfile.Name") or params.get("IamInstanceProfile.Arn", "").split("/")[-1]
    if profile:
        yield Need(
            "iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/{profile}", {"iam:PassedToService": "ec2.amazonaws.com"}
        )


def on(kind, *names):
    """Needs of a call that acts on things that are there, named by these parameters."""

    def needs(action, params, there):
        found = [value for name in names for value in numbered(params, name) + [params.get(name)] if value]
        assert found, f"{action} names nothing: {params}"
        return [Need(f"ec2:{action}", ec2_arn(kind, name), own_tags(there, name)) for name in found]

    return needs


ON = {
    **dict.fromkeys(
        ("TerminateInstances", "StopInstances", "StartInstances", "RebootInstances", "ModifyInstanceAttribute"),
        on("instance", "InstanceId"),
    ),
    **dict.fromkeys(
        ("AuthorizeSecurityGroupIngress", "RevokeSecurityGroupIngress", "DeleteSecurityGroup"),
        on("security-group", "GroupId", "GroupName"),
    ),
    "DeleteKeyPair": on("key-pair", "KeyName"),
}
ON["AttachVolume"] = ON["DetachVolume"] = lambda *call: on("instance", "InstanceId")(*call) + on("volume", "VolumeId")(
    *call
)
ON["DeleteVolume"] = on("volume", "VolumeId")
ON |= dict.fromkeys(
    ("CreateLaunchTemplateVersion", "DeleteLaunchTemplate", "ModifyLaunchTemplate"),
    on("launch-template", "LaunchTemplateName", "LaunchTemplateId"),
)
KINDS = {
    "lt": "launch-template",
    "i": "instance",
    "sg": "security-group",
    "vol": "volume",
    "subnet": "subnet",
    "vpc": "vpc",
    "key": "key-pair",
    "ami": "image",
}


def ec2_needs(action, params, there):
    if action.startswith("Describe") or action in ("GetPasswordData", "GetSpotPlacementScores"):
        return [Need(f"ec2:{action}", "*")]
    if action == "RunInstances":
        return list(run_instances(params, there))
    if action == "CreateSecurityGroup":
        return [
            *making(action, ["security-group"], params),
            Need(f"ec2:{action}", ec2_arn("vpc", params.get("VpcId", "default"))),
        ]
    if action == "ImportKeyPair":
        return list(making(action, ["key-pair"], params))
    if action == "CreateLaunchTemplate":
        return list(making(action, ["launch-template"], params))
    if action in ("CreateTags", "DeleteTags"):
        tags = {
            params[f"Tag.{n}.Key"]: params.get((f"Tag.{n}.Value"), "") for n in range(1, 50) if f"Tag.{n}.Key" in params
        }
        return [
            Need(
                f"ec2:{action}", ec2_arn(KINDS[name.split("-")[0]], name), {**asked_tags(tags), **own_tags(there, name)}
            )
            for name in numbered(params, "ResourceId")
        ]
    return ON[action](action, params, there)


def iam_tags(params):
    return {
        params[f"Tags.member.{n}.Key"]: params.get((f"Tags.member.{n}.Value"), "")
        for n in range(1, 50)
        if f"Tags.member.{n}.Key" in params
    }


def iam_needs(action, params, there):
    """Of roles, instance profiles and policies. `there`: {"role/ferry/x": {"tags": {…}, "boundary": ARN}} by what
    follows the account."""
    if action.startswith("List"):
        return [Need(f"iam:{action}", "*")]
    if "PolicyArn" in params or action == "CreatePolicy":
        arn = params.get("PolicyArn") or f"arn:aws:iam::{ACCOUNT}:policy{params.get('Path', '/')}{params['PolicyName']}"
        return [Need(f"iam:{action}", arn)]
    kind, name = (
        ("instance-profile", params["InstanceProfileName"])
        if "InstanceProfileName" in params
        else ("role", params["RoleName"])
    )
    known = next((one for one in there if re.fullmatch(rf"{kind}/(.*/)?{re.escape(name)}", one)), None)
    has = there.get(known, {}) if known else {}
    path = known or f"{kind}{params.get('Path', '/')}{name}"
    own = {f"aws:ResourceTag/{key}": value for key, value in has.get("tags", {}).items()}
    context = {**own, **asked_tags(iam_tags(params))}
    if action == "CreateRole" and "PermissionsBoundary" in params:
        context["iam:PermissionsBoundary"] = params["PermissionsBoundary"]
    elif action in (
        "PutRolePolicy",
        "DeleteRolePolicy",
        "AttachRolePolicy",
        "DetachRolePolicy",
        "DeleteRolePermissionsBoundary",
    ) and has.get("boundary"):
        context["iam:PermissionsBoundary"] = has["boundary"]
    elif action == "PutRolePermissionsBoundary":
        context["iam:PermissionsBoundary"] = params["PermissionsBoundary"]
    arn = f"arn:aws:iam::{ACCOUNT}:{path}"
    found = [Need(f"iam:{action}", arn, context)]
    if action in ("CreateRole", "CreateInstanceProfile") and iam_tags(params):
        found.append(Need("iam:Tag" + action.removeprefix("Create"), arn, asked_tags(iam_tags(params))))
    if action == "AddRoleToInstanceProfile":
        role = next(
            (one for one in there if re.fullmatch((rf"role/(.*/)?{re.escape(params['RoleName'])}"), one)),
            f"role/{params['RoleName']}",
        )
        found.append(
            Need("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:{role}", {"iam:PassedToService": "ec2.amazonaws.com"})
        )
    return found


def s3_need(action, bucket, key=None, prefix=None):
    """Of an object, or with no key of the bucket, of which what begins with `prefix` is listed."""
    resource = f"arn:aws:s3:::{bucket}" + ("" if key is None else f"/{key}")
    return Need(f"s3:{action}", resource, {} if prefix is None else {"s3:prefix": prefix})


def scaling_needs(action, params, there):
    """Of Auto Scaling. Whoever has a group launch needs what launching by RunInstances needs; `there` knows the
    template's parameters as {"lt-1": {…tags}, "lt-1 data": {…parameters of RunInstances}}. Putting a machine into a
    group needs nothing on the machine."""
    if action.startswith("Describe"):
        return [Need(f"autoscaling:{action}", "*")]
    name = params["AutoScalingGroupName"]
    context = {**own_tags(there, name), **asked_tags(iam_tags(params))}
    if "MaxSize" in params:
        context["autoscaling:MaxSize"] = params["MaxSize"]
    template = params.get("LaunchTemplate.LaunchTemplateId")
    if template:
        context["autoscaling:LaunchTemplateVersionSpecified"] = str(
            params.get("LaunchTemplate.Version", "").isdigit()
        ).lower()
    found = [
        Need(
            f"autoscaling:{action}",
            f"arn:aws:autoscaling:us-east-1:{ACCOUNT}:autoScalingGroup:uuid:autoScalingGroupName/{name}",
            context,
        )
    ]
    if template:
        found.append(Need("ec2:RunInstances", ec2_arn("launch-template", template), own_tags(there, template)))
        found += run_instances(there.get(f"{template} data", {}), there) if f"{template} data" in there else []
    return found


def needs_of(service, action, params, there):
    if service == "autoscaling":
        return scaling_needs(action, params, there)
    if service == "iam":
        return iam_needs(action, params, there)
    if service == "ec2":
        return ec2_needs(action, params, there)
    if service == "ssm":
        instance = Need(
            "ssm:StartSession", ec2_arn("instance", params.get("Target", "")), own_tags(there, params.get("Target", ""))
        )
        return {
            "GetParameter": lambda: [Need("ssm:GetParameter", f"arn:aws:ssm:us-east-1::parameter{params['Name']}")],
            "StartSession": lambda: [
                instance,
                Need("ssm:StartSession", "arn:aws:ssm:us-east-1::document/" + params["DocumentName"]),
            ],
            "TerminateSession": lambda: [
                Need("ssm:TerminateSession", f"arn:aws:ssm:us-east-1:{ACCOUNT}:session/{params['SessionId']}")
            ],
        }[action]()
    if service == "ec2-instance-connect":
        name = params["InstanceId"]
        return [Need(f"{service}:{action}", ec2_arn("instance", name), own_tags(there, name))]
    return [Need(f"{service.replace('service-quotas', 'servicequotas')}:{action}", "*")]
