// The interruption of a spot machine against a FIS that nobody here wrote.

#include <gtest/gtest.h>

#include "aws/fis.h"
#include "cloud/moto_server.h"

namespace ferry::cloud {
namespace {

TEST(FisOverMoto, ATemplateIsMadeAndRemoved) {
  const auto moto = MotoServer::start();
  if (!moto) GTEST_SKIP() << "python3 has no moto[server]";
  const auto http = os::make_http_client();
  aws::Client client({.credentials = aws::fixed_provider({"AKIDEXAMPLE", "secret", "", "given"}),
                      .region = "eu-west-1",
                      .endpoint_url = moto->url(),
                      .service_endpoints = {}},
                     *http, os::system_clock());
  const auto made = aws::create_interruption_template(
      client, {.instance_arn = "arn:aws:ec2:eu-west-1:123456789012:instance/i-0123456789abcdef0",
               .role_arn = "arn:aws:iam::123456789012:role/ferry/ferry-interrupt-r",
               .description = "ferry interrupt r",
               .client_token = "t1",
               .tags = {{"ferry:owner", "me@here"}}});
  if (!made && made.error().kind != Kind::bad_input && made.error().kind != Kind::denied)
    GTEST_SKIP() << "this moto has no FIS: " << describe(made.error());
  ASSERT_TRUE(made) << describe(made.error());
  EXPECT_FALSE(made->empty());
  const auto removed = aws::delete_experiment_template(client, *made);
  EXPECT_TRUE(removed) << describe(removed.error());
  const auto again = aws::delete_experiment_template(client, *made);
  EXPECT_TRUE(again) << "it may be gone: " << describe(again.error());
}

}  // namespace
}  // namespace ferry::cloud
