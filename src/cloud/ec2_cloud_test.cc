#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "aws/scripted_http.h"
#include "cloud/cloud.h"
#include "cloud/images.h"

namespace ferry::cloud {
namespace {

/// A cloud whose network and clock belong to the test.
struct World {
  os::FakeClock clock;
  aws::ScriptedHttp http;
  std::unique_ptr<Cloud> cloud;

  explicit World(const std::string& endpoint = "") {
    AwsContext context;
    context.region = "us-east-1";
    context.endpoint_url = endpoint;
    context.credentials = fixed_credentials("AKID", "secret");
    cloud = make_ec2_cloud(context, http, clock);
  }
  static std::string instance(const std::string& id, const std::string& more = "") {
    return "<item><instancesSet><item><instanceId>" + id + "</instanceId><instanceState><name>running</name>" +
           "</instanceState><ipAddress>203.0.113.9</ipAddress>" + more + "</item></instancesSet></item>";
  }
  void reply_instances(const std::string& items) {
    http.reply(200,
               "<DescribeInstancesResponse><reservationSet>" + items + "</reservationSet></DescribeInstancesResponse>");
  }
  void reply_rented(const std::string& id) {
    http.reply(200, "<RunInstancesResponse><instancesSet><item><instanceId>" + id +
                        "</instanceId></item></instancesSet></RunInstancesResponse>");
  }
  Result<Instance> launch() {
    LaunchRequest request;
    request.offer.type.name = "g5.xlarge";
    request.image = {"ami-1", "ubuntu", "ubuntu", "/dev/sda1", 8};
    request.client_token = "t-1";
    request.key_name = "key";
    return cloud->launch(request);
  }
  std::size_t asked(const std::string& part) const {
    return static_cast<std::size_t>(std::count_if(http.asked.begin(), http.asked.end(), [&](const auto& request) {
      return request.body.find(part) != std::string::npos;
    }));
  }
};

TEST(Ec2Cloud, AMachineNotVisibleYetIsAskedForAgain) {
  World context;
  context.reply_rented("i-1");
  ASSERT_TRUE(context.launch());
  context.http.reply_fault(400, "InvalidInstanceID.NotFound");
  context.reply_instances(World::instance("i-1"));
  const auto seen = context.cloud->describe("i-1");
  ASSERT_TRUE(seen) << describe(seen.error());
  EXPECT_EQ(seen->address, "203.0.113.9");
  context.http.reply_fault(400, "InvalidInstanceID.NotFound");
  EXPECT_EQ(context.cloud->describe("i-1").error().kind, Kind::not_found) << "once seen, gone means gone";
}

TEST(Ec2Cloud, TerminatingAMachineNotVisibleYetDoesNotLeakIt) {
  World context;
  context.reply_rented("i-1");
  ASSERT_TRUE(context.launch());
  context.http.reply_fault(400, "InvalidInstanceID.NotFound");
  context.http.reply(200, "<TerminateInstancesResponse/>");
  EXPECT_TRUE(context.cloud->terminate("i-1"));
  EXPECT_EQ(context.asked("Action=TerminateInstances"), 2U);
}

TEST(Ec2Cloud, AKeyNotVisibleYetDelaysTheLaunchOnly) {
  World context;
  context.http.reply(200, "<ImportKeyPairResponse/>");
  ASSERT_TRUE(context.cloud->import_key("key", "ssh-ed25519 AAAA", {}));
  context.http.reply_fault(400, "InvalidKeyPair.NotFound");
  context.reply_rented("i-1");
  EXPECT_TRUE(context.launch());
}

TEST(Ec2Cloud, NotVisibleYetEndsAfterHalfAMinute) {
  World context;
  context.reply_rented("i-1");
  ASSERT_TRUE(context.launch());
  for (int i = 0; i < 100; ++i) context.http.reply_fault(400, "InvalidInstanceID.NotFound");
  const auto start = context.clock.now;
  EXPECT_FALSE(context.cloud->describe("i-1"));
  EXPECT_LE(context.clock.now - start, 31'000);
}

TEST(Ec2Cloud, AFailedLaunchSaysWhatAndWhy) {
  World context;
  context.http.reply_fault(500, "InsufficientInstanceCapacity", "We currently do not have sufficient capacity");
  const auto failed = context.launch();
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().kind, Kind::no_capacity);
  EXPECT_EQ(failed.error().what, "no capacity (InsufficientInstanceCapacity)");
  EXPECT_EQ(context.http.asked.size(), 1U) << "the next offer is tried sooner than the same one again";
}

TEST(Ec2Cloud, ALaunchWhoseAnswerIsLostIsRepeatedWithItsToken) {
  World context;
  context.http.reply_error(Kind::lost);
  context.reply_rented("i-1");
  EXPECT_TRUE(context.launch());
  EXPECT_EQ(context.http.asked[0].body, context.http.asked[1].body);
}

TEST(Ec2Cloud, AServerThatIgnoresFiltersCannotMakeUsAdoptAnothersMachine) {
  World context;
  context.reply_instances(World::instance("i-9", "<clientToken>other</clientToken>"));
  EXPECT_FALSE(context.cloud->find_by_token("mine").value());
  context.reply_instances(
      World::instance("i-9", "<tagSet><item><key>ferry:run</key><value>theirs</value></item></tagSet>"));
  EXPECT_TRUE(context.cloud->find_by_tag("ferry:run", "mine").value().empty());
}

TEST(Ec2Cloud, TagsAreMatchedLiterally) {
  World context;
  context.reply_instances("");
  ASSERT_TRUE(context.cloud->find_by_tag("ferry:owner", "a*b?"));
  EXPECT_NE(context.http.asked.at(0).body.find("Value.1=a%5C%2Ab%5C%3F"), std::string::npos);
}

TEST(Ec2Cloud, TheSshPortComesFromItsTagWhenItIsAPort) {
  for (const auto& [tag, port] : std::map<std::string, int>{{"2222", 2222}, {"99999", 22}, {"x", 22}, {"-1", 22}}) {
    World context;
    context.reply_instances(
        World::instance("i-1", "<tagSet><item><key>ferry:ssh-port</key><value>" + tag + "</value></item></tagSet>"));
    EXPECT_EQ(context.cloud->describe("i-1").value().ssh_port, port) << tag;
  }
}

std::string group(const std::string& permissions) {
  return "<DescribeSecurityGroupsResponse><securityGroupInfo><item><groupId>sg-1</groupId><groupName>g</"
         "groupName>"
         "<vpcId>vpc-1</vpcId><ipPermissions>" +
         permissions + "</ipPermissions></item></securityGroupInfo></DescribeSecurityGroupsResponse>";
}
std::string ssh_from(const std::string& cidr) {
  return "<item><ipProtocol>tcp</ipProtocol><fromPort>22</fromPort><toPort>22</"
         "toPort><ipRanges><item><cidrIp>" +
         cidr + "</cidrIp></item></ipRanges></item>";
}
constexpr const char* default_vpc =
    "<DescribeVpcsResponse><vpcSet><item><vpcId>vpc-1</vpcId></item></vpcSet></DescribeVpcsResponse>";

TEST(Ec2Cloud, AGroupFoundOpenToOthersIsClosedToThem) {
  World context;
  context.http.reply(200, group(ssh_from("0.0.0.0/0") + ssh_from("203.0.113.7/32")));
  context.http.reply(200, default_vpc);
  context.http.reply(200, "<RevokeSecurityGroupIngressResponse/>");
  ASSERT_TRUE(context.cloud->ensure_group("g", "203.0.113.7/32", {}));
  EXPECT_EQ(context.asked("Action=AuthorizeSecurityGroupIngress"), 0U);
  const auto& revoked = context.http.asked.back().body;
  EXPECT_NE(revoked.find("Action=RevokeSecurityGroupIngress"), std::string::npos);
  EXPECT_NE(revoked.find("IpPermissions.1.IpRanges.1.CidrIp=0.0.0.0%2F0"), std::string::npos);
  EXPECT_EQ(revoked.find("203.0.113.7"), std::string::npos);
}

TEST(Ec2Cloud, AGroupMadeByAnotherProcessMeanwhileIsUsed) {
  World context;
  context.http.reply(200, "<DescribeSecurityGroupsResponse/>");
  context.http.reply_fault(400, "InvalidGroup.Duplicate");
  context.http.reply(200, group(ssh_from("203.0.113.7/32")));
  context.http.reply(200, default_vpc);
  const auto made = context.cloud->ensure_group("g", "203.0.113.7/32", {});
  ASSERT_TRUE(made) << describe(made.error());
  EXPECT_EQ(made->id, "sg-1");
}

TEST(Ec2Cloud, AnAccountWithoutDefaultVpcIsToldHowToMakeOne) {
  World context;
  context.http.reply(200, "<DescribeSecurityGroupsResponse/>");
  context.http.reply_fault(400, "VPCIdNotSpecified");
  const auto made = context.cloud->ensure_group("g", "203.0.113.7/32", {});
  ASSERT_FALSE(made);
  EXPECT_NE(made.error().advice.find("create-default-vpc --region us-east-1"), std::string::npos);
}

TEST(Ec2Cloud, AGroupIsNeverOpenedToWhatIsNoAddress) {
  World context;
  for (const char* bad :
       {" ", "0.0.0.0", "203.0.113.7/33", "203.0.113.256/32", "1.2.3/32", "a.b.c.d/32", "+1.2.3.4/8"}) {
    EXPECT_EQ(context.cloud->ensure_group("g", bad, {}).error().kind, Kind::bad_input) << bad;
  }
  EXPECT_TRUE(context.http.asked.empty());
}

TEST(Ec2Cloud, AGroupStillInUseIsAConflict) {
  World context;
  context.http.reply_fault(400, "DependencyViolation");
  EXPECT_EQ(context.cloud->delete_group("g").error().kind, Kind::conflict);
}

TEST(Ec2Cloud, TheCallersAddressIsAskedOfAwsUnlessTheCloudIsHere) {
  if (std::getenv("FERRY_CALLER_CIDR")) GTEST_SKIP() << "FERRY_CALLER_CIDR is set";
  World here("http://127.0.0.1:5000");
  here.http.reply(200, "203.0.113.9\n");
  EXPECT_EQ(here.cloud->caller_cidr().value(), "203.0.113.9/32");
  EXPECT_EQ(here.http.asked.at(0).url, "http://127.0.0.1:5000/checkip");
  World tunnel("http://127.0.0.1:5000");
  tunnel.http.reply(404, "<html>no such page</html>");
  tunnel.http.reply(200, "203.0.113.8\n");
  EXPECT_EQ(tunnel.cloud->caller_cidr().value(), "203.0.113.8/32") << "it is no rehearsal";
  EXPECT_EQ(tunnel.http.asked.at(1).url, "https://checkip.amazonaws.com/");
  World away;
  away.http.reply(200, "203.0.113.7\n");
  EXPECT_EQ(away.cloud->caller_cidr().value(), "203.0.113.7/32");
  EXPECT_EQ(away.http.asked.at(0).url, "https://checkip.amazonaws.com/");
  away.http.reply(200, "<html>log in first</html>");
  EXPECT_EQ(away.cloud->caller_cidr().error().kind, Kind::bad_input);
}

TEST(Images, TheHighestVersionOfAFrameworkIsTheNewestWhateverTheDayItWasBuilt) {
  const auto item = [](std::string_view id, std::string_view version, std::string_view date) {
    return fmt::format(
        "<item><imageId>{}</imageId><name>Deep Learning OSS Nvidia Driver AMI GPU PyTorch {} (Ubuntu 24.04) "
        "20261009</name><creationDate>{}</creationDate></item>",
        id, version, date);
  };
  const auto all = "<DescribeImagesResponse><imagesSet>" + item("ami-00000001", "2.9", "2026-10-09T09:00:00Z") +
                   item("ami-00000002", "2.11", "2026-10-09T07:00:00Z") +
                   item("ami-00000003", "2.11", "2026-10-02T08:00:00Z") +
                   item("ami-00000004", "2.10", "2026-10-09T08:00:00Z") + "</imagesSet></DescribeImagesResponse>";
  World context;
  ImageQuery query{.type = "g5.xlarge", .arch = "x86_64", .gpu = true, .framework = "pytorch"};
  context.http.reply(200, all);
  EXPECT_EQ(context.cloud->newest_image(query).value().id, "ami-00000002");
  query.image = {.flavour = "pytorch", .version = "2.10"};
  context.http.reply(200, all);
  EXPECT_EQ(context.cloud->newest_image(query).value().id, "ami-00000004");
  query.image.version = "2.1";
  for (int i = 0; i < 4; ++i) context.http.reply(200, all);
  const auto error = context.cloud->newest_image(query).error();
  EXPECT_EQ(error.kind, Kind::not_found);
  EXPECT_THAT(error.why, testing::HasSubstr("with version 2.1"));
}

TEST(Images, OneThatIsNotSupportedAnyMoreIsTakenOnlyWhereThereIsNoOtherAndSaysUntilWhen) {
  const std::string none = "<DescribeImagesResponse><imagesSet/></DescribeImagesResponse>";
  const std::string old =
      "<DescribeImagesResponse><imagesSet><item><imageId>ami-00000009</imageId><name>Deep Learning OSS Nvidia Driver "
      "AMI GPU PyTorch 2.4 (Ubuntu 22.04) 20240830</name><creationDate>2024-08-30T09:00:00.000Z</creationDate>"
      "<deprecationTime>2026-08-30T09:00:00.000Z</deprecationTime></item></imagesSet></DescribeImagesResponse>";
  World context;
  for (const auto& answer : {none, none, none, old}) context.http.reply(200, answer);
  ImageQuery query{.type = "g5.xlarge", .arch = "x86_64", .gpu = true};
  query.image = {.flavour = "pytorch", .version = "2.4"};
  const auto image = context.cloud->newest_image(query);
  ASSERT_TRUE(image) << describe(image.error());
  EXPECT_EQ(image->id, "ami-00000009");
  EXPECT_EQ(image->supported_until, "2026-08-30");
  ASSERT_EQ(context.http.asked.size(), 4U);
  for (std::size_t i = 0; i < 4; ++i)
    EXPECT_EQ(context.http.asked[i].body.find("IncludeDeprecated=true") != std::string::npos, i >= 2) << i;
}

TEST(Images, TheNewerUbuntuGoesFirstUnlessAnotherSystemIsAskedFor) {
  const auto patterns = [](const ImageQuery& query) {
    std::vector<std::string> out;
    for (const auto& source : image_sources(query)) out.push_back(source.pattern);
    return out;
  };
  using testing::ElementsAre;
  EXPECT_THAT(patterns({.type = "g5.xlarge", .arch = "x86_64", .gpu = true}),
              ElementsAre("Deep Learning Base OSS Nvidia Driver GPU AMI (Ubuntu 24.04)*",
                          "Deep Learning Base OSS Nvidia Driver GPU AMI (Ubuntu 22.04)*"));
  EXPECT_THAT(patterns({.type = "g5g.xlarge", .arch = "arm64", .gpu = true, .image = {.flavour = "pytorch"}}),
              ElementsAre("Deep Learning ARM64 AMI OSS Nvidia Driver GPU PyTorch 2.* (Ubuntu 24.04)*",
                          "Deep Learning ARM64 AMI OSS Nvidia Driver GPU PyTorch 2.* (Ubuntu 22.04)*"));
  EXPECT_THAT(patterns({.type = "g5.xlarge",
                        .arch = "x86_64",
                        .gpu = true,
                        .image = {.system = "amazon-linux-2023"},
                        .framework = "pytorch"}),
              ElementsAre("Deep Learning OSS Nvidia Driver AMI GPU PyTorch 2.* (Amazon Linux 2023)*",
                          "Deep Learning Base OSS Nvidia Driver GPU AMI (Amazon Linux 2023)*"));
  EXPECT_EQ(patterns({.type = "p3.2xlarge", .arch = "x86_64", .gpu = true}).at(0),
            "Deep Learning Base Proprietary Nvidia Driver GPU AMI (Ubuntu 22.04)*");
  EXPECT_EQ(patterns({.type = "p6-b300.48xlarge", .arch = "x86_64", .gpu = true}).at(0),
            "Deep Learning Base AMI with Single CUDA (Ubuntu 24.04)*");
  EXPECT_EQ(image_sources({.type = "t3.medium", .arch = "x86_64"}).at(0).parameter,
            "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id");
  EXPECT_EQ(image_sources({.type = "trn2.48xlarge", .arch = "x86_64", .gpu = true}).at(0).parameter,
            "/aws/service/neuron/dlami/multi-framework/ubuntu-24.04/latest/image_id");
}

TEST(Images, ThereIsNoneWithTensorFlowSoTheBaseImageStandsForIt) {
  const ImageQuery base{.type = "g5.xlarge", .arch = "x86_64", .gpu = true};
  auto query = base;
  query.framework = "tensorflow";
  EXPECT_EQ(image_sources(query).at(0).pattern, image_sources(base).at(0).pattern);
  query.image.flavour = "tensorflow";
  EXPECT_EQ(image_sources(query).at(0).pattern, image_sources(base).at(0).pattern);
}

TEST(Images, LoginUsersFollowTheName) {
  EXPECT_EQ(login_user_of("Deep Learning Base OSS Nvidia Driver GPU AMI (Ubuntu 22.04) 20260101"), "ubuntu");
  EXPECT_EQ(login_user_of("ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-amd64-server-20260101"), "ubuntu");
  EXPECT_EQ(login_user_of("Deep Learning OSS Nvidia Driver AMI GPU PyTorch 2.9 (Amazon Linux 2023)"), "ec2-user");
  EXPECT_EQ(login_user_of("al2023-ami-2023.0-kernel-6.1-x86_64"), "ec2-user");
}

}  // namespace
}  // namespace ferry::cloud
