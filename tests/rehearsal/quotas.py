#!/usr/bin/env python3
"""boto3 against the rehearsal cloud's limits, prices and faults; botocore and AWS's models of the services judge.
Usage: quotas.py FERRY"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

try:
    import boto3
    from botocore.exceptions import ClientError
except ImportError:
    print("SKIP: boto3 is not installed")
    sys.exit(77)

ferry = sys.argv[1]
scratch = tempfile.mkdtemp()
os.environ.update(XDG_DATA_HOME=scratch, FERRY_REHEARSAL_BOOT_MS="50", AWS_CONFIG_FILE=os.devnull,
                  AWS_SHARED_CREDENTIALS_FILE=os.devnull, AWS_MAX_ATTEMPTS="1", AWS_EC2_METADATA_DISABLED="true")
problems = []


def expect(true, what):
    if not true:
        problems.append(what)


def fault(kind, *members):
    subprocess.run([ferry, "rehearsal", "fault", kind, *members], check=True, stdout=subprocess.DEVNULL)


def refusal(call, **arguments):
    """The error code, which must be one that the service's model has if it lists any; "" if the call succeeds."""
    try:
        call(**arguments)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return ""


def refuses(code, call, **arguments):
    got = refusal(call, **arguments)
    expect(got == code, f"{call.__name__}: {got or 'succeeded'}, expected {code}")


def check(value, shape, path):
    """Reports each member that the service model does not know, each of the wrong type, each word that is not in its list."""
    if shape.type_name == "structure":
        for name, member in value.items():
            if name in shape.members:
                check(member, shape.members[name], f"{path}.{name}")
            else:
                problems.append(f"{path}: unknown member {name}")
    elif shape.type_name == "map":
        for member in value.values():
            check(member, shape.value, path + "{}")
    elif shape.type_name == "list":
        for member in value:
            check(member, shape.member, path + "[]")
    else:
        types = {"string": str, "boolean": bool, "integer": int, "double": float, "timestamp": (int, float)}
        expect(isinstance(value, types[shape.type_name]), f"{path}: {value!r} is no {shape.type_name}")
        if shape.type_name == "string":
            limit = shape.metadata.get("max", 1 << 30)
            pattern = shape.metadata.get("pattern")
            expect(len(value) <= limit, f"{path}: longer than {limit}")
            expect(not pattern or re.fullmatch(pattern, value), f"{path}: {value!r} is not {pattern}")
            expect(not shape.enum or value in shape.enum, f"{path}: {value!r} is not among {shape.enum}")


def watch(client):
    """Checks each JSON answer as it came, once botocore has it; errors must be ones that the operation has."""
    send = client._endpoint._send

    def checked(request):
        answer = send(request)
        operation = client.meta.service_model.operation_model(request.headers["X-Amz-Target"].decode().split(".")[1])
        body = json.loads(answer.content)
        if answer.status_code == 200:
            check(body, operation.output_shape, operation.name)
        else:
            common = ("AccessDeniedException", "ExpiredTokenException", "InvalidSignatureException")
            expect(body["__type"] in [shape.name for shape in operation.error_shapes] or body["__type"] in common, f"{operation.name} has no error {body['__type']}")
        return answer
    client._endpoint._send = checked


def quotas_are_those_of_launches(ec2, quotas, ami):
    def value(code):
        return quotas.get_service_quota(ServiceCode="ec2", QuotaCode=code)["Quota"]["Value"]
    everything = [q for page in quotas.get_paginator("list_service_quotas").paginate(ServiceCode="ec2", PaginationConfig={"PageSize": 5}) for q in page["Quotas"]]
    codes = {q["QuotaCode"]: q["QuotaName"] for q in everything}
    expect(len(everything) == len(codes) == 12, f"{len(everything)} quotas")
    expect("G and VT" in codes["L-DB2E81BA"] and "Spot" in codes["L-3819A6DF"], str(codes))
    fault("quota", "bucket=g", "limit=0")
    expect(value("L-DB2E81BA") == 0, "the fault's limit is not shown")
    expect(value("L-417A185B") > 0, "another limit changed too")
    order = dict(ImageId=ami, InstanceType="g5.xlarge", MinCount=1, MaxCount=1)
    refuses("VcpuLimitExceeded", ec2.run_instances, **order)
    fault("quota", "bucket=g", "limit=4")
    expect(value("L-DB2E81BA") == 4, "the new limit is not shown")
    ids = [i["InstanceId"] for i in ec2.run_instances(**order)["Instances"]]
    refuses("VcpuLimitExceeded", ec2.run_instances, **order)
    ec2.terminate_instances(InstanceIds=ids)
    more = dict(ServiceCode="ec2", QuotaCode="L-DB2E81BA", DesiredValue=64.0)
    expect(quotas.request_service_quota_increase(**more)["RequestedQuota"]["Status"] == "PENDING", "not pending")
    refuses("ResourceAlreadyExistsException", quotas.request_service_quota_increase, **more)
    refuses("IllegalArgumentException", quotas.request_service_quota_increase, **{**more, "QuotaCode": "L-417A185B", "DesiredValue": 1.0})
    history = dict(ServiceCode="ec2", QuotaCode="L-DB2E81BA")
    expect([r["Status"] for r in quotas.list_requested_service_quota_change_history_by_quota(**history)["RequestedQuotas"]] == ["PENDING"], "history")
    fault("quota", "bucket=g", "limit=64")
    expect(len(quotas.list_requested_service_quota_change_history_by_quota(**history, Status="APPROVED")["RequestedQuotas"]) == 1, "not approved")
    expect(quotas.get_aws_default_service_quota(ServiceCode="ec2", QuotaCode="L-1216C47A")["Quota"]["Value"] == 5, "default")
    refuses("NoSuchResourceException", quotas.get_service_quota, ServiceCode="ec2", QuotaCode="L-00000000")
    refuses("NoSuchResourceException", quotas.list_service_quotas, ServiceCode="moons")
    refuses("InvalidPaginationTokenException", quotas.list_service_quotas, ServiceCode="ec2", NextToken="bm8=")
    fault("clear")


