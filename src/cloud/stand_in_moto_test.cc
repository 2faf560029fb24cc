// What stands in for a machine, against an EC2 and an Auto Scaling that nobody here wrote.

#include <gtest/gtest.h>

#include "cloud/cloud.h"
#include "cloud/moto_server.h"

namespace ferry::cloud {
namespace {

struct StandInOverMoto : testing::Test {
  StandInOverMoto() : moto(MotoServer::start()) {
    if (!moto) return;
    AwsContext context;
    context.region = "us-east-1";
    context.endpoint_url = moto->url();
    context.credentials = fixed_credentials("AKIDEXAMPLE", "secret");
    cloud = make_ec2_cloud(context, *http, os::system_clock());
  }
  void SetUp() override {
    if (!moto) GTEST_SKIP() << "python3 has no moto[server]";
  }
  StandInOrder order() {
    StandInOrder it;
    it.name = "ferry-r-0123";
    it.machine.offer.type.name = "t3.micro";
    it.machine.offer.zone = "us-east-1a";
    it.machine.image = {moto_ubuntu_image, "ubuntu", "ubuntu", "/dev/sda1", 8};
    it.machine.client_token = "t";
    it.machine.user_data = "#!/bin/sh\n";
    it.machine.tags = {{"ferry:run", "r"}, {"ferry:owner", "me"}};
    it.until_ms = os::system_clock().now_ms() + 3'600'000;
    return it;
  }
  std::optional<MotoServer> moto;
  std::unique_ptr<os::HttpClient> http = os::make_http_client();
  std::unique_ptr<Cloud> cloud;
};

TEST_F(StandInOverMoto, IsMadeAroundAMachineAskedAboutAndDeleted) {
  auto wanted = order();
  const auto machine = cloud->launch(wanted.machine);
  ASSERT_TRUE(machine) << describe(machine.error());
  wanted.instance_id = machine->id;
  const auto none = cloud->stand_in(wanted.name);
  ASSERT_TRUE(none) << describe(none.error());
  EXPECT_FALSE(*none);
  for (int again = 0; again < 2; ++again) {  // a ferry that was killed begins again
    const auto made = cloud->make_stand_in(wanted);
    ASSERT_TRUE(made) << describe(made.error());
    const auto there = cloud->stand_in(wanted.name);
    ASSERT_TRUE(there && *there);
    EXPECT_EQ((*there)->wanted, 1);
    EXPECT_FALSE((*there)->is_going);
    EXPECT_EQ((*there)->instances, std::vector{machine->id});
  }
  const auto found = cloud->find_made("ferry:owner", "me");
  ASSERT_TRUE(found) << describe(found.error());
  std::vector<std::string> kinds;
  for (const auto& one : *found) {
    EXPECT_EQ(one.name, wanted.name);
    kinds.push_back(one.kind);
  }
  EXPECT_EQ(kinds, (std::vector<std::string>{"auto-scaling-group", "launch-template"}));
  const auto wants = cloud->want_none(wanted.name);
  EXPECT_TRUE(wants) << describe(wants.error());
  EXPECT_EQ((**cloud->stand_in(wanted.name)).wanted, 0);
  for (int again = 0; again < 2; ++again) {
    const auto deleted = cloud->delete_stand_in(wanted.name);
    EXPECT_TRUE(deleted) << describe(deleted.error());
  }
  EXPECT_FALSE(*cloud->stand_in(wanted.name));
  EXPECT_TRUE(cloud->find_made("ferry:owner", "me")->empty());
  EXPECT_TRUE(cloud->want_none(wanted.name)) << "absent is fine";
}

TEST_F(StandInOverMoto, WhatWasMadeForAnotherRunIsLeftAlone) {
  auto other = order();
  ASSERT_TRUE(cloud->make_stand_in(other));
  other.machine.tags["ferry:run"] = "another";
  const auto refused = cloud->make_stand_in(other);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, Kind::conflict);
}

}  // namespace
}  // namespace ferry::cloud
