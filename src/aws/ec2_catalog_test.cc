#include "aws/ec2_catalog.h"

#include <gtest/gtest.h>

#include "aws/permissions.h"
#include "aws/pricing.h"
#include "aws/quotas.h"
#include "aws/scripted_http.h"

namespace ferry::aws::ec2_catalog_test {
namespace {

struct World {
  os::FakeClock clock;
  ScriptedHttp http;
  Client client{{.credentials = fixed_provider({"AKID", "secret", "", ""}),
                 .region = "eu-west-1",
                 .endpoint_url = {},
                 .service_endpoints = {},
                 .max_attempts = 1},
                http,
                clock};
  const std::string& body(std::size_t request) const { return http.asked.at(request).body; }
};

constexpr const char* three_types =
    "<DescribeInstanceTypesResponse><instanceTypeSet>"
    "<item><instanceType>p4d.24xlarge</instanceType><currentGeneration>true</currentGeneration>"
    "<supportedUsageClasses><item>on-demand</item><item>spot</item></supportedUsageClasses><bareMetal>false</"
    "bareMetal>"
    "<processorInfo><supportedArchitectures><item>x86_64</item></supportedArchitectures></processorInfo>"
    "<vCpuInfo><defaultVCpus>96</defaultVCpus></vCpuInfo><memoryInfo><sizeInMiB>1179648</sizeInMiB></"
    "memoryInfo>"
    "<instanceStorageInfo><totalSizeInGB>8000</totalSizeInGB><nvmeSupport>required</nvmeSupport></"
    "instanceStorageInfo>"
    "<networkInfo><networkPerformance>4x 100 "
    "Gigabit</networkPerformance><efaSupported>true</efaSupported></networkInfo>"
    "<gpuInfo><gpus><item><name>A100</name><manufacturer>NVIDIA</manufacturer><count>8</count>"
    "<memoryInfo><sizeInMiB>40960</sizeInMiB></memoryInfo></item></gpus></gpuInfo></item>"
    "<item><instanceType>inf2.xlarge</instanceType><vCpuInfo><defaultVCpus>4</defaultVCpus></vCpuInfo>"
    "<inferenceAcceleratorInfo><accelerators><item><count>1</count><name>Inferentia2</name>"
    "<manufacturer>AWS</manufacturer></item></accelerators></inferenceAcceleratorInfo>"
    "<neuronInfo><neuronDevices><item><count>1</count><name>Inferentia2</name>"
    "<memoryInfo><sizeInMiB>32768</sizeInMiB></memoryInfo></item></neuronDevices></neuronInfo></item>"
    "<item><instanceType>inf1.xlarge</instanceType><inferenceAcceleratorInfo><accelerators><member><count>1</"
    "count>"
    "<name>Inferentia</name><manufacturer>AWS</manufacturer></member></accelerators></"
    "inferenceAcceleratorInfo></item>"
    "<item><vCpuInfo><defaultVCpus>4</defaultVCpus></vCpuInfo></item>"
    "</instanceTypeSet><nextToken>more</nextToken></DescribeInstanceTypesResponse>";

TEST(InstanceTypes, AreReadWithTheirAccelerators) {
  const auto page = parse_describe_instance_types(three_types);
  ASSERT_TRUE(page) << describe(page.error());
  ASSERT_EQ(page->items.size(), 3U) << "what has no name is no type";
  EXPECT_EQ(page->next_token, "more");
  const auto& p4d = page->items[0];
  EXPECT_EQ(p4d.name, "p4d.24xlarge");
  EXPECT_EQ(p4d.vcpus, 96);
  EXPECT_EQ(p4d.memory_mib, 1'179'648);
  EXPECT_EQ(p4d.architectures, std::vector<std::string>{"x86_64"});
  EXPECT_EQ(p4d.local_disk_gb, 8000);
  EXPECT_TRUE(p4d.local_disk_is_nvme && p4d.efa && p4d.spot && p4d.on_demand && p4d.current_generation);
  EXPECT_EQ(p4d.network, "4x 100 Gigabit");
  ASSERT_EQ(p4d.accelerators.size(), 1U);
  EXPECT_EQ(p4d.accelerators[0].name, "A100");
  EXPECT_EQ(p4d.accelerators[0].count, 8);
  EXPECT_EQ(p4d.accelerators[0].memory_mib, 40'960);
  ASSERT_EQ(page->items[1].accelerators.size(), 1U) << "one device under two names";
  EXPECT_EQ(page->items[1].accelerators[0].sort, AcceleratorRecord::Sort::neuron);
  EXPECT_EQ(page->items[1].accelerators[0].manufacturer, "AWS");
  EXPECT_EQ(page->items[2].accelerators.at(0).sort, AcceleratorRecord::Sort::inference);
}

TEST(InstanceTypes, AreAskedForPageByPageOrByName) {
  World world;
  world.http.reply(200, three_types);
  world.http.reply(200, "<DescribeInstanceTypesResponse/>");
  EXPECT_EQ(describe_instance_types(world.client)->size(), 3U);
  EXPECT_NE(world.body(0).find("MaxResults=100"), std::string::npos);
  EXPECT_NE(world.body(1).find("NextToken=more"), std::string::npos);
  world.http.reply(200, "<DescribeInstanceTypesResponse/>");
  ASSERT_TRUE(describe_instance_types(world.client, {"g5.xlarge"}));
  EXPECT_NE(world.body(2).find("InstanceType.1=g5.xlarge"), std::string::npos);
  EXPECT_EQ(world.body(2).find("MaxResults"), std::string::npos);
}

std::string spot_item(const std::string& type, const std::string& zone, const std::string& price,
                      const std::string& time) {
  return "<item><instanceType>" + type + "</instanceType><availabilityZone>" + zone + "</availabilityZone><spotPrice>" +
         price + "</spotPrice><timestamp>" + time + "</timestamp></item>";
}

TEST(SpotPrices, TheNewestOfEachTypeAndZoneIsTheAnswer) {
  World world;
  world.http.reply(200, "<DescribeSpotPriceHistoryResponse><spotPriceHistorySet>" +
                            spot_item("g5.xlarge", "eu-west-1b", "0.500000", "2026-01-02T00:00:00.000Z") +
                            spot_item("g5.xlarge", "eu-west-1a", "0.400000", "2026-01-01T00:00:00.000Z") +
                            spot_item("g5.xlarge", "eu-west-1c", "free", "2026-01-01T00:00:00.000Z") +
                            "</spotPriceHistorySet><nextToken>x</nextToken></DescribeSpotPriceHistoryResponse>");
  world.http.reply(200, "<DescribeSpotPriceHistoryResponse><spotPriceHistorySet>" +
                            spot_item("g5.xlarge", "eu-west-1a", "0.450000", "2026-01-03T00:00:00.000Z") +
                            spot_item("g5.xlarge", "eu-west-1b", "0.900000", "2026-01-01T00:00:00.000Z") +
                            "</spotPriceHistorySet></DescribeSpotPriceHistoryResponse>");
  const auto prices = describe_spot_prices(world.client, {"g5.xlarge"});
  ASSERT_TRUE(prices) << describe(prices.error());
  ASSERT_EQ(prices->size(), 2U);
  EXPECT_EQ((*prices)[0].zone, "eu-west-1a");
  EXPECT_EQ((*prices)[0].hourly, Usd{450'000});
  EXPECT_EQ((*prices)[1].hourly, Usd{500'000});
  EXPECT_NE(world.body(0).find("StartTime=2023-11-14T22%3A13%3A20Z"), std::string::npos) << world.body(0);
}

TEST(SpotPrices, AHistoryIsEveryPageOfItInTheOrderOfTime) {
  World world;
  world.http.reply(200, "<DescribeSpotPriceHistoryResponse><spotPriceHistorySet>" +
                            spot_item("g5.xlarge", "eu-west-1a", "0.500000", "2026-01-03T00:00:00.000Z") +
                            spot_item("g5.xlarge", "eu-west-1a", "0.400000", "2026-01-02T00:00:00.000Z") +
                            "</spotPriceHistorySet><nextToken>x</nextToken></DescribeSpotPriceHistoryResponse>");
  world.http.reply(200, "<DescribeSpotPriceHistoryResponse><spotPriceHistorySet>" +
                            spot_item("g5.xlarge", "eu-west-1a", "0.300000", "2026-01-01T00:00:00.000Z") +
                            "</spotPriceHistorySet></DescribeSpotPriceHistoryResponse>");
  const auto prices = describe_spot_price_history(world.client, {"g5.xlarge", "g6.xlarge"}, 1'767'225'600'000);
  ASSERT_TRUE(prices) << describe(prices.error());
  ASSERT_EQ(prices->size(), 3U);
  EXPECT_EQ((*prices)[0].hourly, Usd{300'000});
  EXPECT_EQ((*prices)[2].hourly, Usd{500'000});
  EXPECT_NE(world.body(0).find("StartTime=2026-01-01T00%3A00%3A00Z"), std::string::npos) << world.body(0);
  EXPECT_NE(world.body(1).find("NextToken=x"), std::string::npos) << world.body(1);
}

TEST(SpotPrices, PlacementScoresAreOfZones) {
  const auto scores = parse_get_spot_placement_scores(
      "<GetSpotPlacementScoresResponse><spotPlacementScoreSet><item><region>eu-west-1</region>"
      "<availabilityZoneId>euw1-az1</availabilityZoneId><score>9</score></item><item><region>eu-west-1</region>"
      "<availabilityZoneId>euw1-az2</availabilityZoneId><score>much</score></item></spotPlacementScoreSet>"
      "</GetSpotPlacementScoresResponse>");
  ASSERT_EQ(scores.value().items.size(), 2U);
  EXPECT_EQ(scores->items[0].zone_id, "euw1-az1");
  EXPECT_EQ(scores->items[0].score, 9);
  EXPECT_EQ(scores->items[1].score, 0);
}

TEST(Places, RegionsZonesAndNetworksAreRead) {
  const auto regions = parse_describe_regions(
      "<DescribeRegionsResponse><regionInfo>"
      "<item><regionName>eu-west-1</regionName><optInStatus>opt-in-not-required</optInStatus></item>"
      "<item><regionName>af-south-1</regionName><optInStatus>not-opted-in</optInStatus></item>"
      "</regionInfo></DescribeRegionsResponse>");
  ASSERT_EQ(regions.value().size(), 2U);
  EXPECT_TRUE((*regions)[0].enabled);
  EXPECT_FALSE((*regions)[1].enabled);
  const auto zones = parse_describe_availability_zones(
      "<DescribeAvailabilityZonesResponse><availabilityZoneInfo><item><zoneName>eu-west-1a</zoneName>"
      "<zoneId>euw1-az2</zoneId><zoneType>availability-zone</zoneType><zoneState>available</zoneState></item>"
      "</availabilityZoneInfo></DescribeAvailabilityZonesResponse>");
  EXPECT_TRUE(zones.value().at(0).available);
  const auto vpcs = parse_describe_vpcs(
      "<DescribeVpcsResponse><vpcSet><item><vpcId>vpc-1</vpcId><isDefault>true</isDefault></item></vpcSet>"
      "</DescribeVpcsResponse>");
  EXPECT_TRUE(vpcs.value().items.at(0).is_default);
  const auto subnets = parse_describe_subnets(
      "<DescribeSubnetsResponse><subnetSet><item><subnetId>subnet-1</subnetId><vpcId>vpc-1</vpcId>"
      "<availabilityZone>eu-west-1a</availabilityZone><defaultForAz>true</defaultForAz>"
      "<mapPublicIpOnLaunch>true</mapPublicIpOnLaunch><availableIpAddressCount>4091</"
      "availableIpAddressCount></item>"
      "</subnetSet></DescribeSubnetsResponse>");
  EXPECT_TRUE(subnets.value().items.at(0).gives_public_ip);
  EXPECT_EQ(subnets.value().items.at(0).free_addresses, 4091);
  const auto offerings = parse_describe_instance_type_offerings(
      "<DescribeInstanceTypeOfferingsResponse><instanceTypeOfferingSet><item><instanceType>g5.xlarge</"
      "instanceType>"
      "<location>eu-west-1a</location></item></instanceTypeOfferingSet></"
      "DescribeInstanceTypeOfferingsResponse>");
  EXPECT_EQ(offerings.value().items.at(0).zone, "eu-west-1a");
}

TEST(Places, WhatIsNotTheExpectedAnswerIsCorrupt) {
  for (const char* bad : {"", "no xml", "<html/>", "<DescribeVpcsResponse>"}) {
    EXPECT_EQ(parse_describe_instance_types(bad).error().kind, Kind::corrupt);
    EXPECT_EQ(parse_describe_spot_price_history(bad).error().kind, Kind::corrupt);
    EXPECT_EQ(parse_describe_regions(bad).error().kind, Kind::corrupt);
    EXPECT_EQ(parse_describe_vpcs(bad).error().kind, Kind::corrupt);
  }
}

/// A product as the price list writes it: JSON as text.
std::string product(const std::string& type, const std::string& price, const std::string& more = "",
                    const std::string& unit = "Hrs") {
  const std::string text =
      R"({"product":{"productFamily":"Compute Instance","attributes":{"instanceType":")" + type +
      R"(","regionCode":"eu-west-1","operatingSystem":"Linux","tenancy":"Shared","preInstalledSw":"NA",)"
      R"("capacitystatus":"Used")" +
      more + R"(},"sku":"S"},"terms":{"OnDemand":{"S.J":{"priceDimensions":{"S.J.6":{"unit":")" + unit +
      R"(","pricePerUnit":{"USD":")" + price +
      R"("}}}}},"Reserved":{"S.R":{"priceDimensions":{"x":{"unit":"Hrs","pricePerUnit":{"USD":"0.1"}}}}}}})";
  return Json(text).dump();
}

TEST(Pricing, OnDemandPricesAreFoundInsideTheTextInsideTheAnswer) {
  World world;
  world.http.reply(200, R"({"FormatVersion":"aws_v1","PriceList":[)" + product("g5.xlarge", "1.1230000000") + "," +
                            product("free", "0.0000000000") + "," + product("month", "9.0", "", "Mo") + "," +
                            product("block", "2.0", R"(,"marketoption":"CapacityBlock")") + R"(],"NextToken":"n"})");
  world.http.reply(200, R"({"PriceList":[)" + product("t3.micro", "0.0114000000") + "]}");
  const auto prices = get_prices(world.client, "eu-west-1");
  ASSERT_TRUE(prices) << describe(prices.error());
  ASSERT_EQ(prices->size(), 2U);
  EXPECT_EQ((*prices)[0].type, "g5.xlarge");
  EXPECT_EQ((*prices)[0].region, "eu-west-1");
  EXPECT_EQ((*prices)[0].hourly, Usd{1'123'000});
  EXPECT_EQ((*prices)[1].hourly, Usd{11'400});
  EXPECT_EQ(world.http.asked[0].url, "https://api.pricing.us-east-1.amazonaws.com/");
  EXPECT_NE(header_of(world.http.asked[0], "authorization").find("/us-east-1/pricing/"), std::string::npos);
  EXPECT_EQ(header_of(world.http.asked[0], "x-amz-target"), "AWSPriceListService.GetProducts");
  const Json asked = Json::parse(world.body(1));
  EXPECT_EQ(asked["NextToken"], "n");
  EXPECT_EQ(asked["Filters"].size(), 5U);
}

TEST(Pricing, OddAnswersAreNoPricesOrCorrupt) {
  for (const char* bad : {"{}", "[]", R"({"PriceList":{}})", R"({"PriceList":["{"]})"}) {
    EXPECT_EQ(parse_get_products(Json::parse(bad)).error().kind, Kind::corrupt) << bad;
  }
  for (const char* odd :
       {R"({"PriceList":[1,null,[],{}]})", R"({"PriceList":["{}","[]","1"]})",
        R"({"PriceList":[{"product":{"attributes":7},"terms":{"OnDemand":[{"priceDimensions":1}]}}]})"}) {
    EXPECT_TRUE(parse_get_products(Json::parse(odd)).value().items.empty()) << odd;
  }
}

TEST(Quotas, EveryTypeCountsAgainstOne) {
  const auto code = [](const char* type, bool spot) {
    const auto* quota = vcpu_quota_of(type, spot);
    return quota ? quota->code : "none";
  };
  for (const auto& [type, on_demand, spot] :
       std::vector<std::array<const char*, 3>>{{"t3.micro", "L-1216C47A", "L-34B43A08"},
                                               {"c7i-flex.large", "L-1216C47A", "L-34B43A08"},
                                               {"im4gn.large", "L-1216C47A", "L-34B43A08"},
                                               {"g5.xlarge", "L-DB2E81BA", "L-3819A6DF"},
                                               {"gr6.4xlarge", "L-DB2E81BA", "L-3819A6DF"},
                                               {"vt1.3xlarge", "L-DB2E81BA", "L-3819A6DF"},
                                               {"p4de.24xlarge", "L-417A185B", "L-7212CCBC"},
                                               {"p5.48xlarge", "L-417A185B", "L-C4BD4855"},
                                               {"p5en.48xlarge", "L-417A185B", "L-C4BD4855"},
                                               {"p6-b200.48xlarge", "L-417A185B", "none"},
                                               {"trn1n.32xlarge", "L-2C3B7624", "L-6B0D517C"},
                                               {"inf2.xlarge", "L-1945791B", "L-B5D1601B"},
                                               {"dl1.24xlarge", "L-6E869C2A", "L-85EED4F7"},
                                               {"x2gd.large", "L-7295265B", "L-E3A00192"},
                                               {"f2.6xlarge", "L-74FC7D96", "L-88CF9481"},
                                               {"hpc7g.4xlarge", "L-F7808C92", "none"},
                                               {"u-6tb1.metal", "L-43DA4232", "none"},
                                               {"u7i-12tb.224xlarge", "L-43DA4232", "none"},
                                               {"mac2.metal", "none", "none"},
                                               {"", "none", "none"}}) {
    EXPECT_EQ(code(type, false), std::string_view(on_demand)) << type;
    EXPECT_EQ(code(type, true), std::string_view(spot)) << type;
  }
}

TEST(Quotas, AValueNeverAppliedIsAwsDefault) {
  World world;
  world.http.reply(400, R"({"__type":"NoSuchResourceException","message":"none"})");
  world.http.reply(200, R"({"Quota":{"QuotaCode":"L-DB2E81BA","QuotaName":"G","Value":0.0,"Adjustable":true}})");
  const auto quota = get_service_quota(world.client, "ec2", "L-DB2E81BA");
  ASSERT_TRUE(quota) << describe(quota.error());
  EXPECT_EQ(quota->value, 0.0);
  EXPECT_TRUE(quota->adjustable);
  EXPECT_EQ(world.http.asked[0].url, "https://servicequotas.eu-west-1.amazonaws.com/");
  EXPECT_NE(header_of(world.http.asked[0], "authorization").find("/eu-west-1/servicequotas/"), std::string::npos);
  EXPECT_EQ(header_of(world.http.asked[1], "x-amz-target"), "ServiceQuotasV20190624.GetAWSDefaultServiceQuota");
}

TEST(Quotas, RequestsAreReadWithWhatBecameOfThemNewestFirst) {
  World world;
  world.http.reply(200, R"({"RequestedQuotas": [{"Id": "a", "QuotaCode": "L-DB2E81BA", "Status": "CASE_CLOSED",
      "DesiredValue": 8.0, "Created": 1700000000.5, "LastUpdated": 1700000100}, {"Status": "PENDING"}],
      "NextToken": "x"})");
  world.http.reply(200, R"({"RequestedQuotas": [{"Id": "b", "QuotaCode": "L-DB2E81BA", "Status": "CASE_OPENED",
      "DesiredValue": 16, "Created": 1700000200, "LastUpdated": "soon"}]})");
  const auto requests = list_quota_requests(world.client, "ec2");
  ASSERT_TRUE(requests) << describe(requests.error());
  ASSERT_EQ(requests->size(), 2U);
  EXPECT_EQ((*requests)[0].id, "b");
  EXPECT_EQ((*requests)[0].updated_ms, 0);
  EXPECT_EQ((*requests)[1].created_ms, 1'700'000'000'500);
  EXPECT_EQ(state_of((*requests)[0]), QuotaRequestState::open);
  EXPECT_EQ(state_of((*requests)[1]), QuotaRequestState::refused);
  EXPECT_EQ(state_of({.status = "APPROVED"}), QuotaRequestState::granted);
}

