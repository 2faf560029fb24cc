#include "rehearsal/service.h"

#include <gtest/gtest.h>

#include "base/text.h"
#include "rehearsal/catalog.h"
#include "rehearsal/filters.h"
#include "rehearsal/ssh_key.h"
#include "rehearsal/testing.h"

namespace ferry::rehearsal {
namespace {

struct Ec2 : testing::Test, TestCloud {
  Answer signed_by(const AccessKey& who, std::int64_t at, const std::string& action = "DescribeRegions",
                   const std::string& service_name = "ec2", const std::string& version = "2016-11-15") {
    return send(signed_form({{"Action", action}, {"Version", version}}, who, at, service_name));
  }
};

constexpr const char* ed25519_line =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me@there";

TEST_F(Ec2, AnswersBadSignaturesAsTheRealServicesDo) {
  EXPECT_EQ(signed_by({"AKIANOBODY0000000000", "x"}, clock.now).code(), "AuthFailure");
  EXPECT_EQ(signed_by({key.id, "x"}, clock.now).status, 401);
  EXPECT_EQ(signed_by(key, clock.now - 6 * 60'000).code(), "RequestExpired");
  EXPECT_EQ(signed_by({key.id, "x"}, clock.now, "GetCallerIdentity", "sts", "2011-06-15").code(),
            "SignatureDoesNotMatch");
  EXPECT_EQ(signed_by({"AKIANOBODY0000000000", "x"}, clock.now, "GetCallerIdentity", "sts", "2011-06-15").code(),
            "InvalidClientTokenId");
  EXPECT_EQ(signed_by(key, clock.now, "DescribeRegions", "s3").code(), "AuthFailure");
  HttpRequest bare;
  bare.method = "POST";
  bare.path = "/";
  bare.body = "Action=DescribeRegions&Version=2016-11-15";
  EXPECT_EQ(send(bare).code(), "MissingAuthenticationToken");
  bare.headers.emplace_back("authorization", "AWS4-HMAC-SHA256 Credential=nonsense");
  EXPECT_EQ(send(bare).code(), "IncompleteSignature");
}

TEST_F(Ec2, TellsWhoAsks) {
  const auto answer = signed_by(key, clock.now, "GetCallerIdentity", "sts", "2011-06-15");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.at("//Account"), account_id);
}

TEST_F(Ec2, TakesPresignedQueries) {
  HttpRequest request;
  request.method = "GET";
  request.path = "/";
  request.headers = {{"host", "127.0.0.1"}};
  SignatureClaim claim;
  claim.time = "20231114T221320Z";
  claim.day = "20231114";
  claim.region = "us-east-1";
  claim.service = "ec2";
  claim.key_id = key.id;
  claim.signed_headers = {"host"};
  request.query = fmt::format(
      "Action=DescribeRegions&Version=2016-11-15&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={}%"
      "2F20231114%2Fus-east-1%2Fec2%2Faws4_request"
      "&X-Amz-Date={}&X-Amz-Expires=60&X-Amz-SignedHeaders=host",
      key.id, claim.time);
  const auto signature = expected_signature(key, claim, string_to_sign(claim, canonical_request(request, claim)));
  request.query += "&X-Amz-Signature=" + signature;
  const auto answer = send(request);
  EXPECT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(answer.at("//regionName"), "us-east-1");
  clock.advance(Millis(61'000));
  EXPECT_EQ(send(request).code(), "RequestExpired");
}

TEST_F(Ec2, RefusesWhatItDoesNotOffer) {
  const auto answer = ask("DescribeMoons");
  EXPECT_EQ(answer.code(), "InvalidAction");
  EXPECT_EQ(answer.at("//Message"), "The action DescribeMoons is not valid for this web service.");
  EXPECT_EQ(signed_by(key, clock.now, "DescribeRegions", "ec2", "2010-01-01").code(), "NoSuchVersion");
  EXPECT_EQ(ask("DescribeInstances", {{"Filter.1.Name", "color"}, {"Filter.1.Value.1", "red"}}).code(),
            "InvalidParameterValue");
}

TEST_F(Ec2, TakesKeysOnceAndOnlyRealOnes) {
  EXPECT_EQ(ask("ImportKeyPair", {{"KeyName", "k"}, {"PublicKeyMaterial", base64("hello")}}).code(),
            "InvalidKey.Format");
  const auto made = ask("ImportKeyPair", {{"KeyName", "k"}, {"PublicKeyMaterial", base64(ed25519_line)}});
  EXPECT_EQ(made.status, 200) << made.body;
  EXPECT_EQ(ask("ImportKeyPair", {{"KeyName", "k"}, {"PublicKeyMaterial", base64(ed25519_line)}}).code(),
            "InvalidKeyPair.Duplicate");
  EXPECT_EQ(ask("DescribeKeyPairs", {{"KeyName.1", "k"}}).at("//keyType"), "ed25519");
  EXPECT_EQ(ask("DescribeKeyPairs", {{"KeyName.1", "other"}}).code(), "InvalidKeyPair.NotFound");
  const auto id = launch({{"KeyName", "k"}});
  lifecycle->pass();
  ASSERT_EQ(machines.specs[id].authorized_keys.size(), 1U);
  EXPECT_TRUE(machines.specs[id].authorized_keys[0].ends_with(" k"));
  EXPECT_EQ(ask("DeleteKeyPair", {{"KeyName", "k"}}).at("//return"), "true");
  EXPECT_EQ(ask("DeleteKeyPair", {{"KeyName", "k"}}).at("//return"), "true");
}

TEST_F(Ec2, MakesKeysThatItsOwnParserTakes) {
  const auto made = ask("CreateKeyPair", {{"KeyName", "new"}, {"KeyType", "ed25519"}});
  EXPECT_TRUE(made.at("//keyMaterial").starts_with("-----BEGIN OPENSSH PRIVATE KEY-----"));
  const auto rsa = make_private_key("rsa", "c");
  ASSERT_TRUE(rsa);
  EXPECT_EQ(imported_fingerprint(rsa->public_half).size(), 47U);
  EXPECT_TRUE(rsa->private_pem.starts_with("-----BEGIN RSA PRIVATE KEY-----"));
}

struct Groups : Ec2 {
  std::string made = ask("CreateSecurityGroup", {{"GroupName", "web"}, {"GroupDescription", "d"}}).at("//groupId");
  Form ssh_rule(const std::string& cidr) {
    return {{"GroupId", made},
            {"IpPermissions.1.IpProtocol", "tcp"},
            {"IpPermissions.1.FromPort", "22"},
            {"IpPermissions.1.ToPort", "22"},
            {"IpPermissions.1.IpRanges.1.CidrIp", cidr}};
  }
};

TEST_F(Groups, HoldRulesThatCanBeAddedAndTakenBackOnce) {
  EXPECT_EQ(ask("AuthorizeSecurityGroupIngress", ssh_rule("10.0.0.1/32")).at("//return"), "true");
  const auto twice = ask("AuthorizeSecurityGroupIngress", ssh_rule("10.0.0.1/32"));
  EXPECT_EQ(twice.code(), "InvalidPermission.Duplicate");
  EXPECT_EQ(twice.at("//Message"),
            "the specified rule \"peer: 10.0.0.1/32, TCP, from port: 22, to port: 22, ALLOW\" already exists");
  EXPECT_EQ(ask("DescribeSecurityGroups", {{"GroupId.1", made}}).at("//ipPermissions/item/ipRanges/item/cidrIp"),
            "10.0.0.1/32");
  EXPECT_EQ(ask("DescribeSecurityGroupRules", {{"Filter.1.Name", "group-id"}, {"Filter.1.Value.1", made}})
                .count("//securityGroupRuleSet/item"),
            2U);
  EXPECT_EQ(ask("RevokeSecurityGroupIngress", ssh_rule("10.0.0.1/32")).status, 200);
  EXPECT_EQ(ask("RevokeSecurityGroupIngress", ssh_rule("10.0.0.1/32")).code(), "InvalidPermission.NotFound");
  EXPECT_EQ(ask("AuthorizeSecurityGroupIngress", ssh_rule("10.0.0.1/8")).code(), "InvalidParameterValue");
  EXPECT_EQ(
      ask("RevokeSecurityGroupEgress",
          {{"GroupId", made}, {"IpPermissions.1.IpProtocol", "-1"}, {"IpPermissions.1.IpRanges.1.CidrIp", "0.0.0.0/0"}})
          .status,
      200);
}

TEST_F(Groups, CannotGoWhileUsed) {
  EXPECT_EQ(ask("CreateSecurityGroup", {{"GroupName", "web"}, {"GroupDescription", "d"}}).code(),
            "InvalidGroup.Duplicate");
  const auto id = launch({{"SecurityGroupId.1", made}});
  EXPECT_EQ(ask("DeleteSecurityGroup", {{"GroupId", made}}).code(), "DependencyViolation");
  ask("TerminateInstances", {{"InstanceId.1", id}});
  settle();
  EXPECT_EQ(ask("DeleteSecurityGroup", {{"GroupId", made}}).at("//return"), "true");
  EXPECT_EQ(ask("DeleteSecurityGroup", {{"GroupId", made}}).code(), "InvalidGroup.NotFound");
  EXPECT_EQ(ask("DeleteSecurityGroup", {{"GroupName", "default"}}).code(), "CannotDelete");
}

TEST_F(Ec2, TagsAreSetFoundAndRemoved) {
  const auto id = launch();
  EXPECT_EQ(
      ask("CreateTags",
          {{"ResourceId.1", id}, {"Tag.1.Key", "a"}, {"Tag.1.Value", "1"}, {"Tag.2.Key", "b"}, {"Tag.2.Value", "2"}})
          .status,
      200);
  EXPECT_EQ(ask("CreateTags", {{"ResourceId.1", id}, {"Tag.1.Key", "a"}, {"Tag.1.Value", "3"}}).status, 200);
  EXPECT_EQ(
      ask("DescribeTags", {{"Filter.1.Name", "resource-type"}, {"Filter.1.Value.1", "inst*"}}).count("//tagSet/item"),
      2U);
  EXPECT_EQ(ask("DescribeTags", {{"Filter.1.Name", "key"}, {"Filter.1.Value.1", "a"}}).at("//value"), "3");
  EXPECT_EQ(ask("DeleteTags", {{"ResourceId.1", id}, {"Tag.1.Key", "a"}, {"Tag.1.Value", "other"}}).status, 200);
  EXPECT_EQ(ask("DescribeTags").count("//tagSet/item"), 2U) << "another value stays";
  EXPECT_EQ(ask("DeleteTags", {{"ResourceId.1", id}}).status, 200);
  EXPECT_EQ(ask("DescribeTags").count("//tagSet/item"), 0U);
  EXPECT_EQ(ask("CreateTags", {{"ResourceId.1", "i-00000000"}, {"Tag.1.Key", "a"}}).code(), "InvalidID");
}

TEST_F(Ec2, OffersTypesImagesZonesAndPrices) {
  const auto types = ask("DescribeInstanceTypes", {{"InstanceType.1", "g5.xlarge"}, {"InstanceType.2", "t3.micro"}});
  EXPECT_EQ(types.count("//instanceTypeSet/item"), 2U);
  EXPECT_EQ(types.at("//gpuInfo/gpus/item/name"), "A10G");
  EXPECT_EQ(ask("DescribeInstanceTypes", {{"InstanceType.1", "x1"}}).code(), "InvalidInstanceType");
  EXPECT_EQ(ask("DescribeAvailabilityZones").count("//availabilityZoneInfo/item"), 6U);
  EXPECT_EQ(ask("DescribeImages", {{"Owner.1", "amazon"},
                                   {"Filter.1.Name", "name"},
                                   {"Filter.1.Value.1", "Deep Learning Base OSS*Ubuntu 22.04*"}})
                .count("//imagesSet/item"),
            2U);
  const std::vector<std::pair<std::string, std::string>> old = {
      {"Owner.1", "amazon"}, {"Filter.1.Name", "name"}, {"Filter.1.Value.1", "*PyTorch 2.4*"}};
  auto with_deprecated = old;
  with_deprecated.emplace_back("IncludeDeprecated", "true");
  EXPECT_EQ(ask("DescribeImages", with_deprecated).count("//imagesSet/item"), 2U);
  EXPECT_EQ(ask("DescribeImages", with_deprecated).at("//imagesSet/item/deprecationTime").substr(0, 6), "2026-0");
  EXPECT_FALSE(ask("DescribeSpotPriceHistory", {{"InstanceType.1", "g5.xlarge"}}).at("//spotPrice").empty());
  EXPECT_EQ(
      ask("DescribeInstanceTypeOfferings",
          {{"LocationType", "availability-zone"}, {"Filter.1.Name", "instance-type"}, {"Filter.1.Value.1", "t3.micro"}})
          .count("//item"),
      6U);
}

TEST_F(Ec2, MisbehavesWhenToldTo) {
  ASSERT_TRUE(service->add_fault({{"kind", "throttle"}, {"action", "DescribeRegions"}, {"count", 2}}));
  EXPECT_EQ(ask("DescribeRegions").status, 503);
  EXPECT_EQ(ask("DescribeRegions").code(), "RequestLimitExceeded");
  EXPECT_EQ(ask("DescribeRegions").status, 200);
  ASSERT_TRUE(service->add_fault(
      {{"kind", "error"}, {"action", "Describe*"}, {"code", "InternalError"}, {"status", 500}, {"count", 1}}));
  EXPECT_EQ(ask("DescribeRegions").status, 500);
  ASSERT_TRUE(service->add_fault({{"kind", "capacity"}, {"type", "t3.micro"}, {"zone", "*"}, {"count", 1}}));
  EXPECT_EQ(launch(), "");
  EXPECT_NE(launch(), "");
  ASSERT_TRUE(service->add_fault({{"kind", "capacity"}, {"zone", "us-east-1a"}}));
  const auto full = ask("RunInstances", {{"ImageId", images().front().id},
                                         {"InstanceType", "t3.micro"},
                                         {"MinCount", "1"},
                                         {"MaxCount", "1"},
                                         {"Placement.AvailabilityZone", "us-east-1a"}});
  EXPECT_EQ(full.code(), "InsufficientInstanceCapacity");
  EXPECT_EQ(full.status, 500);
  EXPECT_EQ(instance(launch()).zone, "us-east-1b");
  ASSERT_TRUE(service->add_fault({{"kind", "drop"}, {"action", "RunInstances"}, {"count", 1}}));
  const auto before = ask("DescribeInstances").count("//instancesSet/item");
  launch();
  EXPECT_EQ(ask("DescribeInstances").count("//instancesSet/item"), before + 1)
      << "a dropped answer is to work that was done";
  ASSERT_TRUE(service->add_fault({{"kind", "clear"}}));
  EXPECT_TRUE(service->faults().empty());
  EXPECT_FALSE(service->add_fault({{"kind", "earthquake"}}));
  EXPECT_FALSE(service->add_fault({{"kind", "throttle"}, {"actoin", "x"}}));
}

TEST_F(Ec2, HasQuotasWhenToldTo) {
  ASSERT_TRUE(service->add_fault({{"kind", "quota"}, {"bucket", "standard"}, {"limit", 3}}));
  EXPECT_NE(launch(), "");
  const auto over =
      ask("RunInstances",
          {{"ImageId", images().front().id}, {"InstanceType", "t3.micro"}, {"MinCount", "1"}, {"MaxCount", "1"}});
  EXPECT_EQ(over.code(), "VcpuLimitExceeded");
}

TEST_F(Ec2, BootsSlowlyOrNeverWhenToldTo) {
  ASSERT_TRUE(service->add_fault({{"kind", "slow-boot"}, {"ms", 4000}, {"count", 1}}));
  const auto slow = launch();
  ASSERT_TRUE(service->add_fault({{"kind", "no-boot"}, {"count", 1}}));
  const auto never = launch();
  settle();
  EXPECT_EQ(instance(slow).phase, Phase::pending);
  clock.advance(Millis(4000));
  settle();
  EXPECT_EQ(instance(slow).phase, Phase::running);
  EXPECT_EQ(instance(never).phase, Phase::pending);
  ask("TerminateInstances", {{"InstanceId.1", never}});
  settle();
  EXPECT_EQ(instance(never).phase, Phase::terminated);
}

TEST(State, ComesBackFromJsonAsItWas) {
  TestCloud cloud;
  cloud.launch({{"ClientToken", "t"}, {"UserData", base64("\xff\x00 x")}});
  const auto json = to_json(cloud.store.saved);
  const auto back = state_from(*parse_json(dump_json(json)));
  ASSERT_TRUE(back);
  EXPECT_EQ(to_json(*back), json);
  EXPECT_FALSE(state_from(Json{{"instances", 5}}));
}

TEST(Filters, MatchWildcardsAsEc2Does) {
  EXPECT_TRUE(wildcard_match("a*c?", "abbbcd"));
  EXPECT_TRUE(wildcard_match("*", ""));
  EXPECT_TRUE(wildcard_match("a\\*b", "a*b"));
  EXPECT_FALSE(wildcard_match("a\\*b", "axb"));
  EXPECT_FALSE(wildcard_match("a?", "a"));
  EXPECT_FALSE(wildcard_match("", "a"));
}

TEST(Params, ReadListsInTheOrderOfTheirNumbers) {
  const auto params =
      Params::parse("L.10=ten&L.2=two+%26&L.1=one&Filter.2.Name=b&Filter.1.Name=a&Filter.1.Value.1=x&broken&=&L.x=no");
  EXPECT_EQ(params.list("L"), (std::vector<std::string>{"one", "two &", "ten"}));
  EXPECT_EQ(params.items("Filter"), (std::vector<std::string>{"Filter.1.", "Filter.2."}));
  EXPECT_FALSE(Params::parse("Flag=maybe").flag("Flag", false));
}

}  // namespace
}  // namespace ferry::rehearsal
