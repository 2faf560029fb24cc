// Roles against an STS that nobody here wrote: the keys it gives are good for who they say.

#include <gtest/gtest.h>

#include "aws/person.h"
#include "aws/sts.h"
#include "cloud/moto_server.h"

namespace ferry::cloud {
namespace {

/// As whom moto sees these keys.
Result<std::string> arn_of(const aws::Credentials& keys, const std::string& url) {
  const auto http = os::make_http_client();
  aws::Client client(
      {.credentials = aws::fixed_provider(keys), .region = "us-east-1", .endpoint_url = url, .service_endpoints = {}},
      *http, os::system_clock());
  TRY_SET(caller, "", aws::get_caller_identity(client));
  return caller.arn;
}

TEST(StsOverMoto, RolesAndWebIdentitiesGetKeysOfTheirOwn) {
  const auto moto = MotoServer::start();
  if (!moto) GTEST_SKIP() << "python3 has no moto[server]";
  aws::Person person;
  person.env["AWS_ENDPOINT_URL"] = moto->url();
  person.write("credentials", "[base]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = s\n");
  person.write("config",
               "[default]\nrole_arn = arn:aws:iam::123456789012:role/outer\nsource_profile = inner\n"
               "role_session_name = me\n"
               "[profile inner]\nrole_arn = arn:aws:iam::123456789012:role/inner\nsource_profile = base\n");
  const auto keys = person.credentials();
  ASSERT_TRUE(keys) << describe(keys.error());
  EXPECT_GT(keys->expires_ms, os::system_clock().now_ms() + 3'000'000);
  EXPECT_EQ(arn_of(*keys, moto->url()).value(), "arn:aws:sts::123456789012:assumed-role/outer/me");
  person.write("token", "a-token-that-is-long-enough");
  person.env["AWS_WEB_IDENTITY_TOKEN_FILE"] = (person.home.path() / ".aws/token").string();
  person.env["AWS_ROLE_ARN"] = "arn:aws:iam::123456789012:role/pod";
  person.env["AWS_ROLE_SESSION_NAME"] = "pod-1";
  person.write("config", "");
  const auto web = person.credentials();
  ASSERT_TRUE(web) << describe(web.error());
  EXPECT_EQ(arn_of(*web, moto->url()).value(), "arn:aws:sts::123456789012:assumed-role/pod/pod-1");
}

}  // namespace
}  // namespace ferry::cloud