TEST(Quotas, ARequestIsNotSentTwiceWhenItsAnswerIsLost) {
  World world;
  world.http.reply_error(Kind::lost);
  EXPECT_EQ(request_service_quota_increase(world.client, "ec2", "L-DB2E81BA", 8).error().kind, Kind::lost);
  EXPECT_EQ(world.http.asked.size(), 1U);
  world.http.reply(400, R"({"__type":"ResourceAlreadyExistsException"})");
  EXPECT_EQ(request_service_quota_increase(world.client, "ec2", "L-DB2E81BA", 8).error().kind, Kind::exists);
  world.http.reply(200, R"({"RequestedQuota":{"Id":"r","Status":"PENDING","DesiredValue":8.0}})");
  EXPECT_EQ(request_service_quota_increase(world.client, "ec2", "L-DB2E81BA", 8)->status, "PENDING");
}

TEST(Trials, TellAllowedDeniedAndUnknownApart) {
  World world;
  for (const auto action : trial_actions()) {
    world.http.reply_fault(412, "DryRunOperation");
    EXPECT_EQ(dry_run(world.client, action).permission, Permission::allowed) << action;
    EXPECT_NE(world.http.asked.back().body.find("DryRun=true"), std::string::npos);
  }
  world.http.reply_fault(403, "UnauthorizedOperation");
  const auto denied = dry_run(world.client, "RunInstances");
  EXPECT_EQ(denied.permission, Permission::denied);
  EXPECT_EQ(denied.error->kind, Kind::denied);
  world.http.reply_fault(400, "InvalidInstanceID.NotFound");
  EXPECT_EQ(dry_run(world.client, "TerminateInstances").permission, Permission::unknown);
  world.http.reply(200, "<RunInstancesResponse/>");
  EXPECT_EQ(dry_run(world.client, "RunInstances").permission, Permission::unknown);
  EXPECT_EQ(dry_run(world.client, "DeleteVpc").error->kind, Kind::bug);
}

}  // namespace
}  // namespace ferry::aws::ec2_catalog_test
