// What stands in for a machine, against an EC2 and an Auto Scaling that nobody here wrote; with FERRY_TEST_CLOUD=1 also
// against whatever the AWS_* variables point at, where it really replaces one (a t3.micro, for some minutes).

#include <gtest/gtest.h>

#include "base/hash.h"
#include "cloud/cloud.h"
#include "cloud/moto_server.h"
#include "os/env.h"

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
  for (int again = 0; again < 2; ++again) {
    const auto deleted = cloud->delete_stand_in(wanted.name);
    EXPECT_TRUE(deleted) << describe(deleted.error());
  }
  EXPECT_FALSE(*cloud->stand_in(wanted.name));
  EXPECT_TRUE(cloud->find_made("ferry:owner", "me")->empty());
}

TEST_F(StandInOverMoto, WhatWasMadeForAnotherRunIsLeftAlone) {
  auto other = order();
  ASSERT_TRUE(cloud->make_stand_in(other));
  other.machine.tags["ferry:run"] = "another";
  const auto refused = cloud->make_stand_in(other);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, Kind::conflict);
}

/// Asks again until it is so, for ten minutes.
template <class Ask>
bool comes_true(const Ask& ask) {
  for (int i = 0; i < 3000; ++i) {
    if (ask()) return true;
    os::system_clock().sleep(Millis(200));
  }
  return false;
}

TEST(StandInOverTheCloudOfTheEnvironment, AMachineThatDiesIsReplacedUntilNoneIsWanted) {
  if (!os::env("FERRY_TEST_CLOUD")) GTEST_SKIP() << "FERRY_TEST_CLOUD is not set";
  const auto context = aws_context_from_environment("");
  ASSERT_TRUE(context) << describe(context.error());
  const auto http = os::make_http_client();
  const auto cloud = make_ec2_cloud(*context, *http, os::system_clock());
  const std::string run = "contract-" + random_name(6);
  const auto image = cloud->newest_image({"t3.medium", "x86_64", false});
  ASSERT_TRUE(image) << describe(image.error());
  StandInOrder order;
  order.name = "ferry-" + run;
  order.machine.offer.type.name = "t3.micro";
  order.machine.image = *image;
  order.machine.client_token = run;
  order.machine.user_data = "#!/bin/sh\nshutdown -h +30\n";
  order.machine.tags = {{"ferry:run", run}, {"ferry:owner", "test"}};
  order.until_ms = os::system_clock().now_ms() + 3'600'000;
  const auto first = cloud->launch(order.machine);
  ASSERT_TRUE(first) << describe(first.error());
  order.instance_id = first->id;
  order.machine.offer.zone = first->zone;
  EXPECT_EQ(cloud->make_stand_in(order).error().kind, Kind::conflict) << "it does not run yet";
  ASSERT_TRUE(comes_true([&] { return cloud->describe(first->id)->state == State::running; }));
  for (int again = 0; again < 2; ++again) {
    const auto made = cloud->make_stand_in(order);
    ASSERT_TRUE(made) << describe(made.error());
  }
  EXPECT_TRUE(cloud->terminate(first->id));
  std::string next;
  EXPECT_TRUE(comes_true([&] {
    const auto now = cloud->stand_in(order.name);
    for (const auto& id : (*now)->instances)
      if (id != first->id) next = id;
    return !next.empty();
  }));
  if (!next.empty()) {
    EXPECT_TRUE(comes_true([&] { return cloud->describe(next)->state == State::running; }));
    EXPECT_EQ(cloud->describe(next)->tags.at("ferry:run"), run);
  }
  for (int again = 0; again < 2; ++again) {
    const auto deleted = cloud->delete_stand_in(order.name);
    EXPECT_TRUE(deleted) << describe(deleted.error());
  }
  EXPECT_TRUE(comes_true([&] { return !*cloud->stand_in(order.name); }));
  EXPECT_TRUE(cloud->find_made("ferry:run", run)->empty());
}

}  // namespace
}  // namespace ferry::cloud
