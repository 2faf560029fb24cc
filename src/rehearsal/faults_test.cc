#include "rehearsal/faults.h"

#include <gtest/gtest.h>

#include "rehearsal/catalog.h"
#include "rehearsal/testing.h"

namespace ferry::rehearsal {
namespace {

struct Trouble : testing::Test, TestCloud {
  void fault(const Json& fault) { ASSERT_TRUE(service->add_fault(fault)); }
  Answer identity() {
    return send(signed_form({{"Action", "GetCallerIdentity"}, {"Version", "2011-06-15"}}, key, clock.now, "sts"));
  }
  Answer trial(Form more = {}) {
    more.insert(more.begin(), {{"ImageId", images().front().id},
                               {"InstanceType", "t3.micro"},
                               {"MinCount", "1"},
                               {"MaxCount", "1"},
                               {"DryRun", "true"}});
    return ask("RunInstances", more);
  }
  std::string parameter_error() { return ask_json("ssm", "GetParameter", {{"Name", "/x"}})["__type"]; }
};

TEST_F(Trouble, APermissionThatIsMissingIsMissingUnderDryRunToo) {
  EXPECT_EQ(trial().code(), "DryRunOperation");
  fault({{"kind", "permission"}, {"action", "ec2:RunInstances"}});
  EXPECT_EQ(trial().code(), "UnauthorizedOperation");
  EXPECT_EQ(trial().status, 403);
  EXPECT_EQ(launch(), "");
  EXPECT_EQ(ask("DescribeInstances").status, 200);
}

TEST_F(Trouble, ADryRunUsesNoFaultUp) {
  fault({{"kind", "permission"}, {"action", "ec2:RunInstances"}, {"count", 1}});
  EXPECT_EQ(trial().code(), "UnauthorizedOperation");
  EXPECT_EQ(trial().code(), "UnauthorizedOperation");
  EXPECT_EQ(launch(), "");
  EXPECT_EQ(trial().code(), "DryRunOperation");
  fault({{"kind", "throttle"}, {"action", "RunInstances"}, {"count", 1}});
  EXPECT_EQ(trial().code(), "DryRunOperation");
  EXPECT_EQ(launch(), "");
  EXPECT_NE(launch(), "");
}

TEST_F(Trouble, ADryRunKnowsNothingOfCapacityAndOfBoots) {
  for (const char* kind : {"capacity", "no-boot", "slow-boot", "small-disk"}) fault({{"kind", kind}, {"count", 1}});
  const auto before = service->faults();
  EXPECT_EQ(trial().code(), "DryRunOperation");
  EXPECT_EQ(service->faults(), before);
  EXPECT_EQ(launch(), "");
  EXPECT_EQ(service->faults().size(), 3U);
  EXPECT_NE(launch(), "");
  EXPECT_TRUE(service->faults().empty());
  fault({{"kind", "quota"}, {"bucket", "standard"}, {"limit", 0}});
  EXPECT_EQ(trial().code(), "VcpuLimitExceeded");
}

TEST_F(Trouble, PermissionsAreNamedAsIamNamesThem) {
  fault({{"kind", "permission"}, {"action", "EC2:describe*"}, {"count", 1}});
  EXPECT_EQ(ask("DescribeInstances").code(), "UnauthorizedOperation");
  EXPECT_EQ(ask("DescribeInstances").status, 200);
  fault({{"kind", "permission"}, {"action", "ssm:*"}});
  EXPECT_EQ(parameter_error(), "AccessDeniedException");
  EXPECT_EQ(ask("DescribeInstances").status, 200);
  fault({{"kind", "permission"}, {"action", "sts:GetCallerIdentity"}});
  EXPECT_EQ(identity().code(), "AccessDenied");
  fault({{"kind", "permission"}, {"action", "pricing:GetProducts"}});
  EXPECT_EQ(ask_json("pricing", "GetProducts", {{"ServiceCode", "AmazonEC2"}})["__type"], "AccessDeniedException");
}

TEST_F(Trouble, TagsOnNewThingsNeedAPermissionOfTheirOwn) {
  fault({{"kind", "permission"}, {"action", "ec2:CreateTags"}});
  const Form tagged = {{"TagSpecification.1.ResourceType", "instance"},
                       {"TagSpecification.1.Tag.1.Key", "a"},
                       {"TagSpecification.1.Tag.1.Value", "b"}};
  EXPECT_EQ(trial(tagged).code(), "UnauthorizedOperation");
  EXPECT_NE(trial(tagged).at("//Message").find("ec2:CreateTags"), std::string::npos);
  EXPECT_EQ(trial().code(), "DryRunOperation");
}

TEST_F(Trouble, AnExpiredSessionIsRefusedByEachServiceInItsOwnWords) {
  fault({{"kind", "expired-token"}, {"count", 3}});
  EXPECT_EQ(ask("DescribeInstances").code(), "RequestExpired");
  EXPECT_EQ(identity().code(), "ExpiredToken");
  EXPECT_EQ(parameter_error(), "ExpiredTokenException");
  EXPECT_EQ(ask("DescribeInstances").status, 200);
}

TEST_F(Trouble, AClockThatIsOffShowsInTheDateAndRefusesWhatIsSignedByTheRightTime) {
  const auto date_of = [&](const HttpReply& reply) {
    for (const auto& [name, value] : reply.headers)
      if (name == "Date") return value;
    return std::string();
  };
  const auto asking = [&] {
    return signed_form({{"Action", "DescribeRegions"}, {"Version", "2016-11-15"}}, key, clock.now);
  };
  EXPECT_EQ(date_of(service->handle(asking())), "Tue, 14 Nov 2023 22:13:20 GMT");
  for (const std::int64_t off : {1'200'000, -1'200'000}) {
    fault({{"kind", "clock"}, {"ms", off}});
    EXPECT_EQ(ask("DescribeRegions").code(), "RequestExpired");
    EXPECT_EQ(identity().code(), "SignatureDoesNotMatch");
    EXPECT_NE(identity()
                  .at("//Message")
                  .find(off > 0 ? "Signature expired: 20231114T221320Z is now earlier "
                                  "than 20231114T221820Z (20231114T223320Z - 15 min.)"
                                : "Signature not yet current: 20231114T221320Z"),
              std::string::npos)
        << identity().body;
    EXPECT_EQ(parameter_error(), "InvalidSignatureException");
  }
  EXPECT_EQ(date_of(service->handle(asking())), "Tue, 14 Nov 2023 21:53:20 GMT");
  EXPECT_EQ(
      send(signed_form({{"Action", "DescribeRegions"}, {"Version", "2016-11-15"}}, key, clock.now - 1'200'000)).status,
      200)
      << "whoever goes by the server's date is heard";
  fault({{"kind", "clock"}, {"ms", 0}});
  EXPECT_EQ(ask("DescribeRegions").status, 200);
}

TEST_F(Trouble, WithoutADefaultVpcNothingIsPlacedByItself) {
  fault({{"kind", "no-default-vpc"}});
  const Form only_default = {{"Filter.1.Name", "isDefault"}, {"Filter.1.Value.1", "true"}};
  EXPECT_EQ(ask("DescribeVpcs", only_default).count("//vpcSet/item"), 0U);
  const auto vpc = ask("DescribeVpcs").at("//vpcId");
  EXPECT_FALSE(vpc.empty());
  EXPECT_EQ(ask("CreateSecurityGroup", {{"GroupName", "g"}, {"GroupDescription", "d"}}).code(), "VPCIdNotSpecified");
  EXPECT_EQ(ask("CreateSecurityGroup", {{"GroupName", "g"}, {"GroupDescription", "d"}, {"VpcId", vpc}}).status, 200);
  EXPECT_EQ(trial().code(), "VPCIdNotSpecified");
  const auto subnet = ask("DescribeSubnets").at("//subnetSet/item/subnetId");
  EXPECT_EQ(trial({{"SubnetId", subnet}}).code(), "DryRunOperation");
  EXPECT_NE(launch({{"SubnetId", subnet}}), "");
}

TEST_F(Trouble, ThrottlesEachServiceInItsOwnWordsAndByEitherName) {
  fault({{"kind", "throttle"}, {"action", "ssm:GetParameter"}, {"count", 1}});
  EXPECT_EQ(parameter_error(), "ThrottlingException");
  EXPECT_EQ(parameter_error(), "ParameterNotFound");
  fault({{"kind", "throttle"}, {"action", "GetServiceQuota"}, {"count", 1}});
  EXPECT_EQ(ask_json("servicequotas", "GetServiceQuota", Json::object())["__type"], "TooManyRequestsException");
}

TEST(Asked, IsNamedAsPermissionsAre) {
  HttpRequest request;
  request.method = "POST";
  request.body =
      "Action=RunInstances&Version=2016-11-15&DryRun=true&TagSpecification.1.ResourceType=instance"
      "&IamInstanceProfile.Name=p";
  const auto asked = read_asked(request);
  EXPECT_EQ(asked.needs, (std::vector<std::string>{"ec2:RunInstances", "ec2:CreateTags", "iam:PassRole"}));
  EXPECT_TRUE(asked.dry_run);
  request.headers = {{"x-amz-target", "AWSPriceListService.GetProducts"}};
  EXPECT_EQ(read_asked(request).name(), "pricing:GetProducts");
  request.headers = {{"x-amz-target", "Comprehend.DetectEntities"}};
  EXPECT_EQ(read_asked(request).name(), "Comprehend.DetectEntities");
  request.headers = {{"x-amz-target", "SageMaker.ListEndpoints"}};
  EXPECT_EQ(read_asked(request).name(), "sagemaker:ListEndpoints");
}

}  // namespace
}  // namespace ferry::rehearsal
