// Credentials that end in the middle of a run: from a real program, through real HTTP, to a server that has
// had enough of the old ones.

#include <gtest/gtest.h>

#include "aws/loopback_server.h"
#include "aws/person.h"
#include "aws/scripted_http.h"
#include "cloud/cloud.h"

namespace ferry::cloud {
namespace {

/// A credential_process whose every run gives new keys: KEY1, KEY2, …
constexpr const char* counting_program =
    "echo x >>\"$1\"; printf "
    "'{\"Version\":1,\"AccessKeyId\":\"KEY%s\",\"SecretAccessKey\":\"s\",\"SessionToken\":\"t\","
    "\"Expiration\":\"2035-01-01T00:00:00Z\"}' $(wc -l <\"$1\")";

TEST(ExpiryInARun, IsUnnoticedByTheCloudsUser) {
  std::atomic<int> good = 1;  // the only key that is accepted
  aws::LoopbackServer server([&](const os::HttpRequest& request) -> os::HttpResponse {
    const std::string wanted = "Credential=KEY" + std::to_string(good) + "/";
    if (aws::header_of(request, "authorization").find(wanted) == std::string::npos) {
      return {400,
              {},
              "<Response><Errors><Error><Code>ExpiredToken</Code><Message>old</Message></Error></Errors></"
              "Response>"};
    }
    return {200,
            {},
            "<DescribeInstancesResponse><reservationSet><item><instancesSet><item><instanceId>i-1</instanceId>"
            "<instanceState><name>running</name></instanceState></item></instancesSet></item></reservationSet>"
            "</DescribeInstancesResponse>"};
  });
  aws::Person person;
  person.write("program", counting_program);
  const auto folder = person.home.path() / ".aws";
  person.write("config", "[default]\ncredential_process = sh " + (folder / "program").string() + " " +
                             (folder / "count").string() + "\n");
  AwsContext context;
  context.region = "us-east-1";
  context.endpoint_url = server.url();
  context.credentials = aws::make_provider(person.surroundings(), os::system_clock());
  const auto cloud = make_ec2_cloud(context, *person.http, os::system_clock());
  const auto second = make_ec2_cloud(context, *person.http, os::system_clock());
  ASSERT_TRUE(cloud->describe("i-1"));
  good = 2;
  const auto after = cloud->describe("i-1");
  ASSERT_TRUE(after) << describe(after.error());
  EXPECT_TRUE(second->describe("i-1")) << "they share what was found";
  EXPECT_EQ(server.asked().size(), 4U);
  good = 7;
  const auto refused = cloud->describe("i-1");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "ExpiredToken");
}

}  // namespace
}  // namespace ferry::cloud
