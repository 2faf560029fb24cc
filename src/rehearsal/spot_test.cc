#include "rehearsal/spot.h"

#include <gtest/gtest.h>

#include <set>

#include "base/text.h"
#include "rehearsal/testing.h"

namespace ferry::rehearsal {
namespace {

struct Spot : testing::Test, TestCloud {
  std::string launch_spot(const std::string& max_price = "") {
    Form form{{"InstanceType", "g4dn.xlarge"}, {"InstanceMarketOptions.MarketType", "spot"}};
    if (!max_price.empty()) form.emplace_back("InstanceMarketOptions.SpotOptions.MaxPrice", max_price);
    const auto id = launch(form);
    settle();
    return id;
  }
  void pass_after(std::int64_t ms) {
    clock.now += ms;
    lifecycle->pass();
  }
  /// What its metadata says; "" for 404.
  std::string told(const std::string& id, const std::string& path) {
    return text_at(machines.lives[id].metadata, "latest/meta-data/" + path);
  }
  std::string request(const std::string& id, const std::string& what) {
    return ask("DescribeSpotInstanceRequests", {{"Filter.1.Name", "instance-id"}, {"Filter.1.Value.1", id}})
        .at("//spotInstanceRequestSet/item/" + what);
  }
};

TEST_F(Spot, AMachineIsToldTwoMinutesBeforeAndThenTerminated) {
  const auto id = launch_spot();
  EXPECT_EQ(request(id, "state"), "active");
  EXPECT_EQ(request(id, "status/code"), "fulfilled");
  lifecycle->pass();
  EXPECT_EQ(told(id, "spot/instance-action"), "");
  ASSERT_TRUE(service->interrupt(id, 30'000));
  pass_after(0);
  EXPECT_EQ(told(id, "events/recommendations/rebalance"), R"({"noticeTime":")" + os::iso_time(clock.now) + "\"}");
  EXPECT_EQ(told(id, "spot/instance-action"), "");
  pass_after(30'000);
  const auto gone = os::iso_time(clock.now + 120'000);
  EXPECT_EQ(told(id, "spot/instance-action"), R"({"action":"terminate","time":")" + gone + "\"}");
  EXPECT_EQ(told(id, "spot/termination-time"), gone);
  EXPECT_EQ(request(id, "status/code"), "marked-for-termination");
  pass_after(119'999);
  EXPECT_EQ(instance(id).phase, Phase::running);
  pass_after(1);
  pass_after(0);
  const auto answer = ask("DescribeInstances", {{"InstanceId.1", id}});
  EXPECT_EQ(answer.at("//instanceState/name"), "terminated");
  EXPECT_EQ(answer.at("//stateReason/code"), "Server.SpotInstanceTermination");
  EXPECT_EQ(request(id, "state"), "closed");
  EXPECT_EQ(request(id, "status/code"), "instance-terminated-no-capacity");
}

TEST_F(Spot, AnotherServerGoesOnWithIt) {
  const auto id = launch_spot();
  service->set_spot_notice_ms(2'000);
  ASSERT_TRUE(service->interrupt(id, 0));
  restart();
  pass_after(0);
  EXPECT_NE(told(id, "spot/instance-action"), "");
  pass_after(2'000);
  pass_after(0);
  EXPECT_EQ(instance(id).phase, Phase::terminated);
}

TEST_F(Spot, WhatIsNotSpotOrIsGoneIsNotTakenBack) {
  const auto plain = launch();
  settle();
  EXPECT_FALSE(service->interrupt(plain, 0));
  EXPECT_FALSE(service->interrupt("i-00000000000000000", 0));
  const auto id = launch_spot();
  ASSERT_TRUE(service->interrupt(id, 0));
  EXPECT_FALSE(service->interrupt(id, 0)) << "it is being taken already";
  ASSERT_TRUE(service->add_fault({{"kind", "interruptions"}, {"per_hour", 3600}}));
  pass_after(10'000);
  EXPECT_EQ(instance(plain).taking.gone_ms, 0);
  ask("TerminateInstances", {{"InstanceId.1", id}});
  pass_after(0);
  EXPECT_EQ(request(id, "status/code"), "instance-terminated-by-user");
}

TEST_F(Spot, ARateTakesBackWhatRanForSoLong) {
  const auto id = launch_spot();
  ASSERT_TRUE(service->add_fault({{"kind", "interruptions"}, {"per_hour", 60}}));
  pass_after(59'000);
  EXPECT_EQ(instance(id).taking.gone_ms, 0);
  pass_after(2'000);
  EXPECT_GT(instance(id).taking.notice_ms, clock.now);
  pass_after(30'000);
  EXPECT_NE(told(id, "spot/instance-action"), "");
  pass_after(120'000);
  pass_after(0);
  EXPECT_EQ(instance(id).phase, Phase::terminated);
}

TEST_F(Spot, AMarketOfASeedHasTheSamePricesAgainAndTakesBackWhoBidLess) {
  const auto& type = *find_type("g4dn.xlarge");
  const Market market{.seed = 7, .step_ms = 60'000};
  std::set<std::string> prices;
  for (std::int64_t at = 0; at < 3'600'000; at += 60'000) {
    const auto price = spot_price_at(type, "us-east-1a", market, at);
    EXPECT_EQ(price, spot_price_at(type, "us-east-1a", market, at + 59'999));
    EXPECT_LE(parse_usd(price)->micros, parse_usd(type.on_demand)->micros);
    prices.insert(price);
  }
  EXPECT_GT(prices.size(), 20u);
  EXPECT_NE(spot_price_at(type, "us-east-1a", market, 0), spot_price_at(type, "us-east-1a", {{8, 60'000}}, 0));

  const auto dear = launch_spot(), cheap = launch_spot(spot_price(type, "us-east-1f"));
  ASSERT_TRUE(service->add_fault({{"kind", "market"}, {"seed", 7}, {"step_ms", 60'000}}));
  for (int minute = 0; minute < 180 && instance(cheap).phase != Phase::terminated; ++minute) pass_after(60'000);
  EXPECT_EQ(instance(cheap).phase, Phase::terminated);
  EXPECT_EQ(request(cheap, "status/code"), "instance-terminated-by-price");
  EXPECT_EQ(instance(dear).phase, Phase::running);
  const auto zone = instance(dear).zone;
  const auto history = ask("DescribeSpotPriceHistory", {{"InstanceType.1", "g4dn.xlarge"},
                                                        {"AvailabilityZone", zone},
                                                        {"StartTime", os::iso_time(clock.now - 600'000)}});
  EXPECT_EQ(history.count("//spotPriceHistorySet/item"), 11u) << history.body;
  EXPECT_EQ(history.at("//spotPriceHistorySet/item[1]/spotPrice"),
            spot_price_at(type, zone, Market{7, 60'000}, clock.now));
}

TEST_F(Spot, AScoreIsLowWithFewTypesAndWhereThereIsNoRoom) {
  const auto score = [&](const Form& form) { return ask("GetSpotPlacementScores", form); };
  const Form three{{"InstanceType.1", "g5.xlarge"},
                   {"InstanceType.2", "g5.2xlarge"},
                   {"InstanceType.3", "g4dn.xlarge"},
                   {"TargetCapacity", "1"},
                   {"SingleAvailabilityZone", "true"}};
  const auto all = score(three);
  ASSERT_EQ(all.count("//spotPlacementScoreSet/item"), 6u) << all.body;
  EXPECT_GT(parse_int(all.at("//spotPlacementScoreSet/item[1]/score")).value_or(0), 3);
  const auto two = score({{"InstanceType.1", "g5.xlarge"}, {"InstanceType.2", "g5.2xlarge"}, {"TargetCapacity", "1"}});
  ASSERT_EQ(two.count("//spotPlacementScoreSet/item"), 1u) << "one for the region";
  EXPECT_LE(parse_int(two.at("//score")).value_or(9), 3);
  ASSERT_TRUE(service->add_fault({{"kind", "capacity"}, {"zone", "us-east-1a"}}));
  const auto full = score(three);
  EXPECT_EQ(full.at("//item[availabilityZoneId='" + zone_id("us-east-1a") + "']/score"), "1") << full.body;
}

}  // namespace
}  // namespace ferry::rehearsal
