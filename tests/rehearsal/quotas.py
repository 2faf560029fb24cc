#!/usr/bin/env python3
"""boto3 against the rehearsal cloud's limits, prices and faults; botocore and AWS's models of the services judge.
Usage: quotas.py FERRY"""
import json
import re

from lib import boto3, client, expect, fault, log_lines, newest_ubuntu, refusal, refuses, run


def quotas_are_those_of_launches(ec2, quotas, ami):
    def value(code):
        return quotas.get_service_quota(ServiceCode="ec2", QuotaCode=code)["Quota"]["Value"]

    everything = [
        q
        for page in quotas.get_paginator(("list_service_quotas")).paginate(
            ServiceCode="ec2", PaginationConfig={"PageSize": 5}
        )
        for q in page["Quotas"]
    ]
    codes = {q["QuotaCode"]: q["QuotaName"] for q in everything}
    expect(len(everything) == len(codes) == 19, f"{len(everything)} quotas")
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
    refuses(
        "IllegalArgumentException",
        quotas.request_service_quota_increase,
        **{**more, "QuotaCode": "L-417A185B", "DesiredValue": 1.0},
    )
    history = dict(ServiceCode="ec2", QuotaCode="L-DB2E81BA")
    expect(
        [r["Status"] for r in quotas.list_requested_service_quota_change_history_by_quota(**history)["RequestedQuotas"]]
        == ["PENDING"],
        "history",
    )
    fault("quota", "bucket=g", "limit=64")
    expect(
        len(
            quotas.list_requested_service_quota_change_history_by_quota(**history, Status="APPROVED")["RequestedQuotas"]
        )
        == 1,
        "not approved",
    )
    expect(
        quotas.get_aws_default_service_quota(ServiceCode="ec2", QuotaCode="L-1216C47A")["Quota"]["Value"] == 5,
        "default",
    )
    refuses("NoSuchResourceException", quotas.get_service_quota, ServiceCode="ec2", QuotaCode="L-00000000")
    refuses("NoSuchResourceException", quotas.list_service_quotas, ServiceCode="moons")
    refuses("InvalidPaginationTokenException", quotas.list_service_quotas, ServiceCode="ec2", NextToken="bm8=")
    fault("clear")


def prices_are_in_aws_form(ec2, pricing):
    def term(field, value):
        return {"Type": "TERM_MATCH", "Field": field, "Value": value}

    plain = [
        term(("operatingSystem"), "Linux"),
        term("tenancy", "Shared"),
        term("preInstalledSw", "NA"),
        term("capacitystatus", "Used"),
        term("marketoption", "OnDemand"),
    ]
    pages = pricing.get_paginator(("get_products")).paginate(
        ServiceCode="AmazonEC2", Filters=plain + [term("regionCode", "us-east-1")], PaginationConfig={"PageSize": 100}
    )
    products = [json.loads(text) for page in pages for text in page["PriceList"]]
    prices = {}
    for product in products:
        (offer,) = product["terms"]["OnDemand"].values()
        (dimension,) = offer["priceDimensions"].values()
        expect(dimension["unit"] == "Hrs" and product["product"]["sku"] == offer["sku"], "form of a price")
        prices[product["product"]["attributes"]["instanceType"]] = float(dimension["pricePerUnit"]["USD"])
    expect(len(products) == len(prices) > 100, f"{len(products)} products, {len(prices)} types")
    expect(prices["g5.xlarge"] == 1.006, f"g5.xlarge {prices['g5.xlarge']}")
    tokyo = pricing.get_products(
        ServiceCode="AmazonEC2",
        Filters=plain + [term("location", "Asia Pacific (Tokyo)"), term("instanceType", "g5.xlarge")],
    )["PriceList"]
    expect(len(tokyo) == 1 and '"regionCode":"ap-northeast-1"' in tokyo[0].replace(" ", ""), "by location")
    refuses("InvalidNextTokenException", pricing.get_products, ServiceCode="AmazonEC2", NextToken="x")
    refuses("InvalidParameterException", pricing.get_products, ServiceCode="AmazonEC2", FormatVersion="aws_v9")
    spot = ec2.describe_spot_price_history(InstanceTypes=["g5.xlarge"], ProductDescriptions=["Linux/UNIX"])[
        "SpotPriceHistory"
    ]
    expect(len({row["AvailabilityZone"] for row in spot}) == 6, "a spot price for each zone")
    expect(len({row["SpotPrice"] for row in spot}) > 1, "the zones differ")
    expect(
        spot == ec2.describe_spot_price_history(InstanceTypes=["g5.xlarge"])["SpotPriceHistory"],
        "asked twice, another answer",
    )
    expect(all(0 < float(row["SpotPrice"]) <= prices["g5.xlarge"] for row in spot), "spot is dearer than on demand")
    expect(
        ec2.describe_spot_price_history(InstanceTypes=["t3.micro"])["SpotPriceHistory"] == [],
        "an unknown price is none",
    )
    pages = ec2.get_paginator("describe_spot_price_history").paginate(PaginationConfig={"PageSize": 50})
    rows = [(row["InstanceType"], row["AvailabilityZone"]) for page in pages for row in page["SpotPriceHistory"]]
    expect(len(rows) == len(set(rows)) > 300, f"{len(rows)} spot prices in pages")
    three = ["g5.xlarge", "g5.2xlarge", "g4dn.xlarge"]
    scores = ec2.get_spot_placement_scores(
        InstanceTypes=three, TargetCapacity=1, SingleAvailabilityZone=True, RegionNames=["us-east-1"]
    )["SpotPlacementScores"]
    expect(
        {row["AvailabilityZoneId"] for row in scores} == {f"use1-az{n}" for n in range(1, 7)}, "a score for each zone"
    )
    expect(all(3 < row["Score"] <= 10 for row in scores), "scores of three types")
    (region,) = ec2.get_spot_placement_scores(InstanceTypes=three, TargetCapacity=4, TargetCapacityUnitType="vcpu")[
        "SpotPlacementScores"
    ]
    expect(region["Region"] == "us-east-1" and "AvailabilityZoneId" not in region, "a score for the region")
    low = ec2.get_spot_placement_scores(InstanceTypes=three[:2], TargetCapacity=1)["SpotPlacementScores"]
    expect(low[0]["Score"] <= 3, "fewer than three types score low")
    refuses("InvalidParameterValue", ec2.get_spot_placement_scores, InstanceTypes=["g5.tiny"] * 3, TargetCapacity=1)
    refuses(
        "InvalidParameterValue",
        ec2.get_spot_placement_scores,
        InstanceTypes=three,
        TargetCapacity=1,
        RegionNames=["us-west-2"],
    )
    refuses("MissingParameter", ec2.get_spot_placement_scores, TargetCapacity=1)


