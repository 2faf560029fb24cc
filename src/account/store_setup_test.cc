#include "account/store_setup.h"

#include <gtest/gtest.h>

#include "fleet/store_role.h"

namespace ferry::account {
namespace {

Json statements_of(const std::string& document) { return parse_json(document).value().at("Statement"); }

TEST(StoreSetup, TheBoundaryAllowsEachStoreThatWasSetUpAndNothingElse) {
  const auto first = widened("", "s3://bucket/team", "aws");
  ASSERT_TRUE(first) << describe(first.error());
  EXPECT_EQ(statements_of(*first).size(), 4u);
  EXPECT_EQ(statements_of(*first)[0]["Resource"], Json::array({"arn:aws:s3:::bucket/team/runs/*"}));
  EXPECT_EQ(widened(*first, "s3://bucket/team", "aws").value(), "") << "there is nothing to add";
  const auto second = widened(*first, "s3://other", "aws");
  ASSERT_TRUE(second) << describe(second.error());
  EXPECT_EQ(statements_of(*second).size(), 7u);
  EXPECT_EQ(statements_of(*second)[4]["Resource"], Json::array({"arn:aws:s3:::other/runs/*"}));
  EXPECT_EQ(widened(*second, "s3://bucket/team", "aws").value(), "");
}

TEST(StoreSetup, TheBoundaryAllowsTheDataSetsThatWereNamed) {
  const std::vector<fleet::BucketUse> data = {{"sets", "imagenet", false}, {"shared", "", true}};
  const auto first = widened("", "s3://bucket/team", "aws", data);
  ASSERT_TRUE(first) << describe(first.error());
  EXPECT_EQ(statements_of(*first).size(), 8u);
  EXPECT_EQ(widened(*first, "s3://bucket/team", "aws", data).value(), "");
  ledger::Run run;
  run.name = "x";
  run.store = "s3://bucket/team";
  run.task["data"] = Json::array({{{"url", "s3://sets/imagenet"}}, {{"url", "s3://shared/x"}, {"is_written", true}}});
  const auto wanted = fleet::role_policy(run, "aws").value();
  task::Task task;
  task.store = run.store;
  task.data.push_back({.target = "/data", .source = "/home/me/sets"});
  ledger::Run by_store = run;
  by_store.task["data"] = fleet::buckets_to_keep(task);
  const auto sets = fleet::role_policy(by_store, "aws").value();
  EXPECT_TRUE(fleet::lets(parse_json(widened("", "s3://bucket/team", "aws").value()).value(), sets))
      << "a store that is set up lets machines take data sets from it";
  EXPECT_NE(sets.dump().find("arn:aws:s3:::bucket/team/data/by-content/*"), std::string::npos) << sets.dump();
  EXPECT_TRUE(fleet::lets(parse_json(*first).value(), wanted));
  EXPECT_FALSE(fleet::lets(parse_json(widened("", "s3://bucket/team", "aws").value()).value(), wanted));
}

TEST(StoreSetup, WhatSomebodyWroteIntoTheBoundaryStays) {
  const auto wider =
      widened(R"({"Statement": {"Effect": "Deny", "Action": "s3:*", "Resource": "x"}})", "s3://bucket", "aws");
  ASSERT_TRUE(wider) << describe(wider.error());
  EXPECT_EQ(statements_of(*wider).size(), 5u);
  EXPECT_EQ(statements_of(*wider)[0]["Effect"].get<std::string>(), "Deny");
  for (const char* bad : {"[]", "{}", "{\"Statement\": 1}", "not JSON"})
    EXPECT_EQ(widened(bad, "s3://bucket", "aws").error().kind, Kind::corrupt) << bad;
}

}  // namespace
}  // namespace ferry::account
