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
  EXPECT_EQ(ask("DescribePlacementGroups", {{"GroupName.1", "none"}}).code(),
            "InvalidPlacementGroup.Unknown");
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
  EXPECT_EQ(
      ask("DescribeInstances", {{"Filter.1.Name", "placement-group-name"}, {"Filter.1.Value.1", "near"}})
          .count("//instancesSet/item"),
      2U);
  for (const auto& node : ask("DescribeInstances").xml.select_nodes("//instanceId"))
    end(node.node().text().get());
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

}  // namespace
}  // namespace ferry::rehearsal
