#include <gtest/gtest.h>

#include "rehearsal/catalog.h"
#include "rehearsal/testing.h"

namespace ferry::rehearsal {
namespace {

struct Capacity : testing::Test, TestCloud {
  Answer run(Form more) {
    Form form = {{"ImageId", images().front().id}, {"MinCount", "1"}, {"MaxCount", "1"}};
    form.insert(form.end(), more.begin(), more.end());
    return ask("RunInstances", form);
  }
  /// Of an answer to RunInstances.
  std::string zone(const Answer& answer) { return answer.at("//placement/availabilityZone"); }
  void end(const std::string& id) {
    ask("TerminateInstances", {{"InstanceId.1", id}});
    settle();
  }
};

struct PlacementGroups : Capacity {
  Answer make(const std::string& name, const std::string& strategy) {
    return ask("CreatePlacementGroup", {{"GroupName", name}, {"Strategy", strategy}});
  }
};

TEST_F(PlacementGroups, AreMadeShownAndDeleted) {
  const auto made = make("near", "cluster");
  EXPECT_EQ(made.at("//placementGroup/groupName"), "near");
  EXPECT_TRUE(made.at("//groupArn").ends_with(":placement-group/near"));
  EXPECT_EQ(make("near", "spread").code(), "InvalidPlacementGroup.Duplicate");
  EXPECT_EQ(make("far", "spread").at("//spreadLevel"), "rack");
  EXPECT_EQ(make("odd", "heap").code(), "InvalidParameterValue");
  EXPECT_EQ(ask("DescribePlacementGroups", {{"Filter.1.Name", "strategy"}, {"Filter.1.Value.1", "cluster"}})
                .at("//placementGroupSet/item/groupId"),
            made.at("//groupId"));
  EXPECT_EQ(ask("DescribePlacementGroups", {{"GroupName.1", "none"}}).code(), "InvalidPlacementGroup.Unknown");
  EXPECT_EQ(ask("DeletePlacementGroup", {{"GroupName", "near"}}).at("//return"), "true");
  EXPECT_EQ(ask("DeletePlacementGroup", {{"GroupName", "near"}}).code(), "InvalidPlacementGroup.Unknown");
}

TEST_F(PlacementGroups, OfTheClusterKindKeepTheirInstancesInOneZone) {
  make("near", "cluster");
  const Form order = {{"InstanceType", "g5.xlarge"}, {"Placement.GroupName", "near"}};
  const auto in = [&](const std::string& in_zone) {
    Form form = order;
    form.push_back({"Placement.AvailabilityZone", in_zone});
    return run(form);
  };
  const auto first = in("us-east-1d");
  EXPECT_EQ(first.at("//placement/groupName"), "near");
  EXPECT_EQ(zone(run(order)), "us-east-1d") << "where the group is, if nothing else is said";
  EXPECT_EQ(in("us-east-1a").code(), "InvalidPlacementGroup.InUse");
  EXPECT_EQ(ask("DeletePlacementGroup", {{"GroupName", "near"}}).code(), "InvalidPlacementGroup.InUse");
  EXPECT_EQ(ask("DescribeInstances", {{"Filter.1.Name", "placement-group-name"}, {"Filter.1.Value.1", "near"}})
                .count("//instancesSet/item"),
            2U);
  const auto there = ask("DescribeInstances");
  for (const auto& node : there.xml.select_nodes("//instanceId")) end(node.node().text().get());
  EXPECT_EQ(zone(in("us-east-1a")), "us-east-1a") << "an empty group is nowhere";
}

TEST_F(PlacementGroups, RefuseWhatDoesNotFit) {
  make("near", "cluster");
  make("far", "spread");
  const auto with = [&](const std::string& type, const std::string& group) {
    return run({{"InstanceType", type}, {"Placement.GroupName", group}});
  };
  EXPECT_EQ(with("g5.xlarge", "none").code(), "InvalidPlacementGroup.Unknown");
  EXPECT_EQ(with("t3.micro", "near").code(), "InvalidParameterCombination");
  EXPECT_EQ(with("t3.micro", "far").status, 200);
  EXPECT_EQ(with("trn1.2xlarge", "near").code(), "") << "Trn is no T";
}

struct Reservations : Capacity {
  std::string make(const std::string& count, const std::string& match = "targeted") {
    return ask("CreateCapacityReservation", {{"InstanceType", "g5.xlarge"},
                                             {"InstancePlatform", "Linux/UNIX"},
                                             {"AvailabilityZone", "us-east-1c"},
                                             {"InstanceCount", count},
                                             {"InstanceMatchCriteria", match}})
        .at("//capacityReservation/capacityReservationId");
  }
  static Form target(const std::string& id, Form more = {}) {
    more.push_back({"InstanceType", "g5.xlarge"});
    more.push_back({"CapacityReservationSpecification.CapacityReservationTarget.CapacityReservationId", id});
    return more;
  }
  std::string free(const std::string& id) {
    return ask("DescribeCapacityReservations", {{"CapacityReservationId.1", id}}).at("//availableInstanceCount");
  }
};

TEST_F(Reservations, CountTheirInstancesDownAndUpAgain) {
  const auto id = make("2");
  const auto first = run(target(id));
  EXPECT_EQ(first.at("//capacityReservationId"), id) << first.body;
  EXPECT_EQ(first.at("//capacityReservationTarget/capacityReservationId"), id);
  EXPECT_EQ(zone(first), "us-east-1c");
  EXPECT_EQ(free(id), "1");
  EXPECT_EQ(run(target(id, {{"MinCount", "2"}, {"MaxCount", "2"}})).code(), "ReservationCapacityExceeded");
  const auto second = run(target(id));
  EXPECT_EQ(free(id), "0");
  EXPECT_EQ(run(target(id)).code(), "ReservationCapacityExceeded");
  end(first.at("//instanceId"));
  EXPECT_EQ(free(id), "1");
  EXPECT_EQ(ask("DescribeInstances", {{"Filter.1.Name", "capacity-reservation-id"},
                                      {"Filter.1.Value.1", id},
                                      {"Filter.2.Name", "instance-state-name"},
                                      {"Filter.2.Value.1", "running"}})
                .at("//instanceId"),
            second.at("//instanceId"));
}

TEST_F(Reservations, TakeOnlyWhatFits) {
  const auto id = make("1");
  EXPECT_EQ(run(target("cr-00000000000000000")).code(), "InvalidCapacityReservationId.NotFound");
  EXPECT_EQ(run(target("mine")).code(), "InvalidCapacityReservationId.Malformed");
  EXPECT_EQ(run(target(id, {{"Placement.AvailabilityZone", "us-east-1a"}})).code(), "InvalidParameterValue");
  EXPECT_EQ(run(target(id, {{"InstanceMarketOptions.MarketType", "spot"}})).code(), "InvalidParameterValue");
  EXPECT_EQ(run(target(id, {{"InstanceMarketOptions.MarketType", "capacity-block"}})).code(), "InvalidParameterValue");
  auto other = target(id);
  other[0].second = "g5.2xlarge";
  EXPECT_EQ(run(other).code(), "InvalidParameterValue");
  EXPECT_EQ(ask("CancelCapacityReservation", {{"CapacityReservationId", id}}).at("//return"), "true");
  EXPECT_EQ(ask("DescribeCapacityReservations").at("//state"), "cancelled");
  EXPECT_EQ(run(target(id)).code(), "InvalidCapacityReservationState.Unavailable");
  EXPECT_EQ(ask("CancelCapacityReservation", {{"CapacityReservationId", id}}).code(), "IncorrectState");
}

TEST_F(Reservations, HaveCapacityWhereNobodyElseFindsAny) {
  const auto id = make("1");
  ASSERT_TRUE(service->add_fault({{"kind", "capacity"}}));
  EXPECT_EQ(make("1"), "");
  EXPECT_EQ(run({{"InstanceType", "g5.xlarge"}}).code(), "InsufficientInstanceCapacity");
  EXPECT_EQ(run(target(id)).status, 200);
}

TEST_F(Reservations, ThatAreOpenTakeWhatMatches) {
  const auto id = make("1", "open");
  const Form there = {{"InstanceType", "g5.xlarge"}, {"Placement.AvailabilityZone", "us-east-1c"}};
  auto none = there, only = there;
  none.push_back({"CapacityReservationSpecification.CapacityReservationPreference", "none"});
  only.push_back({"CapacityReservationSpecification.CapacityReservationPreference", "capacity-reservations-only"});
  EXPECT_EQ(run(none).count("//capacityReservationId"), 0U);
  const auto first = run(there);
  EXPECT_EQ(first.at("//capacityReservationId"), id);
  EXPECT_EQ(run(there).count("//capacityReservationId"), 0U) << "full, so it runs beside it";
  EXPECT_EQ(run(only).code(), "ReservationCapacityExceeded");
  end(first.at("//instanceId"));
  EXPECT_EQ(run(only).at("//capacityReservationId"), id);
}

TEST_F(Reservations, AreTakenUpAgainByAStoppedInstance) {
  const auto id = make("1");
  const auto stopped = run(target(id)).at("//instanceId");
  settle();
  ask("StopInstances", {{"InstanceId.1", stopped}});
  settle();
  EXPECT_EQ(free(id), "1");
  const auto other = run(target(id)).at("//instanceId");
  EXPECT_EQ(ask("StartInstances", {{"InstanceId.1", stopped}}).code(), "ReservationCapacityExceeded");
  end(other);
  EXPECT_EQ(ask("StartInstances", {{"InstanceId.1", stopped}}).status, 200);
  EXPECT_EQ(free(id), "0");
}

TEST_F(Reservations, EndWhenTheyWereToldTo) {
  const Form order = {{"InstanceType", "g5.xlarge"},
                      {"InstancePlatform", "Linux/UNIX"},
                      {"AvailabilityZone", "us-east-1c"},
                      {"InstanceCount", "1"},
                      {"ClientToken", "t"},
                      {"EndDateType", "limited"},
                      {"EndDate", os::iso_time(clock.now + 60'000)}};
  const auto made = ask("CreateCapacityReservation", order);
  EXPECT_EQ(made.at("//endDateType"), "limited") << made.body;
  EXPECT_EQ(ask("CreateCapacityReservation", order).at("//capacityReservationId"), made.at("//capacityReservationId"));
  clock.advance(Millis(60'000));
  EXPECT_EQ(ask("DescribeCapacityReservations").at("//state"), "expired");
  EXPECT_EQ(
      ask("DescribeCapacityReservations", {{"Filter.1.Name", "state"}, {"Filter.1.Value.1", "active"}}).count("//item"),
      0U);
}

struct Blocks : Reservations {
  Answer offers(const std::string& type, const std::string& hours, Form more = {}) {
    more.insert(more.end(), {{"InstanceType", type}, {"CapacityDurationHours", hours}});
    return ask("DescribeCapacityBlockOfferings", more);
  }
  Answer buy(const std::string& offer) {
    return ask("PurchaseCapacityBlock", {{"CapacityBlockOfferingId", offer}, {"InstancePlatform", "Linux/UNIX"}});
  }
  Answer launch_in(const std::string& id, const std::string& market) {
    Form form = target(id, {});
    form[0].second = "p5.48xlarge";
    if (!market.empty()) form.push_back({"InstanceMarketOptions.MarketType", market});
    return run(form);
  }
};

TEST_F(Blocks, AreOfferedBoughtAndLaunchedIntoByTheirOwnMarketOnly) {
  ASSERT_TRUE(service->add_fault({{"kind", "quota"}, {"bucket", "p"}, {"limit", 0}}));
  const auto offered = offers("p5.48xlarge", "48");
  EXPECT_EQ(offered.count("//capacityBlockOfferingSet/item"), 2U);
  EXPECT_EQ(offered.at("//currencyCode"), "USD");
  EXPECT_NE(offered.at("//upfrontFee"), "0.00");
  const auto bought = buy(offered.at("//capacityBlockOfferingId"));
  const auto id = bought.at("//capacityReservation/capacityReservationId");
  EXPECT_EQ(bought.at("//capacityReservation/state"), "active") << bought.body;
  EXPECT_EQ(bought.at("//capacityReservation/reservationType"), "capacity-block");
  EXPECT_EQ(bought.at("//capacityBlockSet/item/capacityReservationIdSet/item"), id);
  EXPECT_EQ(buy(offered.at("//capacityBlockOfferingId")).code(), "InvalidCapacityBlockOfferingIdNotFound");
  EXPECT_EQ(launch_in(id, "").code(), "InvalidParameterValue");
  EXPECT_EQ(run({{"InstanceType", "p5.48xlarge"}, {"InstanceMarketOptions.MarketType", "capacity-block"}}).code(),
            "InvalidParameterCombination");
  const auto launched = launch_in(id, "capacity-block");
  EXPECT_EQ(launched.at("//instanceLifecycle"), "capacity-block") << launched.body;
  EXPECT_EQ(launched.at("//capacityReservationId"), id) << "and no quota counts";
  EXPECT_EQ(launch_in(id, "capacity-block").code(), "ReservationCapacityExceeded");
  EXPECT_EQ(ask("CancelCapacityReservation", {{"CapacityReservationId", id}}).code(), "OperationNotPermitted");
}

TEST_F(Blocks, AreOfferedForSomeTypesAndLengthsOnly) {
  EXPECT_EQ(offers("g5.xlarge", "24").code(), "Unsupported");
  EXPECT_EQ(offers("p5.48xlarge", "25").code(), "InvalidParameterValue");
  EXPECT_EQ(offers("p5.48xlarge", "360").code(), "InvalidParameterValue") << "15 days";
  EXPECT_EQ(offers("p5.48xlarge", "504").status, 200) << "3 weeks";
  ASSERT_TRUE(service->add_fault({{"kind", "capacity"}, {"type", "p5*"}}));
  EXPECT_EQ(offers("p5.48xlarge", "24").count("//item"), 0U);
  EXPECT_EQ(buy("cb-1").code(), "InvalidCapacityBlockOfferingIdMalformed");
}

TEST_F(Blocks, BoughtForLaterAreNotActiveYet) {
  const auto offer = offers("p5.48xlarge", "24", {{"StartDateRange", os::iso_time(clock.now + 7'200'000)}})
                         .at("//capacityBlockOfferingId");
  const auto bought = buy(offer);
  EXPECT_EQ(bought.at("//capacityReservation/state"), "scheduled");
  const auto id = bought.at("//capacityReservationId");
  EXPECT_EQ(launch_in(id, "capacity-block").code(), "InvalidCapacityReservationState.PendingActivation");
  clock.advance(Millis(7'200'000));
  EXPECT_EQ(launch_in(id, "capacity-block").status, 200);
}

}  // namespace
}  // namespace ferry::rehearsal