def prices_are_in_aws_form(ec2, pricing):
    def term(field, value):
        return {"Type": "TERM_MATCH", "Field": field, "Value": value}
    plain = [term("operatingSystem", "Linux"), term("tenancy", "Shared"), term("preInstalledSw", "NA"), term("capacitystatus", "Used"), term("marketoption", "OnDemand")]
    pages = pricing.get_paginator("get_products").paginate(ServiceCode="AmazonEC2", Filters=plain + [term("regionCode", "us-east-1")], PaginationConfig={"PageSize": 100})
    products = [json.loads(text) for page in pages for text in page["PriceList"]]
    prices = {}
    for product in products:
        offer, = product["terms"]["OnDemand"].values()
        dimension, = offer["priceDimensions"].values()
        expect(dimension["unit"] == "Hrs" and product["product"]["sku"] == offer["sku"], "form of a price")
        prices[product["product"]["attributes"]["instanceType"]] = float(dimension["pricePerUnit"]["USD"])
    expect(len(products) == len(prices) > 100, f"{len(products)} products, {len(prices)} types")
    expect(prices["g5.xlarge"] == 1.006, f"g5.xlarge {prices['g5.xlarge']}")
    tokyo = pricing.get_products(ServiceCode="AmazonEC2", Filters=plain + [term("location", "Asia Pacific (Tokyo)"), term("instanceType", "g5.xlarge")])["PriceList"]
    expect(len(tokyo) == 1 and '"regionCode":"ap-northeast-1"' in tokyo[0].replace(" ", ""), "by location")
    refuses("InvalidNextTokenException", pricing.get_products, ServiceCode="AmazonEC2", NextToken="x")
    refuses("InvalidParameterException", pricing.get_products, ServiceCode="AmazonEC2", FormatVersion="aws_v9")
    spot = ec2.describe_spot_price_history(InstanceTypes=["g5.xlarge"], ProductDescriptions=["Linux/UNIX"])["SpotPriceHistory"]
    expect(len({row["AvailabilityZone"] for row in spot}) == 6, "a spot price for each zone")
    expect(len({row["SpotPrice"] for row in spot}) > 1, "the zones differ")
    expect(spot == ec2.describe_spot_price_history(InstanceTypes=["g5.xlarge"])["SpotPriceHistory"], "asked twice, another answer")
    expect(all(0 < float(row["SpotPrice"]) <= prices["g5.xlarge"] for row in spot), "spot is dearer than on demand")
    expect(ec2.describe_spot_price_history(InstanceTypes=["t3.micro"])["SpotPriceHistory"] == [], "an unknown price is none")
    pages = ec2.get_paginator("describe_spot_price_history").paginate(PaginationConfig={"PageSize": 50})
    rows = [(row["InstanceType"], row["AvailabilityZone"]) for page in pages for row in page["SpotPriceHistory"]]
    expect(len(rows) == len(set(rows)) > 300, f"{len(rows)} spot prices in pages")


def places_are_described(ec2):
    zones = ec2.describe_availability_zones()["AvailabilityZones"]
    expect(len(zones) == 6 and all(zone["State"] == "available" for zone in zones), "zones")
    expect([region["RegionName"] for region in ec2.describe_regions(AllRegions=True)["Regions"]] == ["us-east-1"], "regions")
    for kind in ("region", "availability-zone", "availability-zone-id", "outpost"):
        answer = ec2.describe_instance_type_offerings(LocationType=kind, Filters=[{"Name": "instance-type", "Values": ["g5.*"]}])
        count = len(answer["InstanceTypeOfferings"])
        expect(count == {"region": 8, "outpost": 0}.get(kind, 48), f"{count} offerings by {kind}")


