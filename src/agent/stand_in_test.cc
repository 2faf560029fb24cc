// A machine that AWS started in the place of one that is gone, with the real program, the real protocol of S3, and a
// metadata service of the test's own.
#include "agent/stand_in.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>

#include <atomic>

#include "agent/sent_pack.h"
#include "agent/served.h"
#include "agent/served_s3.h"
#include "os/clock.h"
#include "os/env.h"
#include "os/process.h"
#include "os/socket.h"
#include "store/keys.h"
#include "store/manifest.h"

namespace ferry::agent::stand_in_test {
namespace {

constexpr const char* run = "digits-7k2";

class StandInTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!os::env("FERRY_AGENT")) GTEST_SKIP() << "FERRY_AGENT is not set";
    aws_.emplace();
    home_.emplace("HOME", (folder.path() / "home").string());
    ASSERT_TRUE(os::make_dirs(folder.path() / "home"));
    served.emplace();  // the machine before, before there are threads
    aws_->serve([this](const auto& request, auto& body) { return answer(request, body); });
    store_ = {.uri = "s3://bucket/prefix", .endpoint = aws_->url(), .every_s = 1};
    group_ = {"ferry-digits-7k2", "us-east-1", aws_->url()};
    dir = folder.path() / "run";
  }
  void TearDown() override {
    if (const pid_t agent = served ? pid_at(dir) : 0; agent > 0) ::kill(agent, SIGTERM);
    if (served) patiently([&] { return !os::is_locked(dir / "lock"); });
  }
  static pid_t pid_at(const os::Path& dir) {
    const auto socket = os::connect_unix(dir / "sock");
    if (!socket) return 0;
    ucred peer{};
    socklen_t size = sizeof peer;
    ::getsockopt(socket->get(), SOL_SOCKET, SO_PEERCRED, &peer, &size);
    return peer.pid;
  }
  static void patiently(const std::function<bool()>& condition) {
    const auto end = os::system_clock().steady_ms() + 60'000;
    while (!condition() && os::system_clock().steady_ms() < end) os::system_clock().sleep(Millis(10));
    EXPECT_TRUE(condition());
  }
  std::string object(const std::string& key) {
    const std::lock_guard lock(s3.mutex);
    const auto at = s3.objects.find("prefix/" + key);
    return at == s3.objects.end() ? "" : at->second.bytes;
  }
  void put(const std::string& key, const std::string& bytes) {
    const std::lock_guard lock(s3.mutex);
    s3.objects["prefix/" + key] = {bytes, hex(sha256(bytes)).substr(0, 32), {}};
  }
  store::Manifest manifest(int attempt) {
    return store::parse_manifest(object(store::manifest_key(run, attempt, 0))).value_or(store::Manifest());
  }

  /// The first machine's training, and what its ferry put into the store for the next one.
  void begin_first(const std::string& first, const std::string& later) {
    auto spec = served->spec(first);
    spec.store = store_;
    auto client = served->client();
    ASSERT_TRUE(client.start(spec));
    const auto code = folder.path() / "code";
    ASSERT_TRUE(os::write_file(code, "what was sent\n"));
    sync::Tree tree;
    tree.entries.push_back({.path = "code.txt", .mode = 0644, .size = 14, .sha256 = sha256("what was sent\n")});
    ASSERT_TRUE(pack_sent(
        tree, [&](const sync::Entry&) { return code; }, folder.path() / "pack"));
    put(store::sent_key(run), *os::read_file(folder.path() / "pack"));
    order.made_ms = os::system_clock().now_ms();
    order.deadline_ms = order.made_ms + 600'000;
    order.spec = spec;
    order.spec.workdir = (folder.path() / "work").string();
    order.spec.command = later;
    order.spec.group = group_;
    order.spec.max_duration_s = 300;
    order.spec.env = {{"FERRY_ATTEMPT", "1"}, {"FERRY_RESUMED", "0"}};
  }
  /// The next machine boots. How its program ended.
  os::Output stand_in() {
    put(store::stand_in_key(run), dump_json(to_json(order)));
    const Json self = {{"instance", "i-2"}, {"type", "m5.large"}, {"zone", "us-east-1b"}, {"launched_ms", 5}};
    const Json input = {{"run", run}, {"store", to_json(store_)}, {"group", to_json(group_)}, {"self", self}};
    auto done = os::run_command({.argv = {*os::env("FERRY_AGENT"), "stand-in", dir.string()}}, dump_json(input));
    return done.value_or(os::Output{.exit = {255, 0}});
  }
  StandInClaim claim(int attempt) {
    const auto json = parse_json(object(store::claim_key(run, attempt, 0)));
    return json ? stand_in_claim_from(*json).value_or(StandInClaim()) : StandInClaim();
  }

  os::TempDir folder;
  os::Path dir;
  s3::FakeS3 s3;
  std::optional<Served> served;
  StandInOrder order;
  std::atomic<int> wanted_none = 0;

 private:
  os::ServedReply answer(const os::ServedRequest& asked, os::BodyReader& body) {
    if (asked.target.starts_with("/latest/")) return answer_of_role(asked.target, "ferry-digits-7k2");
    const auto text = whole(body);
    if (asked.target != "/") return answer_of_s3(s3, aws_->url(), asked, text);
    const bool is_it = text.find("Action=SetDesiredCapacity") != text.npos &&
                       text.find("AutoScalingGroupName=ferry-digits-7k2") != text.npos &&
                       text.find("DesiredCapacity=0") != text.npos;
    EXPECT_TRUE(is_it) << text;
    ++wanted_none;
    os::ServedReply reply;
    reply.body = "<SetDesiredCapacityResponse><ResponseMetadata/></SetDesiredCapacityResponse>";
    return reply;
  }

  StoreSpec store_;
  GroupSpec group_;
  std::optional<Variable> home_;
  std::optional<AwsOfMachine> aws_;
};

