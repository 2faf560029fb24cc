// A machine of the user's own, whose environment is made in the flight that starts the job.
#include <gtest/gtest.h>

#include "base/text.h"
#include "run/actions.h"
#include "run/stage.h"

namespace ferry::run {
namespace {

using ledger::Outcome;
using ledger::Phase;

/// How often the job began.
std::size_t times_ran(Stage& stage) {
  const auto noted = os::read_file(stage.own_machine().home() / "ran").value_or("");
  return static_cast<std::size_t>(std::ranges::count(noted, '\n'));
}

RunRequest noting_request(const Stage& stage) {
  return stage.request_on_own_machine("echo ran >>~/ran; mkdir -p outputs; echo model >outputs/model");
}

/// What ferry left there of its runs.
std::vector<std::string> left_on(Stage& stage) {
  auto left = os::list_dir(stage.own_machine().home() / ".ferry/runs").value_or(std::vector<std::string>());
  for (const auto& one : os::list_dir(stage.own_machine().home() / ".ferry/work").value_or(std::vector<std::string>()))
    left.push_back(one);
  return left;
}

TEST(OwnMachine, KilledBetweenAnyTwoStepsTheJobRanAtMostOnceAndItsModelIsHomeIfItDid) {
  bool has_ran_unheard = false;
  for (int step = 1;; ++step) {
    ASSERT_LT(step, 300);
    SCOPED_TRACE(fmt::format("step {}", step));
    Stage stage;
    stage.kill_at(step);
    const auto code = stage.start(noting_request(stage));
    if (!code) stage.recover_all();
    const auto runs = stage.ledger().runs(false);
    if (runs && runs->empty()) continue;  // it was not even noted
    const auto run = stage.run();
    EXPECT_EQ(run.phase, Phase::released);
    EXPECT_LE(times_ran(stage), 1U);
    EXPECT_EQ(run.outcome == Outcome::succeeded, stage.model().empty()) << name(run.outcome);
    EXPECT_EQ(times_ran(stage) == 1, stage.model().empty()) << stage.everything_shown();
    EXPECT_EQ(stage.trouble(), "");
    EXPECT_EQ(left_on(stage), std::vector<std::string>());
    if (run.outcome == Outcome::succeeded) {
      EXPECT_TRUE(run.task.contains("environment"));
      EXPECT_EQ(text_at(run.task["environment"], "made"), "");
    }
    has_ran_unheard = has_ran_unheard || (!code && times_ran(stage) == 1);
    if (code) break;
  }
  EXPECT_TRUE(has_ran_unheard);
}

TEST(OwnMachine, AConnectionThatBreaksAtAnyMomentIsMadeAgainAndTheJobRunsOnce) {
  for (const std::string moment : {"begin setup: looking at the environment", "begin setup: starting", "begin train"}) {
    SCOPED_TRACE(moment);
    Stage stage;
    bool is_first = true;
    stage.when(moment, [&] {
      if (std::exchange(is_first, false)) stage.own_machine().cut();
    });
    EXPECT_EQ(stage.start(noting_request(stage)), 0) << stage.everything_shown();
    EXPECT_FALSE(is_first) << stage.everything_shown();
    EXPECT_EQ(times_ran(stage), 1U);
    EXPECT_EQ(stage.model(), "");
    EXPECT_EQ(left_on(stage), std::vector<std::string>());
  }
}

}  // namespace
}  // namespace ferry::run
