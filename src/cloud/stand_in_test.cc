#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "aws/scripted_http.h"
#include "cloud/cloud.h"

namespace ferry::cloud {
namespace {

using testing::HasSubstr;

struct StandIns : testing::Test {
  StandIns() {
    AwsContext context;
    context.region = "us-east-1";
    context.max_attempts = 1;
    context.credentials = fixed_credentials("AKID", "secret");
    cloud = make_ec2_cloud(context, http, clock);
    order.name = "ferry-r";
    order.machine.offer.type.name = "g5.xlarge";
    order.machine.offer.zone = "us-east-1b";
    order.machine.image = {"ami-1", "ubuntu", "ubuntu", "/dev/sda1", 8};
    order.machine.tags = {{"ferry:run", "r"}};
    order.subnet_ids = {"subnet-1"};
    order.instance_id = "i-1";
    order.until_ms = 1'800'000'000'000;
  }
  void reply_template() {
    http.reply(200,
               "<CreateLaunchTemplateResponse><launchTemplate><launchTemplateId>lt-1</launchTemplateId>"
               "<latestVersionNumber>1</latestVersionNumber></launchTemplate></CreateLaunchTemplateResponse>");
  }
  /// A group of this run, or none.
  void reply_group(const std::string& inside, const std::string& run = "r") {
    http.reply(200, "<DescribeAutoScalingGroupsResponse><DescribeAutoScalingGroupsResult><AutoScalingGroups>" +
                        (inside.empty() ? ""
                                        : "<member><AutoScalingGroupName>ferry-r</AutoScalingGroupName>" + inside +
                                              "<Tags><member><Key>ferry:run</Key><Value>" + run +
                                              "</Value></member></Tags></member>") +
                        "</AutoScalingGroups></DescribeAutoScalingGroupsResult></DescribeAutoScalingGroupsResponse>");
  }
  void done(const std::string& action) { http.reply(200, "<" + action + "Response/>"); }
  void refuse(const std::string& code, const std::string& why = "because", int status = 400) {
    http.reply_fault(status, code, why);
  }
  std::vector<std::string> actions() const {
    std::vector<std::string> out;
    for (const auto& request : http.asked) out.push_back(split(request.body, '&')[0].substr(7));
    return out;
  }
  aws::ScriptedHttp http;
  os::FakeClock clock;
  std::unique_ptr<Cloud> cloud;
  StandInOrder order;
};

TEST_F(StandIns, TheEndIsFixedBeforeTheMachineIsPutIn) {
  reply_template();
  done("CreateAutoScalingGroup");
  done("SuspendProcesses");
  done("PutScheduledUpdateGroupAction");
  done("AttachInstances");
  const auto made = cloud->make_stand_in(order);
  ASSERT_TRUE(made) << describe(made.error());
  EXPECT_EQ(actions(), (std::vector<std::string>{"CreateLaunchTemplate", "CreateAutoScalingGroup", "SuspendProcesses",
                                                 "PutScheduledUpdateGroupAction", "AttachInstances"}));
  EXPECT_THAT(http.asked[3].body, HasSubstr("StartTime=2027-01-15T08%3A00%3A00Z"));
}

TEST_F(StandIns, WithoutAMachineNoneIsPutIn) {
  order.instance_id.clear();
  reply_template();
  for (const char* action : {"CreateAutoScalingGroup", "SuspendProcesses", "PutScheduledUpdateGroupAction"})
    done(action);
  EXPECT_TRUE(cloud->make_stand_in(order));
}

TEST_F(StandIns, TheDefaultSubnetsOfTheZonesThatHaveTheTypeAreUsed) {
  order.subnet_ids.clear();
  reply_template();
  http.reply(200,
             "<DescribeInstanceTypeOfferingsResponse><instanceTypeOfferingSet><item><instanceType>g5.xlarge"
             "</instanceType><location>us-east-1a</location></item></instanceTypeOfferingSet>"
             "</DescribeInstanceTypeOfferingsResponse>");
  std::string subnets;
  for (const char zone : {'a', 'b', 'c'})
    subnets += fmt::format(
        "<item><subnetId>subnet-{0}</subnetId><availabilityZone>us-east-1{0}</availabilityZone></item>", zone);
  http.reply(200, "<DescribeSubnetsResponse><subnetSet>" + subnets + "</subnetSet></DescribeSubnetsResponse>");
  for (const char* action :
       {"CreateAutoScalingGroup", "SuspendProcesses", "PutScheduledUpdateGroupAction", "AttachInstances"})
    done(action);
  const auto made = cloud->make_stand_in(order);
  ASSERT_TRUE(made) << describe(made.error());
  EXPECT_THAT(http.asked[3].body, HasSubstr("VPCZoneIdentifier=subnet-a%2Csubnet-b&"));
}

TEST_F(StandIns, OneThatIsThereGetsANewVersionAndKeepsItsMachine) {
  refuse("InvalidLaunchTemplateName.AlreadyExistsException");
  http.reply(200,
             "<DescribeLaunchTemplatesResponse><launchTemplates><item><launchTemplateId>lt-1</launchTemplateId>"
             "<launchTemplateName>ferry-r</launchTemplateName><tagSet><item><key>ferry:run</key><value>r</value>"
             "</item></tagSet></item></launchTemplates></DescribeLaunchTemplatesResponse>");
  http.reply(200,
             "<CreateLaunchTemplateVersionResponse><launchTemplateVersion><launchTemplateId>lt-1"
             "</launchTemplateId><versionNumber>4</versionNumber></launchTemplateVersion>"
             "</CreateLaunchTemplateVersionResponse>");
  refuse("AlreadyExists");
  reply_group("<DesiredCapacity>1</DesiredCapacity>");
  done("UpdateAutoScalingGroup");
  done("SuspendProcesses");
  done("PutScheduledUpdateGroupAction");
  refuse("ValidationError", "Instance i-1 is already part of AutoScalingGroup:ferry-r");
  reply_group(
      "<DesiredCapacity>1</DesiredCapacity><Instances><member><InstanceId>i-1</InstanceId></member></Instances>");
  const auto made = cloud->make_stand_in(order);
  ASSERT_TRUE(made) << describe(made.error());
  EXPECT_THAT(http.asked[5].body, HasSubstr("LaunchTemplate.Version=4"));
}

TEST_F(StandIns, AMachineThatDiedMeanwhileIsAConflict) {
  reply_template();
  for (const char* action : {"CreateAutoScalingGroup", "SuspendProcesses", "PutScheduledUpdateGroupAction"})
    done(action);
  refuse("ValidationError", "Instance i-1 is not in correct state.");
  reply_group("<DesiredCapacity>0</DesiredCapacity>");
  EXPECT_EQ(cloud->make_stand_in(order).error().kind, Kind::conflict);
}

TEST_F(StandIns, OneThatIsGoingIsAConflictAndAnotherRunsIsLeftAlone) {
  reply_template();
  refuse("AlreadyExists");
  reply_group("<Status>Delete in progress</Status>");
  EXPECT_EQ(cloud->make_stand_in(order).error().kind, Kind::conflict);
  reply_template();
  refuse("AlreadyExists");
  reply_group("<DesiredCapacity>0</DesiredCapacity>", "another");
  EXPECT_EQ(cloud->make_stand_in(order).error().kind, Kind::conflict);
  EXPECT_TRUE(http.replies.empty()) << "nothing was changed";
}

TEST_F(StandIns, TooLongAScriptIsSaidBeforeAnythingIsMade) {
  order.machine.user_data = std::string(17'000, 'x');
  EXPECT_EQ(cloud->make_stand_in(order).error().kind, Kind::bad_input);
  EXPECT_TRUE(http.asked.empty());
}

TEST_F(StandIns, OneWhoseEndIsOverIsNotMade) {
  order.until_ms = clock.now_ms();
  EXPECT_EQ(cloud->make_stand_in(order).error().kind, Kind::bad_input);
  EXPECT_TRUE(http.asked.empty());
}

TEST_F(StandIns, DeletingIsTriedAgainWhileTheGroupIsBusy) {
  refuse("ScalingActivityInProgress");
  reply_group("<DesiredCapacity>1</DesiredCapacity>");
  done("DeleteAutoScalingGroup");
  done("DeleteLaunchTemplate");
  const auto deleted = cloud->delete_stand_in("ferry-r");
  EXPECT_TRUE(deleted) << describe(deleted.error());
  for (int i = 0; i < 6; ++i) {
    refuse("ResourceInUse");
    reply_group("<DesiredCapacity>1</DesiredCapacity>");
  }
  EXPECT_EQ(cloud->delete_stand_in("ferry-r").error().kind, Kind::conflict);
}

TEST_F(StandIns, AreNotLookedForWhereThePolicyIsOlder) {
  http.reply(200, "<DescribeKeyPairsResponse/>");
  http.reply(200, "<DescribeSecurityGroupsResponse/>");
  refuse("AccessDenied", "no", 403);
  refuse("UnauthorizedOperation", "no", 403);
  const auto found = cloud->find_made("ferry:owner", "me");
  ASSERT_TRUE(found) << describe(found.error());
  EXPECT_TRUE(found->empty());
}

TEST_F(StandIns, OfAMachineOfOnesOwnThereAreNone) {
  const auto host = make_host_cloud("tower");
  EXPECT_EQ(host->make_stand_in(order).error().kind, Kind::unsupported);
  EXPECT_EQ(host->stand_in("ferry-r").error().kind, Kind::unsupported);
  EXPECT_EQ(host->delete_stand_in("ferry-r").error().kind, Kind::unsupported);
}

}  // namespace
}  // namespace ferry::cloud