TEST_F(StandInTest, GoesOnWithWhatWasSentAndWhatWasStoredAndWantsNoOtherWhenItIsOver) {
  begin_first("mkdir outputs; echo 7 > outputs/step; sleep 100",
              "cat code.txt made outputs/step > outputs/result; echo $FERRY_ATTEMPT $FERRY_RESUMED >> outputs/result");
  patiently([&] { return manifest(1).entries.size() >= 1; });
  served->kill_agent();
  order.steps = {{"make the environment", "cat > '" + order.spec.workdir + "/made'", "by a step\n"}};
  const auto ended = stand_in();
  EXPECT_EQ(ended.exit.code, 0) << ended.err;
  EXPECT_EQ(claim(2).instance, "i-2");
  EXPECT_EQ(claim(2).problem, "");
  patiently([&] { return manifest(2).complete; });
  EXPECT_EQ(os::read_file(folder.path() / "work/outputs/result").value_or(""), "what was sent\nby a step\n7\n2 1\n");
  patiently([&] { return served->power_offs() == 1; });
  EXPECT_EQ(wanted_none, 1);
}

TEST_F(StandInTest, WhereTheRunIsOverNothingBeginsAndTheMachineEnds) {
  begin_first("mkdir outputs; echo 7 > outputs/step", "echo never > outputs/result");
  patiently([&] { return served->power_offs() == 1; });
  ASSERT_TRUE(manifest(1).complete);
  EXPECT_EQ(stand_in().exit.code, 0);
  EXPECT_EQ(claim(2).instance, "");
  EXPECT_EQ(wanted_none, 1);
  EXPECT_EQ(served->power_offs(), 2u);
}

TEST_F(StandInTest, WhatCannotBeginSaysWhyAndEnds) {
  begin_first("mkdir outputs; echo 7 > outputs/step; sleep 100", "echo never > outputs/result");
  patiently([&] { return manifest(1).entries.size() >= 1; });
  served->kill_agent();
  order.steps = {{"make the environment", "echo no such package >&2; exit 3", ""}};
  EXPECT_NE(stand_in().exit.code, 0);
  EXPECT_NE(claim(2).problem.find("no such package"), std::string::npos) << claim(2).problem;
  EXPECT_NE(claim(2).problem.find("make the environment"), std::string::npos) << claim(2).problem;
  EXPECT_EQ(wanted_none, 1);
  EXPECT_EQ(served->power_offs(), 1u);
}

TEST_F(StandInTest, AMachineThatComesTooLateBeginsNothing) {
  begin_first("sleep 100", "echo never > outputs/result");
  order.deadline_ms = order.made_ms + 59'000;
  EXPECT_EQ(stand_in().exit.code, 0);
  EXPECT_EQ(claim(2).instance, "");
  EXPECT_EQ(wanted_none, 1);
  served->kill_agent();
}

TEST(StandInOrder, ComesBackAsItWas) {
  StandInOrder order{.attempt = 3, .made_ms = 1000, .deadline_ms = 2000, .scratch = "/mnt/ferry"};
  order.steps = {{"bring the data", "cat", "x\n"}};
  order.spec = {.run = run, .workdir = "/home/ubuntu/ferry/x", .command = "true", .max_duration_s = 60};
  order.spec.group = GroupSpec{"ferry-x", "us-east-1", ""};
  const auto again = stand_in_order_from(to_json(order));
  ASSERT_TRUE(again) << describe(again.error());
  EXPECT_EQ(to_json(*again), to_json(order));
  auto json = to_json(order);
  for (const char* member : {"attempt", "made_ms", "steps", "spec"}) {
    auto without = json;
    without.erase(member);
    EXPECT_FALSE(stand_in_order_from(without)) << member;
  }
  EXPECT_FALSE(stand_in_order_from(Json("x")));
  EXPECT_FALSE(stand_in_claim_from(Json{{"instance", 7}}));
}

}  // namespace
}  // namespace ferry::agent::stand_in_test