def faults_are_aws_own(ec2, sts, ssm, quotas, pricing, ami):
    order = dict(ImageId=ami, InstanceType="t3.micro", MinCount=1, MaxCount=1)
    tagged = dict(order, DryRun=True, TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "a", "Value": "b"}]}])
    refuses("DryRunOperation", ec2.run_instances, **tagged)
    fault("permission", "action=ec2:RunInstances", "count=2")
    refuses("UnauthorizedOperation", ec2.run_instances, **tagged)
    refuses("UnauthorizedOperation", ec2.run_instances, **order)
    refuses("DryRunOperation", ec2.run_instances, **tagged)
    fault("permission", "action=ec2:CreateTags", "count=1")
    refuses("UnauthorizedOperation", ec2.run_instances, **tagged)
    asks = [("AccessDenied", sts.get_caller_identity, {}), ("AccessDeniedException", ssm.get_parameter, {"Name": "/x"}),
            ("AccessDeniedException", quotas.list_service_quotas, {"ServiceCode": "ec2"}), ("AccessDeniedException", pricing.get_products, {"ServiceCode": "AmazonEC2"})]
    fault("permission", "action=*")
    for code, call, arguments in asks:
        refuses(code, call, **arguments)
    fault("clear")
    fault("expired-token")
    refuses("RequestExpired", ec2.describe_regions)
    refuses("ExpiredToken", sts.get_caller_identity)
    refuses("ExpiredTokenException", ssm.get_parameter, Name="/x")
    refuses("ExpiredTokenException", quotas.list_service_quotas, ServiceCode="ec2")
    fault("clear")
    for off in ("3600000", "-3600000"):
        fault("clock", f"ms={off}")
        refuses("RequestExpired", ec2.describe_regions)
        refuses("SignatureDoesNotMatch", sts.get_caller_identity)
        refuses("InvalidSignatureException", quotas.list_service_quotas, ServiceCode="ec2")
    fault("clock", "ms=0")
    expect(refusal(ec2.describe_regions) == "", "the clock stays wrong")
    fault("no-default-vpc")
    expect(ec2.describe_vpcs(Filters=[{"Name": "isDefault", "Values": ["true"]}])["Vpcs"] == [], "a default VPC is there")
    vpc = ec2.describe_vpcs()["Vpcs"][0]
    expect(vpc["IsDefault"] is False, "the VPC is the default one")
    refuses("VPCIdNotSpecified", ec2.create_security_group, GroupName="g", Description="d")
    refuses("VPCIdNotSpecified", ec2.run_instances, **order)
    group = ec2.create_security_group(GroupName="g", Description="d", VpcId=vpc["VpcId"])["GroupId"]
    subnet = ec2.describe_subnets()["Subnets"][0]
    expect(subnet["DefaultForAz"] is False, "the subnet is a default one")
    refuses("DryRunOperation", ec2.run_instances, **order, DryRun=True, SubnetId=subnet["SubnetId"], SecurityGroupIds=[group])
    ec2.delete_security_group(GroupId=group)
    fault("clear")


def the_log_names_permissions():
    with open(os.path.join(scratch, "ferry", "rehearsal", "server.log"), encoding="utf-8") as log:
        lines = [line.split(" ", 1)[1].rstrip("\n") for line in log]
    calls = [line for line in lines if re.match(r"\w+:\w+ \d{3}", line)]
    for name in ("ec2:RunInstances", "sts:GetCallerIdentity", "ssm:GetParameter", "servicequotas:GetServiceQuota", "pricing:GetProducts"):
        expect(any(line.startswith(name + " 200 ") for line in calls), f"no line for {name}")
    expect(any(re.fullmatch(r"ec2:RunInstances 412 \(dry run\) \d+ ms with ec2:CreateTags", line) for line in calls), "no line for a dry run")
    others = [line for line in lines if line not in calls and not line.startswith(("serving on ", "i-", "ending"))]
    expect(not others, f"lines without a permission: {others[:3]}")


def main():
    subprocess.run([ferry, "rehearsal", "start"], check=True, stdout=subprocess.DEVNULL)
    lines = subprocess.run([ferry, "rehearsal", "env"], check=True, capture_output=True, text=True).stdout
    for line in lines.splitlines():
        if line.startswith("export "):
            name, value = line[len("export "):].split("=", 1)
            os.environ[name] = value.strip("'")
    ec2, sts, ssm, quotas, pricing = (boto3.client(name) for name in ("ec2", "sts", "ssm", "service-quotas", "pricing"))
    watch(quotas)
    watch(pricing)
    sts.get_caller_identity()
    ami = ssm.get_parameter(Name="/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id")["Parameter"]["Value"]
    quotas_are_those_of_launches(ec2, quotas, ami)
    prices_are_in_aws_form(ec2, pricing)
    places_are_described(ec2)
    faults_are_aws_own(ec2, sts, ssm, quotas, pricing, ami)
    the_log_names_permissions()
    for problem in sorted(set(problems)):
        print("FAIL:", problem)
    print("FAIL" if problems else "PASS")
    return 1 if problems else 0


try:
    sys.exit(main())
finally:
    subprocess.run([ferry, "rehearsal", "stop"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    shutil.rmtree(scratch, ignore_errors=True)
