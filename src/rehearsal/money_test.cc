#include <gtest/gtest.h>

#include "base/units.h"
#include "rehearsal/catalog.h"
#include "rehearsal/quotas.h"
#include "rehearsal/testing.h"

namespace ferry::rehearsal {
namespace {

struct Quotas : testing::Test, TestCloud {
  Json ask_quotas(const std::string& operation, Json body) {
    if (!body.contains("ServiceCode")) body["ServiceCode"] = "ec2";
    return ask_json("servicequotas", operation, body);
  }
  double value_of(const std::string& code) {
    return ask_quotas("GetServiceQuota", {{"QuotaCode", code}}).at("Quota").at("Value");
  }
};

TEST_F(Quotas, ShowTheLimitsThatLaunchesMeet) {
  EXPECT_EQ(value_of("L-1216C47A"), usual_vcpu_limit);
  ASSERT_TRUE(service->add_fault({{"kind", "quota"}, {"bucket", "standard"}, {"limit", 3}}));
  ASSERT_TRUE(service->add_fault({{"kind", "quota"}, {"bucket", "spot-g"}, {"limit", 0}}));
  EXPECT_EQ(value_of("L-1216C47A"), 3);
  EXPECT_EQ(value_of("L-3819A6DF"), 0);
  EXPECT_EQ(value_of("L-DB2E81BA"), usual_vcpu_limit);
  EXPECT_NE(launch(), "");
  EXPECT_EQ(launch(), "");
  EXPECT_EQ(ask("RunInstances", {{"ImageId", images().front().id},
                                 {"InstanceType", "g5.xlarge"},
                                 {"MinCount", "1"},
                                 {"MaxCount", "1"},
                                 {"InstanceMarketOptions.MarketType", "spot"}})
                .code(),
            "MaxSpotInstanceCountExceeded");
}

TEST_F(Quotas, EveryBucketThatATypeCountsAgainstHasAnOnDemandAndASpotCode) {
  for (const auto& type : instance_types())
    for (const bool spot : {false, true}) {
      const auto bucket = quota_bucket(type, spot);
      EXPECT_EQ(std::count_if(vcpu_quotas().begin(), vcpu_quotas().end(),
                              [&](const VcpuQuota& quota) { return quota.bucket == bucket; }),
                1)
          << bucket;
    }
}

TEST_F(Quotas, AreListedInPages) {
  std::vector<std::string> codes;
  Json request = {{"MaxResults", 5}};
  do {
    const auto page = ask_quotas("ListServiceQuotas", request);
    ASSERT_TRUE(page.contains("Quotas")) << page;
    for (const auto& quota : page["Quotas"]) codes.push_back(quota["QuotaCode"]);
    request["NextToken"] = text_at(page, "NextToken");
  } while (request["NextToken"] != "");
  EXPECT_EQ(codes.size(), 19U);
  EXPECT_TRUE(std::is_sorted(codes.begin(), codes.end()));
  EXPECT_EQ(ask_quotas("ListServiceQuotas", {{"NextToken", "bm8="}})["__type"], "InvalidPaginationTokenException");
  EXPECT_EQ(ask_quotas("ListServiceQuotas", {{"MaxResults", 101}})["__type"], "IllegalArgumentException");
}

TEST_F(Quotas, UnknownOnesDoNotExist) {
  EXPECT_EQ(ask_quotas("GetServiceQuota", {{"QuotaCode", "L-00000000"}})["__type"], "NoSuchResourceException");
  EXPECT_EQ(ask_quotas("ListServiceQuotas", {{"ServiceCode", "s4"}})["__type"], "NoSuchResourceException");
  EXPECT_EQ(ask_quotas("GetServiceQuota", Json::object())["__type"], "IllegalArgumentException");
  EXPECT_EQ(ask_quotas("DeleteEverything", Json::object())["__type"], "UnknownOperationException");
}

TEST_F(Quotas, TheDefaultIsWhatANewAccountGets) {
  const auto quota = ask_quotas("GetAWSDefaultServiceQuota", {{"QuotaCode", "L-1216C47A"}, {"ServiceCode", "ec2"}});
  EXPECT_EQ(quota.at("Quota").at("Value"), 5.0);
  EXPECT_EQ(ask_quotas("GetAWSDefaultServiceQuota", {{"QuotaCode", "L-417A185B"}}).at("Quota").at("Value"), 0.0);
}

TEST_F(Quotas, ARequestIsAnsweredAfterATimeAndTheLimitFollows) {
  ASSERT_TRUE(service->add_fault({{"kind", "quota"}, {"bucket", "standard"}, {"limit", 0}}));
  EXPECT_FALSE(service->add_fault({{"kind", "quota-answer"}, {"status", "MAYBE"}}));
  ASSERT_TRUE(service->add_fault({{"kind", "quota-answer"}, {"status", "DENIED"}, {"after_ms", 60'000}}));
  const Json wanted = {{"QuotaCode", "L-1216C47A"}, {"DesiredValue", 8.0}};
  const auto newest = [&] {
    lifecycle->pass();
    return ask_quotas("ListRequestedServiceQuotaChangeHistory", Json::object()).at("RequestedQuotas").at(0);
  };
  ask_quotas("RequestServiceQuotaIncrease", wanted);
  EXPECT_EQ(newest()["Status"], "PENDING");
  clock.now += 60'000;
  EXPECT_EQ(newest()["Status"], "DENIED");
  EXPECT_GT(newest()["LastUpdated"], newest()["Created"]);
  EXPECT_EQ(value_of("L-1216C47A"), 0);
  EXPECT_EQ(launch(), "");
  ASSERT_TRUE(service->add_fault({{"kind", "quota-answer"}, {"status", "CASE_OPENED"}}));
  EXPECT_EQ(newest()["Status"], "DENIED") << "what was answered stays";
  ask_quotas("RequestServiceQuotaIncrease", wanted);
  EXPECT_EQ(newest()["Status"], "CASE_OPENED");
  EXPECT_EQ(ask_quotas("RequestServiceQuotaIncrease", wanted)["__type"], "ResourceAlreadyExistsException");
  ASSERT_TRUE(service->add_fault({{"kind", "quota-answer"}, {"status", "APPROVED"}}));
  EXPECT_EQ(newest()["Status"], "APPROVED");
  EXPECT_EQ(value_of("L-1216C47A"), 8);
  EXPECT_NE(launch(), "");
}

TEST_F(Quotas, OneRequestForMoreIsOpenAtATimeAndOutlivesTheServer) {
  ASSERT_TRUE(service->add_fault({{"kind", "quota"}, {"bucket", "g"}, {"limit", 0}}));
  const Json wanted = {{"QuotaCode", "L-DB2E81BA"}, {"DesiredValue", 8.0}};
  const auto asked = ask_quotas("RequestServiceQuotaIncrease", wanted);
  ASSERT_TRUE(asked.contains("RequestedQuota")) << asked;
  EXPECT_EQ(asked["RequestedQuota"]["Status"], "PENDING");
  EXPECT_EQ(ask_quotas("RequestServiceQuotaIncrease", wanted)["__type"], "ResourceAlreadyExistsException");
  restart();
  ASSERT_TRUE(service->add_fault({{"kind", "quota"}, {"bucket", "g"}, {"limit", 8}}));
  const auto history = ask_quotas("ListRequestedServiceQuotaChangeHistoryByQuota", {{"QuotaCode", "L-DB2E81BA"}});
  ASSERT_EQ(history.at("RequestedQuotas").size(), 1U);
  EXPECT_EQ(history["RequestedQuotas"][0]["Id"], asked["RequestedQuota"]["Id"]);
  EXPECT_EQ(history["RequestedQuotas"][0]["Status"], "APPROVED") << "the limit is as high as it asked";
  EXPECT_EQ(ask_quotas("RequestServiceQuotaIncrease", wanted)["__type"], "IllegalArgumentException")
      << "no more than there is";
}

struct Prices : testing::Test, TestCloud {
  static Json filter(const char* field, const char* value) {
    return {{"Type", "TERM_MATCH"}, {"Field", field}, {"Value", value}};
  }
  /// A vector: compilers differ in what a Json made of one Json in braces is.
  Json products(const std::vector<Json>& filters, Json more = Json::object()) {
    more["ServiceCode"] = "AmazonEC2";
    more["Filters"] = filters;
    return ask_json("pricing", "GetProducts", more);
  }
  static std::string usd(const Json& product) {
    const auto& term = product.at("terms").at("OnDemand").front();
    return term.at("priceDimensions").front().at("pricePerUnit").at("USD");
  }
};

TEST_F(Prices, AreThoseOfTheTable) {
  const auto found = products({filter("instanceType", "g5.xlarge"), filter("regionCode", "us-east-1"),
                               filter("operatingSystem", "Linux"), filter("tenancy", "Shared"),
                               filter("preInstalledSw", "NA"), filter("capacitystatus", "Used"),
                               filter("marketoption", "OnDemand"), filter("location", "US East (N. Virginia)")});
  ASSERT_EQ(found.at("PriceList").size(), 1U) << found;
  const auto product = *parse_json(found["PriceList"][0].get<std::string>());
  EXPECT_EQ(usd(product), "1.0060000000");
  EXPECT_EQ(product["product"]["attributes"]["vcpu"], "4");
  EXPECT_EQ(product["product"]["attributes"]["gpu"], "1");
}

TEST_F(Prices, WithoutFiltersHaveOtherUsesOfTheSameHourAmongThem) {
  const auto found = products({filter("instanceType", "t3.micro"), filter("regionCode", "eu-west-1")});
  std::set<std::string> uses;
  for (const auto& text : found.at("PriceList"))
    uses.insert((*parse_json(text.get<std::string>()))["product"]["attributes"]["capacitystatus"]);
  EXPECT_EQ(uses, (std::set<std::string>{"AllocatedCapacityReservation", "UnusedCapacityReservation", "Used"}));
  EXPECT_EQ(products({filter("tenancy", "Dedicated")}).at("PriceList").size(), 0U);
}

TEST_F(Prices, ComeInPagesWithoutGapOrRepetition) {
  std::set<std::string> skus;
  std::size_t count = 0;
  Json more = {{"MaxResults", 100}};
  do {
    const auto page = products({filter("capacitystatus", "Used")}, more);
    for (const auto& text : page.at("PriceList")) {
      skus.insert((*parse_json(text.get<std::string>()))["product"]["sku"]);
      ++count;
    }
    more["NextToken"] = text_at(page, "NextToken");
  } while (more["NextToken"] != "");
  EXPECT_EQ(skus.size(), count);
  EXPECT_GT(count, 1000U);
}

TEST_F(Prices, RefuseWhatTheServiceRefuses) {
  EXPECT_EQ(products({}, {{"MaxResults", 101}})["__type"], "InvalidParameterException");
  EXPECT_EQ(products({}, {{"NextToken", "x"}})["__type"], "InvalidNextTokenException");
  EXPECT_EQ(products({Json{{"Type", "MATCH"}, {"Field", "a"}, {"Value", "b"}}})["__type"], "InvalidParameterException");
  EXPECT_EQ(ask_json("pricing", "GetProducts", {{"ServiceCode", "AmazonMoons"}})["__type"], "NotFoundException");
}

TEST_F(Prices, OfSpotDifferByZoneAndTheLowestIsTheTables) {
  std::size_t known = 0;
  for (const auto& type : instance_types()) {
    std::set<std::int64_t> prices;
    for (const char zone : {'a', 'b', 'c', 'd', 'e', 'f'}) {
      const auto price = spot_price(type, std::string("us-east-1") + zone);
      ASSERT_EQ(price.empty(), type.spot.empty()) << type.name;
      if (!price.empty()) prices.insert(parse_usd(price)->micros);
    }
    if (prices.empty()) continue;
    ++known;
    EXPECT_EQ(*prices.begin(), parse_usd(type.spot)->micros) << type.name;
    EXPECT_LE(*prices.rbegin() * 100, *prices.begin() * 112) << type.name;
  }
  EXPECT_GT(known, 50U);
}

TEST_F(Prices, OfSpotDecideWhereABidIsEnough) {
  const auto& type = *find_type("g5.xlarge");
  std::string dear, cheap;
  for (const char letter : {'a', 'b', 'c', 'd', 'e', 'f'}) {
    const auto zone = std::string("us-east-1") + letter;
    (*parse_usd(spot_price(type, zone)) == *parse_usd(type.spot) ? cheap : dear) = zone;
  }
  const auto bid_in = [&](const std::string& zone) {
    Form form = {{"ImageId", images().front().id},
                 {"InstanceType", type.name},
                 {"MinCount", "1"},
                 {"MaxCount", "1"},
                 {"InstanceMarketOptions.MarketType", "spot"},
                 {"InstanceMarketOptions.SpotOptions.MaxPrice", type.spot}};
    if (!zone.empty()) form.emplace_back("Placement.AvailabilityZone", zone);
    return ask("RunInstances", form);
  };
  EXPECT_EQ(bid_in(dear).code(), "SpotMaxPriceTooLow");
  EXPECT_EQ(bid_in(cheap).status, 200);
  EXPECT_EQ(bid_in("").at("//placement/availabilityZone"), cheap);
}

}  // namespace
}  // namespace ferry::rehearsal
