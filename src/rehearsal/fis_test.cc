#include "rehearsal/fis.h"

#include <gtest/gtest.h>

#include "rehearsal/testing.h"

namespace ferry::rehearsal {
namespace {

struct Fis : testing::Test, TestCloud {
  Fis() {
    id = launch({{"InstanceType", "g4dn.xlarge"}, {"InstanceMarketOptions.MarketType", "spot"}});
    settle();
    make_role("fis.amazonaws.com", R"({"Statement":{"Effect":"Allow","Action":"ec2:SendSpotInstanceInterruptions",)"
                                   R"("Resource":"arn:aws:ec2:*:*:instance/)" +
                                       id + R"("}})");
  }
  void make_role(const std::string& service_name, const std::string& policy) {
    ask_iam("CreateRole",
            {{"RoleName", "chaos"},
             {"AssumeRolePolicyDocument", R"({"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":)"
                                          R"({"Service":")" +
                                              service_name + R"("},"Action":"sts:AssumeRole"}]})"}});
    ask_iam("PutRolePolicy", {{"RoleName", "chaos"}, {"PolicyName", "may"}, {"PolicyDocument", policy}});
  }
  Json call(const std::string& method, const std::string& path, const Json& body = Json::object()) {
    return *parse_json(service->handle(signed_rest(method, path, body, key, clock.now, "fis")).body);
  }
  Json order(const std::string& instance_id, const std::string& duration = "PT2M") {
    return {{"clientToken", "t" + instance_id + duration},
            {"description", "interrupt"},
            {"roleArn", "arn:aws:iam::123456789012:role/chaos"},
            {"stopConditions", Json::array({{{"source", "none"}}})},
            {"targets",
             {{"it",
               {{"resourceType", "aws:ec2:spot-instance"},
                {"resourceArns", Json::array({"arn:aws:ec2:us-east-1:123456789012:instance/" + instance_id})},
                {"selectionMode", "ALL"}}}}},
            {"actions",
             {{"go",
               {{"actionId", "aws:ec2:send-spot-instance-interruptions"},
                {"parameters", {{"durationBeforeInterruption", duration}}},
                {"targets", {{"SpotInstances", "it"}}}}}}}};
  }
  /// Its state in the end.
  Json run(const Json& template_order, const std::string& token = "s") {
    const auto made = call("POST", "/experimentTemplates", template_order);
    const auto template_id = text_at(made.value("experimentTemplate", Json::object()), "id");
    const auto begun = call("POST", "/experiments", {{"clientToken", token}, {"experimentTemplateId", template_id}});
    const auto experiment = text_at(begun.value("experiment", Json::object()), "id");
    return call("GET", "/experiments/" + experiment)["experiment"]["state"];
  }
  std::string id;
};

TEST_F(Fis, AnExperimentSendsANoticeAndTheMachineGoesTwoMinutesLater) {
  EXPECT_EQ(text_at(run(order(id)), "status"), "completed");
  EXPECT_EQ(instance(id).taking.notice_ms, clock.now);
  EXPECT_EQ(instance(id).taking.gone_ms, clock.now + 120'000);
  clock.advance(Millis(120'000));
  lifecycle->pass();
  lifecycle->pass();
  EXPECT_EQ(ask("DescribeSpotInstanceRequests").at("//status/code"), "instance-terminated-by-experiment");
}

TEST_F(Fis, MoreThanTwoMinutesBeforeComesOnlyTheRecommendation) {
  EXPECT_EQ(text_at(run(order(id, "PT5M")), "status"), "completed");
  EXPECT_EQ(instance(id).taking.rebalance_ms, clock.now);
  EXPECT_EQ(instance(id).taking.notice_ms, clock.now + 180'000);
}

TEST_F(Fis, ARoleThatMayNotFailsTheExperiment) {
  ask_iam("DeleteRolePolicy", {{"RoleName", "chaos"}, {"PolicyName", "may"}});
  const auto ended = run(order(id));
  EXPECT_EQ(text_at(ended, "status"), "failed");
  EXPECT_NE(text_at(ended, "reason").find("not authorized"), std::string::npos);
  ask_iam("DeleteRole", {{"RoleName", "chaos"}});
  make_role("ec2.amazonaws.com", R"({"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}})");
  EXPECT_NE(text_at(run(order(id, "PT3M"), "other"), "reason").find("assume"), std::string::npos);
  EXPECT_EQ(instance(id).taking.gone_ms, 0);
}

TEST_F(Fis, OnlySpotMachinesThatRunAreFound) {
  const auto plain = launch();
  settle();
  EXPECT_EQ(text_at(run(order(plain)), "reason"), "Target resolution returned empty set.");
}

TEST_F(Fis, WhatIsWrongIsAValidationException) {
  EXPECT_EQ(text_at(call("POST", "/experimentTemplates", order(id, "PT1M")), "__type"), "ValidationException");
  auto wrong = order(id);
  wrong["actions"]["go"]["actionId"] = "aws:ec2:stop-instances";
  EXPECT_EQ(text_at(call("POST", "/experimentTemplates", wrong), "__type"), "ValidationException");
  wrong = order("i-x");
  EXPECT_EQ(text_at(call("POST", "/experimentTemplates", wrong), "__type"), "ValidationException");
  wrong = order(id);
  wrong.erase("roleArn");
  EXPECT_EQ(text_at(call("POST", "/experimentTemplates", wrong), "__type"), "ValidationException");
  EXPECT_EQ(text_at(call("GET", "/experiments/EXPnone"), "__type"), "ResourceNotFoundException");
  EXPECT_EQ(
      text_at(call("POST", "/experiments", {{"clientToken", "x"}, {"experimentTemplateId", "EXTnone"}}), "__type"),
      "ResourceNotFoundException");
}

TEST_F(Fis, ATemplateIsMadeOnceATokenAndGoneWhenDeleted) {
  const auto made = call("POST", "/experimentTemplates", order(id)),
             again = call("POST", "/experimentTemplates", order(id));
  EXPECT_EQ(made, again);
  const auto path = "/experimentTemplates/" + text_at(made["experimentTemplate"], "id");
  restart();
  EXPECT_EQ(call("GET", path), made);
  EXPECT_EQ(call("GET", "/experimentTemplates")["experimentTemplates"].size(), 1u);
  call("DELETE", path);
  EXPECT_EQ(text_at(call("GET", path), "__type"), "ResourceNotFoundException");
}

TEST_F(Fis, SignaturesAndPermissionsCount) {
  const AccessKey other{key.id, "wrong"};
  const auto denied = service->handle(signed_rest("GET", "/experiments", Json(), other, clock.now, "fis"));
  EXPECT_EQ(denied.status, 400);
  ASSERT_TRUE(service->add_fault({{"kind", "permission"}, {"action", "iam:PassRole"}}));
  EXPECT_EQ(text_at(call("POST", "/experimentTemplates", order(id)), "__type"), "AccessDeniedException");
}

}  // namespace
}  // namespace ferry::rehearsal
