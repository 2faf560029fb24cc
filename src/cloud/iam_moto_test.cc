// Roles of machines against an IAM that nobody here wrote.

#include <gtest/gtest.h>

#include "aws/iam.h"
#include "cloud/moto_server.h"

namespace ferry::cloud {
namespace {

constexpr const char* trust = R"({"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole",)"
                              R"("Principal":{"Service":"ec2.amazonaws.com"}}]})";
std::string allowing(const std::string& action) {
  return R"({"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":")" + action + R"(","Resource":"*"}]})";
}

TEST(IamOverMoto, ARoleLivesFromItsBoundaryToItsEndAndEachStepMayBeRepeated) {
  const auto moto = MotoServer::start();
  if (!moto) GTEST_SKIP() << "python3 has no moto[server]";
  const auto http = os::make_http_client();
  aws::Client client({.credentials = aws::fixed_provider({"AKIDEXAMPLE", "secret", "", "given"}),
                      .region = "eu-west-1",
                      .endpoint_url = moto->url(),
                      .service_endpoints = {}},
                     *http, os::system_clock());
  const auto must = [](const auto& result) { ASSERT_TRUE(result) << describe(result.error()); };
  const auto kind = [](const auto& result) { return result ? Kind::bug : result.error().kind; };

  // The boundary, changed more often than IAM keeps versions.
  const auto arn = aws::iam_arn("eu-west-1", "123456789012", "policy", "/ferry/", "ferry-store");
  EXPECT_EQ(kind(aws::get_policy(client, arn)), Kind::not_found);
  const auto policy = aws::create_policy(client, "ferry-store", "/ferry/", allowing("s3:GetObject"), "bounds");
  must(policy);
  EXPECT_EQ(policy->arn, arn);
  EXPECT_EQ(kind(aws::create_policy(client, "ferry-store", "/ferry/", allowing("s3:GetObject"), "")), Kind::exists);
  for (int i = 0; i < 7; ++i) must(aws::replace_policy(client, arn, allowing("s3:Put" + std::to_string(i))));
  const auto now = aws::get_policy(client, arn);
  must(now);
  EXPECT_EQ(now->default_version, "v8");
  const auto document = aws::get_policy_version(client, arn, now->default_version);
  must(document);
  EXPECT_EQ(parse_json(*document).value(), parse_json(allowing("s3:Put6")).value());

  const aws::RoleOrder order{.name = "ferry-run",
                             .path = "/ferry/",
                             .trust = trust,
                             .boundary = arn,
                             .description = "of a run",
                             .tags = {{"ferry:owner", "me@here"}}};
  for (int i = 0; i < 2; ++i) {
    const auto role = aws::create_role(client, order);
    must(role);
    EXPECT_EQ(role->path, "/ferry/");
    must(aws::put_role_policy(client, "ferry-run", "ferry-store", allowing("s3:GetObject")));
    must(aws::create_instance_profile(client, "ferry-run", "/ferry/", order.tags));
    must(aws::add_role_to_instance_profile(client, "ferry-run", "ferry-run"));
  }
  const auto role = aws::get_role(client, "ferry-run");
  must(role);
  EXPECT_EQ(role->boundary, arn);
  EXPECT_EQ(role->tags, order.tags);
  auto other = order;
  other.tags = {{"ferry:owner", "you@there"}};
  EXPECT_EQ(kind(aws::create_role(client, other)), Kind::conflict);
  EXPECT_EQ(aws::list_roles(client, "/ferry/").value().size(), 1u);
  EXPECT_EQ(aws::list_roles(client, "/other/").value().size(), 0u);
  const auto profiles = aws::list_instance_profiles(client, "/ferry/");
  must(profiles);
  ASSERT_EQ(profiles->size(), 1u);
  EXPECT_EQ(profiles->front().roles, std::vector<std::string>{"ferry-run"});

  EXPECT_EQ(kind(aws::delete_role(client, "ferry-run")), Kind::conflict) << "it has a policy and is lent";
  for (int i = 0; i < 2; ++i) {
    must(aws::remove_role_from_instance_profile(client, "ferry-run", "ferry-run"));
    must(aws::delete_instance_profile(client, "ferry-run"));
    must(aws::delete_role_policy(client, "ferry-run", "ferry-store"));
    must(aws::delete_role(client, "ferry-run"));
  }
  EXPECT_EQ(kind(aws::get_role(client, "ferry-run")), Kind::not_found);
  EXPECT_EQ(kind(aws::get_instance_profile(client, "ferry-run")), Kind::not_found);
}

}  // namespace
}  // namespace ferry::cloud
