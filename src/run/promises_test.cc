// Promises about runs in trouble, one by one, with the fake cloud and a clock turned by hand.
#include <gtest/gtest.h>

#include <csignal>

#include "base/text.h"
#include "run/actions.h"
#include "run/stage.h"

namespace ferry::run::promises_test {
namespace {

using ledger::Outcome;
using ledger::Phase;

TEST(Promises, ARunThatFailedBeforeTheTrainingIsReleasedAllTheSame) {
  for (int step = 1;; ++step) {
    ASSERT_LT(step, 300);
    SCOPED_TRACE(fmt::format("step {}", step));
    Stage stage;
    stage.refused.assign(1, failure(Kind::denied));
    stage.kill_at(step);
    const auto code = stage.start(stage.request());
    EXPECT_EQ(stage.broken_promise(code), "");
    stage.recover_all();
    const auto runs = stage.ledger().runs(false);
    if (runs && runs->empty()) continue;
    EXPECT_EQ(stage.trouble(), "");
    if (code) return;
  }
}

TEST(Promises, AnOutageLongerThanAnyLimitDoesNotEndTheFollower) {
  Stage stage;
  stage.leave_at(Phase::training, "mkdir outputs; echo model >outputs/model; echo saved");
  stage.when("output : saved", [&] {
    stage.is_deaf = true;
    stage.machine().cut();
    stage.clock.in(Millis(1'800'000), [&] { stage.is_deaf = false; });
  });
  EXPECT_EQ(stage.follow(), 0) << stage.everything_shown();
  EXPECT_EQ(stage.model(), "");
  EXPECT_EQ(stage.trouble(), "");
}

TEST(Promises, AForegroundRunHandsALongOutageOverToAFollower) {
  Stage stage;
  stage.when("output : saved", [&] {
    stage.is_deaf = true;
    stage.machine().cut();
    stage.clock.in(Millis(1'800'000), [&] { stage.is_deaf = false; });
  });
  stage.start(stage.request("mkdir outputs; echo model >outputs/model; echo saved"));
  EXPECT_EQ(stage.broken_promise({}), "");
  stage.let_followers_end();
  EXPECT_EQ(stage.model(), "");
  EXPECT_EQ(stage.trouble(), "");
}

TEST(Promises, DownOfAMachineThatDoesNotAnswerSshKeepsItAndWritesTheLog) {
  for (const auto kind : {Kind::lost, Kind::timeout}) {
    Stage stage;
    stage.leave_at(Phase::training, "");
    stage.refused.assign(1'000, failure(kind));
    bool ended = true;
    stage.process([&](fleet::Context& here) { ended = down(here, stage.run().name, true).has_value(); });
    EXPECT_FALSE(ended) << stage.everything_shown();
    EXPECT_FALSE(stage.cloud.machines().front().by_ferry);
    stage.process([&](fleet::Context& here) { EXPECT_TRUE(down(here, stage.run().name, false)); });
    EXPECT_EQ(stage.trouble(), "");
  }
}

TEST(Promises, AMachineThatEndsWhileOutputsMoveIsLost) {
  Stage stage;
  stage.leave_at(Phase::training);
  stage.when("begin fetch", [&] { stage.cloud.end(stage.machine_id()); });
  EXPECT_EQ(stage.follow(), ferry_failed);
  EXPECT_EQ(stage.run().outcome, Outcome::lost);
  EXPECT_NE(stage.run().error, "");
  EXPECT_EQ(stage.trouble(), "");
}

TEST(Promises, WhatLinuxWouldNotStartIsNeverRented) {
  Stage stage;
  auto request = stage.request();
  request.task.envs["LONG"] = std::string(140'000, 'x');
  EXPECT_NE(stage.start(request), 0);
  EXPECT_TRUE(stage.cloud.machines().empty());
}

TEST(Promises, ATrainingThatSavesAndEndsWellWhenItIsStoppedIsStillStopped) {
  for (const int number : {SIGTERM, SIGINT}) {
    Stage stage;
    stage.when("output : ready", [number] { ::raise(number); });
    const auto code =
        stage.start(stage.request("mkdir outputs; trap 'echo model >outputs/model; exit 0' TERM; echo ready; "
                                  "while :; do sleep 0.05; done"));
    EXPECT_EQ(code, 130) << stage.everything_shown();
    EXPECT_EQ(stage.run().outcome, Outcome::cancelled);
    EXPECT_EQ(stage.model(), "");
    EXPECT_EQ(stage.trouble(), "");
  }
}

TEST(Promises, ATrainingThatIsCutAtItsLimitIsNoSuccess) {
  Stage stage;
  auto request = stage.request(
      "mkdir outputs; trap 'echo model >outputs/model; exit 0' TERM; echo ready; while :; do sleep 0.05; "
      "done");
  request.task.max_duration = Seconds(1);
  EXPECT_EQ(stage.start(request), 124) << stage.everything_shown();
  EXPECT_EQ(stage.model(), "");
  EXPECT_EQ(stage.trouble(), "");
}

TEST(Promises, AStoppedMachineIsKeptAndSaidToBeStopped) {
  Stage stage;
  stage.leave_at(Phase::training, "");
  stage.cloud.stop(stage.machine_id());
  EXPECT_EQ(stage.follow(), ferry_failed);
  EXPECT_EQ(stage.broken_promise(ferry_failed), "");
  EXPECT_FALSE(stage.cloud.machines().front().by_ferry);
  EXPECT_TRUE(stage.was_shown("stopped"));
  EXPECT_FALSE(stage.was_shown("may still go on")) << stage.everything_shown();
}

TEST(Promises, TheLedgersTimesAreTheClouds) {
  for (const int busy_calls : {0, 20}) {
    Stage stage;
    stage.leave_at(Phase::connecting);
    stage.cloud.ending = Millis(30'000);
    stage.cloud.add({.call = "terminate", .error = failure(Kind::throttled), .times = busy_calls, .took_effect = true});
    stage.recover_all();
    const auto machine = stage.cloud.machines().front();
    const auto noted = stage.ledger().instances(stage.run().name)->front();
    EXPECT_LE(std::abs(noted.released_ms - machine.ended_ms), 1'000) << busy_calls;
    EXPECT_LE(std::abs(noted.launched_ms - machine.now.launched_ms), 1'000);
  }
}

TEST(Promises, LookingAtAYoungMachineThatTheCloudDoesNotShowYetEndsNothing) {
  Stage stage;
  stage.leave_at(Phase::connecting);
  stage.cloud.invisible = Millis(20'000);
  stage.process([](fleet::Context& here) { EXPECT_TRUE(look_at_clouds(here)); });
  EXPECT_EQ(stage.ledger().instances(stage.run().name)->front().state, ledger::Rent::live);
}

TEST(Promises, ALocalLogThatIsDamagedIsFetchedAgain) {
  for (const auto* damage : {"nuls", "cut", "noise", "gone"}) {
    SCOPED_TRACE(damage);
    Stage stage;
    stage.leave_at(Phase::training, "mkdir outputs; echo model >outputs/model; echo one; echo two");
    stage.when("begin fetch", [] { throw Killed(); });
    stage.follow();
    const auto log = fleet::RunDir(stage.data(), stage.run().name).log();
    const auto bytes = os::read_file(log).value_or("");
    const std::string kind = damage;
    if (kind == "gone") std::filesystem::remove_all(log.parent_path());
    if (kind == "nuls") (void)os::write_file(log, bytes + std::string(4096, 0));
    if (kind == "cut") (void)os::write_file(log, bytes.substr(0, bytes.size() / 2));
    if (kind == "noise") (void)os::write_file(log, bytes.substr(0, bytes.size() / 2) + "noise" + bytes);
    stage.recover_all();
    EXPECT_EQ(stage.model(), "") << stage.everything_shown();
    EXPECT_EQ(stage.trouble(), "");
  }
}

TEST(Promises, AHangUpWhileSetupReconnectsLeavesAFollower) {
  Stage stage;
  auto request = stage.request();
  request.task.setup = "echo in-setup; while ! [ -e $HOME/go ]; do sleep 0.01; done";
  stage.when("output : in-setup", [&] {
    EXPECT_TRUE(os::write_file(stage.machine().home() / "go", ""));
    stage.is_deaf = true;
    stage.machine().cut();
    stage.clock.in(Millis(3'000), [] { ::raise(SIGHUP); });
    stage.clock.in(Millis(30'000), [&] { stage.is_deaf = false; });
  });
  stage.start(request);
  EXPECT_EQ(stage.broken_promise({}), "");
  stage.let_followers_end();
  EXPECT_EQ(stage.model(), "") << stage.everything_shown();
  EXPECT_EQ(stage.trouble(), "");
}

}  // namespace
}  // namespace ferry::run::promises_test
