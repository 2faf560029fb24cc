// A ferry that is killed between any two steps (each call to the cloud and each write to the ledger is two:
// before and after). The next command finds what it left, and brings it to its end.
#include <gtest/gtest.h>

#include "base/text.h"
#include "run/actions.h"
#include "run/stage.h"

namespace ferry::run {
namespace {

using ledger::Outcome;
using ledger::Phase;

TEST(KilledAnywhere, BeforeTheTrainingNothingStaysRented) {
  for (int step = 1;; step += 2) {  // before each
    ASSERT_LT(step, 300);
    SCOPED_TRACE(fmt::format("step {}", step));
    Stage stage;
    bool is_training = false, is_first = true;
    stage.when("begin train", [&] {
      is_training = is_first;
      if (is_first) throw Killed();
    });
    stage.kill_at(step);
    ASSERT_EQ(stage.start(stage.request()), std::nullopt);
    is_first = false;
    EXPECT_EQ(stage.broken_promise({}), "");
    stage.recover_all();
    const auto runs = stage.ledger().runs(false);
    if (runs && runs->empty()) continue;  // it was not even noted
    EXPECT_EQ(stage.trouble(), "");
    EXPECT_LE(stage.cloud.machines().size(), 1U);
    EXPECT_EQ(stage.run().outcome == Outcome::succeeded, stage.model().empty());
    if (is_training) {
      EXPECT_EQ(stage.model(), "") << "it had begun, and nobody waited for it";
      return;
    }
  }
}

TEST(KilledAnywhere, FromTheTrainingOnTheModelComesHomeAndNothingStaysRented) {
  for (int step = 1;; step += 2) {  // before each
    ASSERT_LT(step, 300);
    SCOPED_TRACE(fmt::format("step {}", step));
    Stage stage;
    stage.leave_at(Phase::training);
    stage.kill_at(step);
    const auto code = stage.follow();
    EXPECT_EQ(stage.broken_promise(code), "");
    stage.recover_all();
    EXPECT_EQ(stage.model(), "");
    EXPECT_EQ(stage.run().outcome, Outcome::succeeded);
    EXPECT_EQ(stage.run().exit_code, 0);
    EXPECT_EQ(stage.trouble(), "");
    if (code) {
      EXPECT_EQ(code, 0);
      return;
    }
  }
}

TEST(KilledAnywhere, WhoeverSettlesMayBeKilledAsWell) {
  for (const auto phase : {Phase::launching, Phase::connecting, Phase::syncing}) {
    for (int step = 1;; ++step) {
      ASSERT_LT(step, 300);
      SCOPED_TRACE(fmt::format("{} step {}", name(phase), step));
      Stage stage;
      stage.leave_at(phase);
      stage.kill_at(step);
      const bool lived = stage.process([](fleet::Context& here) { EXPECT_TRUE(recover_orphans(here)); });
      EXPECT_EQ(stage.broken_promise({}), "");
      stage.recover_all();
      EXPECT_EQ(stage.trouble(), "");
      EXPECT_EQ(stage.run().outcome, Outcome::lost);
      if (lived) break;
    }
  }
}

TEST(KilledAnywhere, AFollowerIsSucceededByAnotherAsOftenAsItIsKilled) {
  Stage stage;
  stage.leave_at(Phase::training);
  int lives = 0;
  for (; stage.run().phase != Phase::released; ++lives) {
    ASSERT_LT(lives, 100);
    stage.process([](fleet::Context& here) { EXPECT_TRUE(recover_orphans(here)); });
    stage.kill_at(lives + 1);  // each lives a step longer
    stage.let_followers_end();
    EXPECT_EQ(stage.broken_promise({}), "");
  }
  EXPECT_GT(lives, 5);
  EXPECT_EQ(stage.model(), "");
  EXPECT_EQ(stage.run().outcome, Outcome::succeeded);
  EXPECT_EQ(stage.trouble(), "");
}

TEST(KilledAnywhere, WhatNobodyComesBackToIsEndedByItsOwnTimer) {
  Stage stage;
  stage.leave_at(Phase::connecting);
  stage.clock.sleep(Millis(86'400'000));
  const auto machine = stage.cloud.machines().front();
  EXPECT_NE(machine.ended_ms, 0);
  EXPECT_LE(machine.ended_ms - machine.now.launched_ms, 2 * 3'600'000);
  stage.recover_all();
  EXPECT_EQ(stage.trouble(), "");
}

}  // namespace
}  // namespace ferry::run