def places_are_described(ec2):
    zones = ec2.describe_availability_zones()["AvailabilityZones"]
    expect(len(zones) == 6 and all(zone["State"] == "available" for zone in zones), "zones")
    expect(
        [region["RegionName"] for region in ec2.describe_regions(AllRegions=True)["Regions"]] == ["us-east-1"],
        "regions",
    )
    for kind in ("region", "availability-zone", "availability-zone-id", "outpost"):
        answer = ec2.describe_instance_type_offerings(
            LocationType=kind, Filters=[{"Name": "instance-type", "Values": ["g5.*"]}]
        )
        count = len(answer["InstanceTypeOfferings"])
        expect(count == {"region": 8, "outpost": 0}.get(kind, 48), f"{count} offerings by {kind}")


def faults_are_aws_own(ec2, sts, ssm, quotas, pricing, ami):
    order = dict(ImageId=ami, InstanceType="t3.micro", MinCount=1, MaxCount=1)
    tagged = dict(
        order, DryRun=True, TagSpecifications=[{("ResourceType"): "instance", "Tags": [{"Key": "a", "Value": "b"}]}]
    )
    refuses("DryRunOperation", ec2.run_instances, **tagged)
    fault("permission", "action=ec2:RunInstances", "count=1")  # a dry run does not use it up
    refuses("UnauthorizedOperation", ec2.run_instances, **tagged)
    refuses("UnauthorizedOperation", ec2.run_instances, **order)
    refuses("DryRunOperation", ec2.run_instances, **tagged)
    fault("permission", "action=ec2:CreateTags", "count=1")
    refuses("UnauthorizedOperation", ec2.run_instances, **tagged)
    fault("clear")
    asks = [
        ("AccessDenied", sts.get_caller_identity, {}),
        ("AccessDeniedException", ssm.get_parameter, {"Name": "/x"}),
        (("AccessDeniedException"), quotas.list_service_quotas, {"ServiceCode": "ec2"}),
        ("AccessDeniedException", pricing.get_products, {"ServiceCode": "AmazonEC2"}),
    ]
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
    expect(
        ec2.describe_vpcs(Filters=[{"Name": "isDefault", "Values": ["true"]}])["Vpcs"] == [], "a default VPC is there"
    )
    vpc = ec2.describe_vpcs()["Vpcs"][0]
    expect(vpc["IsDefault"] is False, "the VPC is the default one")
    refuses("VPCIdNotSpecified", ec2.create_security_group, GroupName="g", Description="d")
    refuses("VPCIdNotSpecified", ec2.run_instances, **order)
    group = ec2.create_security_group(GroupName="g", Description="d", VpcId=vpc["VpcId"])["GroupId"]
    subnet = ec2.describe_subnets()["Subnets"][0]
    expect(subnet["DefaultForAz"] is False, "the subnet is a default one")
    refuses(
        "DryRunOperation",
        ec2.run_instances,
        **order,
        DryRun=True,
        SubnetId=subnet["SubnetId"],
        SecurityGroupIds=[group],
    )
    ec2.delete_security_group(GroupId=group)
    fault("clear")


def the_log_names_permissions():
    lines = log_lines()
    calls = [line for line in lines if re.match(r"\w+:\w+ \d{3}", line)]
    for name in (
        "ec2:RunInstances",
        "sts:GetCallerIdentity",
        "ssm:GetParameter",
        "servicequotas:GetServiceQuota",
        "pricing:GetProducts",
    ):
        expect(any(line.startswith(name + " 200 ") for line in calls), f"no line for {name}")
    expect(
        any(re.fullmatch((r"ec2:RunInstances 412 \(dry run\) \d+ ms with ec2:CreateTags"), line) for line in calls),
        "no line for a dry run",
    )
    others = [line for line in lines if line not in calls and not line.startswith(("serving on ", "i-", "ending"))]
    expect(not others, f"lines without a permission: {others[:3]}")


def main():
    ec2, sts, ssm = (boto3.client(name) for name in ("ec2", "sts", "ssm"))
    quotas, pricing = client("service-quotas"), client("pricing")
    sts.get_caller_identity()
    ami = newest_ubuntu()
    quotas_are_those_of_launches(ec2, quotas, ami)
    prices_are_in_aws_form(ec2, pricing)
    places_are_described(ec2)
    faults_are_aws_own(ec2, sts, ssm, quotas, pricing, ami)
    the_log_names_permissions()


run(main)
