#include "task/aws_settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "task/task.h"

namespace ferry::task::aws_settings_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

AwsSettings parsed(const std::string& fields) {
  auto task = parse_task("run: 'true'\naws:\n" + fields, "task.yaml");
  if (!task) ADD_FAILURE() << describe(task.error());
  return task.value_or(Task{}).aws;
}

Error refused(const std::string& fields) {
  auto task = parse_task("run: 'true'\naws:\n" + fields, "task.yaml");
  if (task) {
    ADD_FAILURE() << "accepted: " << fields;
    return {};
  }
  return task.error();
}

TEST(AwsSettings, EveryFieldIsRead) {
  const auto aws = parsed(R"(
  subnet_id: subnet-0123456789abcdef0
  security_group_id: sg-0123abcd
  public_address: false
  ssh_from: 10.0.0.0/8
  ssh_proxy: me@bastion.example.com
  key_name: alice's laptop
  key_file: ~/.ssh/aws.pem
  placement_group: together
  login_user: centos
  capacity_reservation_id: cr-0123456789abcdef0
  instance_profile: arn:aws:iam::123456789012:instance-profile/trainer
)");
  EXPECT_THAT(aws.subnets_in("eu-west-1"), ElementsAre("subnet-0123456789abcdef0"));
  EXPECT_EQ(aws.security_group, "sg-0123abcd");
  EXPECT_EQ(aws.public_address, false);
  EXPECT_EQ(aws.ssh_from, "10.0.0.0/8");
  EXPECT_EQ(aws.ssh_proxy, "me@bastion.example.com");
  EXPECT_EQ(aws.key_name, "alice's laptop");
  EXPECT_EQ(aws.key_file, "~/.ssh/aws.pem");
  EXPECT_EQ(aws.placement_group, "together");
  EXPECT_EQ(aws.login_user, "centos");
  EXPECT_EQ(aws.capacity_reservation, "cr-0123456789abcdef0");
  EXPECT_EQ(aws.instance_profile, "arn:aws:iam::123456789012:instance-profile/trainer");
}

TEST(AwsSettings, SshFromIsARangeAndNeverEverybody) {
  EXPECT_EQ(parsed("  ssh_from: 1.2.3.4\n").ssh_from, "1.2.3.4/32");
  EXPECT_EQ(parsed("  ssh_from: 10.1.2.3/8\n").ssh_from, "10.0.0.0/8");
  for (const char* bad : {"300.1.1.1/24", "1.2.3/24", "1.2.3.4/33", "1.2.3.4/", "::/0", "1.2.3.4/-1", "x"})
    EXPECT_THAT(refused("  ssh_from: '" + std::string(bad) + "'\n").what, HasSubstr("is not an IPv4 address range"))
        << bad;
  const auto everybody = refused("  ssh_from: 0.0.0.0/0\n");
  EXPECT_EQ(everybody.what, "task.yaml:3:13: ssh_from: '0.0.0.0/0' lets anybody knock at port 22");
  EXPECT_THAT(everybody.advice, HasSubstr("--security-group"));
}

TEST(AwsSettings, SubnetsMayBeSeveralAndByRegion) {
  EXPECT_THAT(parsed("  subnet_id: [subnet-11111111, subnet-22222222]\n").subnets_in("us-east-1"),
              ElementsAre("subnet-11111111", "subnet-22222222"));
  const auto aws = parsed(R"(
  subnet_id:
    us-east-1: [subnet-11111111, subnet-22222222]
    eu-west-1: subnet-33333333
)");
  EXPECT_THAT(aws.subnets_in("us-east-1"), ElementsAre("subnet-11111111", "subnet-22222222"));
  EXPECT_THAT(aws.subnets_in("eu-west-1"), ElementsAre("subnet-33333333"));
  EXPECT_THAT(aws.subnets_in("eu-west-2"), IsEmpty());
  EXPECT_TRUE(aws.excludes("eu-west-2"));
  EXPECT_FALSE(aws.excludes("eu-west-1"));
  EXPECT_FALSE(AwsSettings().excludes("eu-west-1"));
}

TEST(AwsSettings, WhatAwsWouldRefuseIsRefusedWithItsPlace) {
  EXPECT_THAT(refused("  subnet_id: vpc-0123456789abcdef0\n").what, HasSubstr("task.yaml:3:14: subnet_id"));
  EXPECT_THAT(refused("  subnet_id: [subnet-11111111, subnet-XY]\n").what, HasSubstr("task.yaml:3:32"));
  EXPECT_THAT(refused("  subnet_id: {mars: subnet-11111111}\n").what, HasSubstr("'mars' does not look like a region"));
  EXPECT_THAT(refused("  security_group_id: default\n").advice, HasSubstr("sg-"));
  EXPECT_THAT(refused("  capacity_reservation_id: cr-\n").what, HasSubstr("not a capacity reservation"));
  EXPECT_THAT(refused("  public_address: maybe\n").what, HasSubstr("true or false"));
  EXPECT_THAT(refused("  key_name: [a]\n").what, HasSubstr("must be text"));
  EXPECT_THAT(refused("  ssh_proxy: -oProxyCommand=sh\n").what, HasSubstr("not a jump host"));
  EXPECT_THAT(refused("  subnet: subnet-11111111\n").advice, HasSubstr("subnet_id"));
}

TEST(AwsSettings, AFieldOutsideItsSectionIsToldWhereItBelongs) {
  const auto task = parse_task("run: 'true'\nsubnet_id: subnet-11111111\n", "task.yaml");
  ASSERT_FALSE(task);
  EXPECT_THAT(task.error().advice, HasSubstr("belongs under 'aws:'"));
}

TEST(AwsSettings, WhatStandsAboveReplacesWhatIsBelowAndAKeyGoesWithItsFile) {
  AwsSettings own;
  own.subnets[""] = {"subnet-11111111"};
  own.key_name = "mine";
  own.key_file = "~/.ssh/mine";
  own.ssh_proxy = "bastion";
  AwsSettings task;
  task.subnets["us-east-1"] = {"subnet-22222222"};
  task.key_name = "theirs";
  lay_over(own, task);
  EXPECT_THAT(own.subnets_in("us-east-1"), ElementsAre("subnet-22222222"));
  EXPECT_TRUE(own.excludes("eu-west-1"));
  EXPECT_EQ(own.key_name, "theirs");
  EXPECT_EQ(own.key_file, "");
  EXPECT_EQ(own.ssh_proxy, "bastion");
}

}  // namespace
}  // namespace ferry::task::aws_settings_test
