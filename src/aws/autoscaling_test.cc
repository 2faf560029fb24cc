#include "aws/autoscaling.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "aws/scripted_http.h"

namespace ferry::aws {
namespace {

using testing::HasSubstr;
using testing::Not;

struct AutoScaling : testing::Test {
  Client client() {
    return Client(
        {.credentials = nullptr, .region = "eu-west-1", .endpoint_url = "", .service_endpoints = {}, .max_attempts = 2},
        http, clock, [] { return 0.5; });
  }
  void reply_error(int status, const std::string& code, const std::string& message) {
    http.reply(status,
               "<ErrorResponse xmlns=\"http://autoscaling.amazonaws.com/doc/2011-01-01/\"><Error><Type>Sender"
               "</Type><Code>" +
                   code + "</Code><Message>" + message +
                   "</Message></Error><RequestId>r-1</RequestId></ErrorResponse>");
  }
  ScalingGroupOrder order() const {
    return {.name = "ferry-r", .machine = {"lt-1", 3}, .subnet_ids = {"subnet-1", "subnet-2"}, .tags = {{"a", "b"}}};
  }
  ScriptedHttp http;
  os::FakeClock clock;
};

RunInstances machine() {
  return {.image_id = "ami-1",
          .instance_type = "g5.xlarge",
          .key_name = "k",
          .security_group_id = "sg-1",
          .zone = "eu-west-1a",
          .client_token = "t",
          .user_data = "#!/bin/sh",
          .root_device = "/dev/sda1",
          .root_size_gib = 80,
          .spot = true,
          .tags = {{"ferry:run", "r"}},
          .subnet_id = "subnet-1",
          .instance_profile = "p",
          .spot_max_price = Usd{1'250'000}};
}

TEST_F(AutoScaling, AGroupIsMadeWithRoomForOneMachineAndNoneInIt) {
  http.reply(200, "<CreateAutoScalingGroupResponse/>");
  auto connection = client();
  ASSERT_TRUE(create_scaling_group(connection, order()));
  EXPECT_EQ(http.asked[0].url, "https://autoscaling.eu-west-1.amazonaws.com/");
  for (const char* part : {"Version=2011-01-01", "MinSize=0", "MaxSize=1", "DesiredCapacity=0", "HealthCheckType=EC2",
                           "LaunchTemplate.LaunchTemplateId=lt-1", "LaunchTemplate.Version=3",
                           "VPCZoneIdentifier=subnet-1%2Csubnet-2", "Tags.member.1.PropagateAtLaunch=true"})
    EXPECT_THAT(http.asked[0].body, HasSubstr(part));
}

TEST_F(AutoScaling, AnUpdateLeavesTheMachineThatIsThere) {
  http.reply(200, "<UpdateAutoScalingGroupResponse/>");
  auto connection = client();
  ASSERT_TRUE(update_scaling_group(connection, order()));
  EXPECT_THAT(http.asked[0].body, Not(HasSubstr("DesiredCapacity")));
}

TEST_F(AutoScaling, ATemplateSaysWhatRunInstancesSaysButWhere) {
  http.reply(200,
             "<RunInstancesResponse><instancesSet><item><instanceId>i-1</instanceId></item></instancesSet>"
             "</RunInstancesResponse>");
  http.reply(200,
             "<CreateLaunchTemplateResponse><launchTemplate><launchTemplateId>lt-1</launchTemplateId>"
             "<latestVersionNumber>1</latestVersionNumber></launchTemplate></CreateLaunchTemplateResponse>");
  auto connection = client();
  ASSERT_TRUE(Ec2(connection).run_instances(machine()));
  const auto made = create_launch_template(connection, "ferry-r", machine(), {{"ferry:run", "r"}});
  ASSERT_TRUE(made);
  EXPECT_EQ(made->id, "lt-1");
  EXPECT_EQ(made->version, 1);
  std::vector<std::string> launched, kept;
  for (const auto& part : split(http.asked[0].body, '&')) launched.push_back(part);
  for (const auto& part : split(http.asked[1].body, '&'))
    if (part.starts_with("LaunchTemplateData.")) kept.push_back(part.substr(19));
  std::erase_if(launched, [](const std::string& it) {
    for (const char* own :
         {"Action=", "Version=", "ClientToken=", "MinCount=", "MaxCount=", "Placement.Availability", "SubnetId="})
      if (it.starts_with(own)) return true;
    return false;
  });
  EXPECT_THAT(kept, testing::UnorderedElementsAreArray(launched));
}

TEST_F(AutoScaling, AGroupIsReadWithItsMachinesAndWhetherItIsGoing) {
  const auto page = parse_describe_scaling_groups(
      "<DescribeAutoScalingGroupsResponse><DescribeAutoScalingGroupsResult><AutoScalingGroups><member>"
      "<AutoScalingGroupName>ferry-r</AutoScalingGroupName><AutoScalingGroupARN>arn:x</AutoScalingGroupARN>"
      "<MinSize>0</MinSize><MaxSize>1</MaxSize><DesiredCapacity>1</DesiredCapacity><Status>Delete in progress</Status>"
      "<Instances><member><InstanceId>i-1</InstanceId><LifecycleState>InService</LifecycleState><HealthStatus>Healthy"
      "</HealthStatus></member></Instances><Tags><member><Key>ferry:run</Key><Value>r</Value></member></Tags>"
      "</member></AutoScalingGroups><NextToken>n</NextToken></DescribeAutoScalingGroupsResult>"
      "</DescribeAutoScalingGroupsResponse>");
  ASSERT_TRUE(page);
  EXPECT_EQ(page->next_token, "n");
  ASSERT_EQ(page->items.size(), 1u);
  const auto& group = page->items[0];
  EXPECT_TRUE(group.is_going);
  EXPECT_EQ(group.desired, 1);
  EXPECT_EQ(group.max, 1);
  EXPECT_TRUE(group.has("i-1"));
  EXPECT_FALSE(group.has("i-2"));
  EXPECT_EQ(group.tags.at("ferry:run"), "r");
}

TEST_F(AutoScaling, OneThatIsNotThereIsNotFoundWhateverItsCode) {
  auto connection = client();
  reply_error(400, "ValidationError", "AutoScalingGroup name not found - AutoScalingGroup 'ferry-r' not found");
  EXPECT_EQ(set_desired_capacity(connection, "ferry-r", 0).error().kind, Kind::not_found);
  reply_error(400, "ValidationError", "New SetDesiredCapacity value 2 is above max value 1 for the AutoScalingGroup.");
  EXPECT_EQ(set_desired_capacity(connection, "ferry-r", 2).error().kind, Kind::bad_input);
  reply_error(400, "AlreadyExists", "AutoScalingGroup by this name already exists");
  EXPECT_EQ(create_scaling_group(connection, order()).error().kind, Kind::exists);
  reply_error(400, "LimitExceeded", "You have already created 500 groups.");
  EXPECT_EQ(create_scaling_group(connection, order()).error().kind, Kind::quota);
  reply_error(400, "ScalingActivityInProgress", "Activity in progress");
  EXPECT_EQ(delete_scaling_group(connection, "ferry-r").error().kind, Kind::conflict);
  reply_error(400, "ResourceInUse", "in use");
  EXPECT_EQ(delete_scaling_group(connection, "ferry-r").error().kind, Kind::conflict);
}

TEST_F(AutoScaling, ContentionIsAskedAgainAndThenThrottled) {
  auto connection = client();
  reply_error(500, "ResourceContention", "You already have a pending update");
  http.reply(200, "<SetDesiredCapacityResponse/>");
  EXPECT_TRUE(set_desired_capacity(connection, "ferry-r", 0));
  EXPECT_EQ(http.asked.size(), 2u);
  for (int i = 0; i < 2; ++i) reply_error(500, "ServiceLinkedRoleFailure", "The role is not yet ready for use");
  EXPECT_EQ(create_scaling_group(connection, order()).error().kind, Kind::throttled);
}

TEST_F(AutoScaling, TheFirstGroupOfAnAccountSaysWhichPermissionItNeeds) {
  auto connection = client();
  reply_error(403, "AccessDenied",
              "The default Service-Linked Role for Auto Scaling could not be created. User: me is not authorized to "
              "perform: iam:CreateServiceLinkedRole");
  const auto denied = create_scaling_group(connection, order());
  EXPECT_EQ(denied.error().kind, Kind::denied);
  EXPECT_THAT(denied.error().advice, HasSubstr("create-service-linked-role"));
  reply_error(403, "AccessDenied", "User: me is not authorized to perform: autoscaling:CreateAutoScalingGroup");
  EXPECT_THAT(create_scaling_group(connection, order()).error().advice, Not(HasSubstr("create-service-linked-role")));
}

TEST_F(AutoScaling, ATemplateOfTheSameNameExistsAndOneThatIsNotThereIsNotFound) {
  auto connection = client();
  http.reply_fault(400, "InvalidLaunchTemplateName.AlreadyExistsException");
  EXPECT_EQ(create_launch_template(connection, "ferry-r", machine(), {}).error().kind, Kind::exists);
  http.reply_fault(400, "InvalidLaunchTemplateName.NotFoundException");
  EXPECT_EQ(delete_launch_template(connection, "ferry-r").error().kind, Kind::not_found);
  http.reply_fault(400, "VersionLimitExceeded");
  EXPECT_EQ(create_launch_template_version(connection, "ferry-r", machine()).error().kind, Kind::quota);
}

}  // namespace
}  // namespace ferry::aws
