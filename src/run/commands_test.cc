// What people do with runs that exist, over every phase and every failure.
#include <gtest/gtest.h>

#include "base/text.h"
#include "run/actions.h"
#include "run/stage.h"

namespace ferry::run {
namespace {

using ledger::Outcome;
using ledger::Phase;

Result<std::vector<std::string>> down_in(Stage& stage, bool bring_home) {
  Result<std::vector<std::string>> ended;
  stage.process([&](fleet::Context& here) { ended = down(here, stage.run().name, bring_home); });
  return ended;
}

TEST(Down, InAnyPhaseEverythingIsReleasedAndAModelComesHomeFirst) {
  for (const auto phase : {Phase::launching, Phase::connecting, Phase::syncing, Phase::setup, Phase::training,
                           Phase::fetching, Phase::releasing}) {
    SCOPED_TRACE(name(phase));
    Stage stage;
    stage.leave_at(phase, "mkdir outputs; echo model >outputs/model; echo saved");
    if (phase >= Phase::setup) {
      const auto saved = stage.machine().home() / "ferry" / stage.run().name / "outputs/model";
      while (os::read_file(saved).value_or("") != "model\n") std::this_thread::yield();
    }
    const auto id = stage.machine_id();
    const auto ended = down_in(stage, true);
    ASSERT_TRUE(ended) << describe(ended.error());
    EXPECT_EQ(*ended, std::vector<std::string>{id});
    EXPECT_EQ(stage.model().empty(), phase >= Phase::setup);
    EXPECT_EQ(stage.trouble(), "");
    EXPECT_TRUE(down_in(stage, true)) << "again is calm";
    EXPECT_EQ(stage.trouble(), "");
  }
}

TEST(Down, WithoutItsOutputsNeedsNoConnection) {
  for (const auto phase : {Phase::connecting, Phase::training, Phase::fetching}) {
    SCOPED_TRACE(name(phase));
    Stage stage;
    stage.leave_at(phase, "");
    stage.is_deaf = true;
    const auto connects = stage.connects;
    EXPECT_TRUE(down_in(stage, false));
    EXPECT_EQ(stage.connects, connects);
    EXPECT_EQ(stage.trouble(), "");
    EXPECT_NE(stage.run().outcome, Outcome::succeeded);
  }
}

TEST(Down, AMachineThatRefusesUsIsKeptAndSaidSo) {
  for (const auto kind : {Kind::denied, Kind::bad_input, Kind::io, Kind::unsupported, Kind::corrupt, Kind::disk_full}) {
    SCOPED_TRACE(name(kind));
    Stage stage;
    stage.leave_at(Phase::training, "");
    stage.refused.assign(100, failure(kind));
    const auto ended = down_in(stage, true);
    ASSERT_FALSE(ended);
    EXPECT_NE(ended.error().advice.find("--no-fetch"), std::string::npos) << ended.error().advice;
    EXPECT_EQ(stage.cloud.machines().front().ended_ms, 0);
    EXPECT_EQ(stage.broken_promise({}), "");
    EXPECT_TRUE(down_in(stage, false));
    EXPECT_EQ(stage.trouble(), "");
  }
}

TEST(Down, AMachineThatIsGoneIsReleasedCalmly) {
  for (const bool is_forgotten : {false, true}) {
    Stage stage;
    stage.leave_at(Phase::training, "");
    stage.cloud.end(stage.machine_id());
    stage.clock.sleep(is_forgotten ? stage.cloud.memory + Millis(1'000) : stage.cloud.ending);
    EXPECT_TRUE(down_in(stage, true));
    EXPECT_EQ(stage.trouble(), "");
    EXPECT_NE(stage.run().outcome, Outcome::succeeded);
  }
}

TEST(Down, ACloudThatFailsIsToldAndTheNextDownEndsIt) {
  for (const auto* call : {"terminate", "describe", "find_by_tag", "delete_group", "delete_key"}) {
    for (const auto kind : {Kind::denied, Kind::throttled, Kind::lost, Kind::conflict}) {
      SCOPED_TRACE(fmt::format("{} {}", call, name(kind)));
      Stage stage;
      stage.leave_at(Phase::connecting);
      stage.cloud.add({.call = call, .error = failure(kind), .times = -1});
      EXPECT_FALSE(down_in(stage, true));
      EXPECT_NE(stage.run().phase, Phase::released);
      EXPECT_EQ(stage.broken_promise({}), "");
      stage.cloud.heal();
      EXPECT_TRUE(down_in(stage, true));
      EXPECT_EQ(stage.trouble(), "");
    }
  }
}

TEST(Down, KilledAnywhereTheNextOneEndsItAndTheModelIsHome) {
  for (int step = 1;; ++step) {
    ASSERT_LT(step, 200);
    SCOPED_TRACE(fmt::format("step {}", step));
    Stage stage;
    stage.leave_at(Phase::connecting);
    stage.kill_at(step);
    const bool lived = stage.process([&](fleet::Context& here) { EXPECT_TRUE(down(here, stage.run().name, true)); });
    EXPECT_EQ(stage.broken_promise({}), "");
    stage.process([&](fleet::Context& here) { EXPECT_TRUE(down(here, stage.run().name, true)); });
    EXPECT_EQ(stage.trouble(), "");
    if (lived) return;
  }
}

TEST(Cancel, OfARunThatIsOverIsCalm) {
  Stage stage;
  auto request = stage.request();
  EXPECT_EQ(stage.start(request), 0);
  stage.process([&](fleet::Context& here) { EXPECT_TRUE(cancel(here, stage.run().name)); });
  EXPECT_EQ(stage.trouble(), "");
  EXPECT_EQ(stage.run().outcome, Outcome::succeeded);
}

TEST(Cancel, OfAKeptRunReleasesItAndLeavesItsOutcome) {
  Stage stage;
  auto request = stage.request();
  request.keep = true;
  EXPECT_EQ(stage.start(request), 0);
  stage.process([&](fleet::Context& here) { EXPECT_TRUE(cancel(here, stage.run().name)); });
  EXPECT_EQ(stage.trouble(), "");
  EXPECT_EQ(stage.run().outcome, Outcome::succeeded);
}

TEST(Looking, ACloudThatDoesNotAnswerChangesNothing) {
  for (const auto kind : {Kind::denied, Kind::throttled, Kind::lost, Kind::timeout, Kind::io, Kind::bad_input}) {
    SCOPED_TRACE(name(kind));
    Stage stage;
    stage.leave_at(Phase::training, "");
    stage.cloud.add({.error = failure(kind), .times = -1});
    const auto before = stage.ledger().instances(stage.run().name)->front();
    stage.process([](fleet::Context& here) { EXPECT_TRUE(look_at_clouds(here)); });
    const auto after = stage.ledger().instances(stage.run().name)->front();
    EXPECT_EQ(after.state, before.state);
    EXPECT_EQ(after.address, before.address);
    EXPECT_EQ(stage.run().phase, Phase::training);
  }
}

TEST(Fetching, OutputsComeHomeWhileTheTrainingGoesOn) {
  Stage stage;
  stage.leave_at(Phase::training, "mkdir outputs; echo model >outputs/model; while :; do sleep 1; done");
  const auto saved = stage.machine().home() / "ferry" / stage.run().name / "outputs/model";
  while (os::read_file(saved).value_or("") != "model\n") std::this_thread::yield();
  stage.process([&](fleet::Context& here) { EXPECT_TRUE(fetch(here, stage.run().name)); });
  EXPECT_EQ(stage.model(), "");
  EXPECT_EQ(stage.run().phase, Phase::training);
  EXPECT_FALSE(stage.run().outputs_home) << "there may be more to come";
  EXPECT_EQ(stage.cloud.machines().front().ended_ms, 0);
}

}  // namespace
}  // namespace ferry::run
