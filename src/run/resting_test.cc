// `ends: stop`: a machine that rests when its run is over, and one that stopped before its outputs were home.
#include "run/resting.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "base/text.h"
#include "fleet/labels.h"
#include "run/actions.h"
#include "run/stage.h"

namespace ferry::run {
namespace {

using cloud::State;
using ledger::Outcome;
using ledger::Phase;
using testing::HasSubstr;

RunRequest resting(Stage& stage, const std::string& run = "mkdir -p outputs; echo model >outputs/model") {
  auto request = stage.request(run);
  request.task.ends = task::Ends::stop;
  return request;
}

/// Of the only machine that there is.
State state_of_machine(Stage& stage) {
  const auto all = stage.cloud.machines();
  EXPECT_EQ(all.size(), 1U);
  return all.empty() ? State::terminated : all.front().now.state;
}

/// Nothing runs; what the ledger says of each machine is so.
std::string running(Stage& stage) {
  std::string found;
  for (const auto& one : stage.cloud.machines())
    if (one.now.state == State::running || one.now.state == State::pending) found += one.now.id + " runs; ";
  return found.empty() ? found : found + stage.everything_shown();
}

TEST(Resting, ARunThatIsOverLeavesItsMachineStoppedAndSaysWhatItsDiskCosts) {
  Stage stage;
  EXPECT_EQ(stage.start(resting(stage)), 0);
  EXPECT_EQ(stage.model(), "");
  EXPECT_EQ(state_of_machine(stage), State::stopped);
  EXPECT_TRUE(is_kept(stage.run()));
  EXPECT_EQ(stage.run().outcome, Outcome::succeeded);
  EXPECT_TRUE(stage.was_shown("rests: its disk")) << stage.everything_shown();
  const auto machine = must(stage.ledger().instances(stage.run().name)).back();
  EXPECT_EQ(machine.state, ledger::Rent::live);
  EXPECT_GT(machine.stopped_ms, 0);
  const auto calls = stage.cloud.calls().size();
  stage.recover_all();
  EXPECT_EQ(stage.cloud.calls().size(), calls) << "nobody looks after what rests";
  EXPECT_EQ(stage.followers(), 0U);
  EXPECT_TRUE(stage.process([&](fleet::Context& here) { EXPECT_EQ(wait(here, stage.run().name), 0); }));
}

TEST(Resting, CountsWithItsDiskInTheLimitsAndAsNoMachine) {
  Stage stage;
  ASSERT_EQ(stage.start(resting(stage)), 0);
  const auto machine = must(stage.ledger().instances(stage.run().name)).back();
  const auto use = must(stage.ledger().use("rehearsal"));
  EXPECT_EQ(use.machines, 0);
  EXPECT_EQ(use.hour, dearest_hour({{}, ledger::rates_of(machine).disk, {}}));
  EXPECT_GT(use.hour.micros, 0);
  const auto spent = ledger::spent(machine, stage.clock.now_ms()).value();
  stage.clock.sleep(Millis(3'600'000));
  const auto later = ledger::spent(machine, stage.clock.now_ms()).value();
  EXPECT_GT(later, spent) << "the disk costs on";
  EXPECT_LE(later.micros - spent.micros, use.hour.micros + 10'000);
}

TEST(Resting, DownEndsItWithAllThatWasMadeForIt) {
  Stage stage;
  ASSERT_EQ(stage.start(resting(stage)), 0);
  EXPECT_TRUE(stage.process([&](fleet::Context& here) {
    const auto ended = down(here, stage.run().name, true);
    EXPECT_TRUE(ended) << describe(ended.error());
  }));
  EXPECT_EQ(stage.trouble(), "");
  EXPECT_EQ(stage.run().outcome, Outcome::succeeded);
}

TEST(Resting, ATrainingThatFailsLeavesItsMachineToo) {
  Stage stage;
  EXPECT_EQ(stage.start(resting(stage, "mkdir outputs; echo model >outputs/model; exit 7")), 7);
  EXPECT_EQ(state_of_machine(stage), State::stopped);
  EXPECT_EQ(stage.model(), "");
}

TEST(Resting, WhatNeverRanIsGivenBack) {
  Stage stage;
  stage.is_deaf = true;
  EXPECT_NE(stage.start(resting(stage)), 0);
  stage.recover_all();
  EXPECT_EQ(stage.trouble(), "");
}

TEST(Resting, WithAStoreTheMachineStopsItselfAndRestsToo) {
  Stage stage;
  stage.give_store();
  EXPECT_EQ(stage.start(resting(stage)), 0) << stage.everything_shown();
  stage.recover_all();
  EXPECT_EQ(stage.model(), "");
  EXPECT_EQ(state_of_machine(stage), State::stopped);
  EXPECT_TRUE(is_kept(stage.run()));
}

TEST(Resting, KilledAnywhereWithAStoreItRestsOrIsGivenBackAndNothingIsLost) {
  int kills = 0, rested = 0;
  for (int step = 1;; step += is_sanitized ? 17 : 3) {
    ASSERT_LT(step, 600);
    SCOPED_TRACE(fmt::format("step {}", step));
    Stage stage;
    stage.give_store();
    stage.kill_at(step);
    const bool lived = stage.start(resting(stage)).has_value();
    stage.recover_all();
    stage.recover_all();
    EXPECT_EQ(running(stage), "");
    if (!must(stage.ledger().runs(false)).empty() && stage.run().phase != Phase::released) {
      ++rested;
      EXPECT_EQ(stage.model(), "") << stage.everything_shown();
      EXPECT_EQ(stage.run().outcome, Outcome::succeeded) << stage.run().error;
      EXPECT_TRUE(stage.process([&](fleet::Context& here) { EXPECT_TRUE(down(here, stage.run().name, true)); }));
    }
    EXPECT_EQ(stage.trouble(), "");
    if (lived) break;
    ++kills;
  }
  EXPECT_GE(kills, is_sanitized ? 3 : 10);
  EXPECT_GE(rested, 1);
}

TEST(Resting, KilledAnywhereNothingRunsOnAfterTheNextCommandAndDownEndsAll) {
  int kills = 0, rested = 0;
  for (int step = 1;; step += is_sanitized ? 7 : 1) {
    ASSERT_LT(step, 400);
    SCOPED_TRACE(fmt::format("step {}", step));
    Stage stage;
    stage.kill_at(step);
    const bool lived = stage.start(resting(stage)).has_value();
    stage.recover_all();
    stage.recover_all();
    EXPECT_EQ(running(stage), "");
    if (!must(stage.ledger().runs(false)).empty()) {
      const auto run = stage.run();
      if (run.phase != Phase::released) {
        ++rested;
        EXPECT_TRUE(is_kept(run)) << stage.everything_shown();
        EXPECT_EQ(stage.model(), "");
        EXPECT_EQ(run.outcome, Outcome::succeeded) << run.error;
        EXPECT_GT(must(stage.ledger().instances(run.name)).back().stopped_ms, 0);
      }
      EXPECT_TRUE(stage.process([&](fleet::Context& here) {
        const auto ended = down(here, run.name, true);
        EXPECT_TRUE(ended) << describe(ended.error());
      }));
    }
    EXPECT_EQ(stage.trouble(), "");
    if (lived) break;
    ++kills;
  }
  EXPECT_GE(kills, is_sanitized ? 5 : 20);
  EXPECT_GE(rested, 1);
}

/// A machine whose timer stopped it while nobody was there, with outputs that are nowhere else.
void leave_stopped(Stage& stage) {
  stage.leave_at(Phase::training);
  auto run = stage.run();
  run.task["ends"] = fleet::ends_stop;
  must(stage.ledger().update(run));
  const auto state = stage.machine().home() / ".ferry/runs" / run.name / "state.json";
  while (os::read_file(state).value_or("").find("\"done\"") == std::string::npos)
    std::this_thread::sleep_for(Millis(5));  // the real agent's
  stage.clock.sleep(Millis(60'000));
  stage.cloud.stop(stage.machine_id());
}

TEST(Resting, AMachineThatItsTimerStoppedWithOutputsIsToldAndLeftAlone) {
  Stage stage;
  leave_stopped(stage);
  stage.recover_all();
  EXPECT_EQ(state_of_machine(stage), State::stopped);
  EXPECT_THAT(stage.run().error, HasSubstr("its machine stopped, as ends: stop has it"));
  EXPECT_TRUE(stage.was_shown("ferry fetch t-left --yes")) << stage.everything_shown();
}

TEST(Resting, FetchStartsItBringsTheOutputsHomeAndStopsItAgain) {
  Stage stage;
  leave_stopped(stage);
  stage.recover_all();
  EXPECT_TRUE(stage.process([&](fleet::Context& here) {
    const auto ended = fetch_stopped(here, "t-left");
    ASSERT_TRUE(ended) << describe(ended.error());
    EXPECT_TRUE(ended->empty());
  }));
  EXPECT_EQ(stage.model(), "");
  EXPECT_EQ(state_of_machine(stage), State::stopped);
  EXPECT_TRUE(is_kept(stage.run()));
  EXPECT_EQ(stage.run().outcome, Outcome::succeeded) << stage.run().error;
}

TEST(Resting, WhatStartingMayCostMustKeepTheLimits) {
  Stage stage;
  leave_stopped(stage);
  stage.recover_all();
  stage.caps = Caps{.a_day = Usd{100'000}, .a_month = {}, .an_hour = {}, .machines = {}};
  EXPECT_TRUE(stage.process([&](fleet::Context& here) {
    const auto refused = fetch_stopped(here, "t-left");
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, "usd_per_day");
  }));
  EXPECT_EQ(state_of_machine(stage), State::stopped) << "it was not started";
}

TEST(Resting, FetchKilledAnywhereLeavesNothingRunningAndNoModelLost) {
  int kills = 0;
  for (int step = 1;; ++step) {
    ASSERT_LT(step, 100);
    SCOPED_TRACE(fmt::format("step {}", step));
    Stage stage;
    leave_stopped(stage);
    stage.recover_all();
    stage.kill_at(step);
    const bool lived = stage.process([&](fleet::Context& here) { (void)fetch_stopped(here, "t-left"); });
    stage.recover_all();
    stage.recover_all();
    EXPECT_EQ(running(stage), "");
    if (stage.run().phase != Phase::released && !stage.run().outputs_home) {
      EXPECT_TRUE(stage.process([&](fleet::Context& here) {
        const auto again = fetch_stopped(here, "t-left");
        EXPECT_TRUE(again) << describe(again.error());
      }));
    }
    EXPECT_EQ(stage.model(), "");
    EXPECT_TRUE(stage.process([&](fleet::Context& here) { EXPECT_TRUE(down(here, "t-left", true)); }));
    EXPECT_EQ(stage.trouble(), "");
    if (lived) break;
    ++kills;
  }
  EXPECT_GE(kills, 10);
}

TEST(Resting, OrdinaryRunsAreGivenBackAsEver) {
  Stage stage;
  EXPECT_EQ(stage.start(stage.request()), 0);
  EXPECT_EQ(stage.trouble(), "");
}

}  // namespace
}  // namespace ferry::run
