#include "rehearsal/federation.h"

#include "rehearsal/testing.h"

namespace ferry::rehearsal {
namespace {

Answer federate(TestCloud& cloud, Form form) {
  form.insert(form.begin(), {{"Action", "GetFederationToken"}, {"Version", "2011-06-15"}});
  return cloud.send(signed_form(form, cloud.key, cloud.clock.now, "sts"));
}

const std::string allow_all = R"({"Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}})";

TEST(Federation, MakesASessionThatS3KnowsUntilItEnds) {
  TestCloud cloud;
  const auto made = federate(cloud, {{"Name", "run-1"}, {"Policy", allow_all}, {"DurationSeconds", "900"}});
  ASSERT_EQ(made.status, 200) << made.body;
  const auto id = made.at("//AccessKeyId");
  EXPECT_EQ(made.at("//FederatedUser/Arn"), "arn:aws:sts::123456789012:federated-user/run-1");
  cloud.restart();
  const auto world = cloud.service->s3_world();
  const auto key = world.find_key(id);
  ASSERT_TRUE(key);
  EXPECT_EQ(key->secret, made.at("//SecretAccessKey"));
  EXPECT_EQ(key->token, made.at("//SessionToken"));
  EXPECT_EQ(key->expires_ms, cloud.clock.now + 900'000);
  EXPECT_EQ(key->policy["Statement"]["Action"].get<std::string>(), "s3:*");
  EXPECT_FALSE(world.find_key("ASIANOBODY"));
  EXPECT_TRUE(world.find_key(cloud.key.id)->policy.is_null());
  cloud.clock.advance(Millis(900'000));
  ASSERT_EQ(federate(cloud, {{"Name", "run-2"}}).status, 200);
  EXPECT_FALSE(world.find_key(id));  // forgotten
}

TEST(Federation, WhoPassesNoPolicyMayDoNothing) {
  TestCloud cloud;
  const auto made = federate(cloud, {{"Name", "idle"}});
  EXPECT_TRUE(cloud.service->s3_world().find_key(made.at("//AccessKeyId"))->policy.is_object());
}

TEST(Federation, WhatCannotBeIsRefused) {
  TestCloud cloud;
  const std::vector<std::pair<Form, std::string>> table = {
      {{}, "ValidationError"},
      {{{"Name", "a b"}}, "ValidationError"},
      {{{"Name", "run"}, {"DurationSeconds", "60"}}, "ValidationError"},
      {{{"Name", "run"}, {"Policy", "{}"}}, "MalformedPolicyDocument"},
      {{{"Name", "run"},
        {"Policy", R"({"Statement": {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "*"}})"}},
       "MalformedPolicyDocument"},
  };
  for (const auto& [form, code] : table) EXPECT_EQ(federate(cloud, form).code(), code);
}

}  // namespace
}  // namespace ferry::rehearsal
