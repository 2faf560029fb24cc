// How runs end: what each last word of an agent is called, and what ferry exits with.
#include "run/ending.h"

#include <gtest/gtest.h>

#include "run/run.h"

namespace ferry::run {
namespace {

using ledger::Outcome;

struct Case {
  const char* reason;
  std::optional<int> setup_exit, run_exit;
  Outcome outcome;  ///< with its outputs home
  int exit_code;
};

agent::JobStatus last_word(const Case& one) {
  agent::JobStatus status;
  status.state = agent::JobState::done;
  status.reason = one.reason;
  status.setup_exit = one.setup_exit;
  status.run_exit = one.run_exit;
  return status;
}

ledger::Run ended(const Case& one) {
  const auto ending = ending_of(last_word(one), Seconds(3600));
  ledger::Run run;
  run.train_end_ms = 1;
  run.outcome = ending.outcome;
  run.exit_code = ending.exit_code;
  run.error = ending.error;
  return run;
}

constexpr auto none = std::nullopt;
const std::vector<Case> cases = {
    {"", none, 0, Outcome::succeeded, 0},
    {"", 0, 0, Outcome::succeeded, 0},
    {"", none, 3, Outcome::failed, 3},
    {"", none, 137, Outcome::failed, 137},
    {"", 4, none, Outcome::failed, 4},
    {"cancelled", none, 0, Outcome::cancelled, 130},
    {"cancelled", 0, 0, Outcome::cancelled, 130},
    {"cancelled", none, none, Outcome::cancelled, 130},
    {"cancelled", 143, none, Outcome::cancelled, 143},
    {"cancelled", none, 9, Outcome::cancelled, 9},
    {"idle", none, 0, Outcome::failed, 124},
    {"idle", none, 143, Outcome::failed, 143},
    {"max_duration", none, 0, Outcome::failed, 124},
    {"max_duration", 0, none, Outcome::failed, 124},
    {"max_duration", none, 143, Outcome::failed, 143},
    {"max_duration", none, 5, Outcome::failed, 5},
    {"lost", none, none, Outcome::lost, ferry_failed},
    {"lost", 0, 0, Outcome::lost, ferry_failed},
    {"stopped", none, 0, Outcome::lost, ferry_failed},
    {"stopped", none, 143, Outcome::lost, ferry_failed},
    {"interrupted", none, 0, Outcome::lost, ferry_failed},
    {"interrupted", none, 143, Outcome::lost, ferry_failed},
    {"not_started", none, none, Outcome::not_started, ferry_failed},
    {"not_started", 0, 127, Outcome::not_started, ferry_failed},
    {"a word of a later agent", none, 0, Outcome::failed, ferry_failed},
    {"a word of a later agent", none, 2, Outcome::failed, 2},
};

TEST(Ending, OutcomeAndExitCodeAreThoseOfTheTable) {
  for (const auto& one : cases) {
    auto run = ended(one);
    run.outputs_home = true;
    run.outcome = final_outcome(run, Outcome::lost);
    const auto what = fmt::format("{} {} {}", one.reason, one.setup_exit.value_or(-1), one.run_exit.value_or(-1));
    EXPECT_EQ(name(run.outcome), name(one.outcome)) << what;
    EXPECT_EQ(exit_code_of(run), one.exit_code) << what;
    EXPECT_EQ(exit_code_of(run) == 0, run.outcome == Outcome::succeeded) << what;
    EXPECT_EQ(run.error.empty(), one.reason[0] == 0) << what;
    // What the ledger shows is what ferry exits with.
    EXPECT_EQ(exit_code_of(run), run.exit_code.value_or(ferry_failed)) << what;
  }
}

TEST(Ending, NoRunIsCalledSucceededWhoseOutputsAreNotHome) {
  for (const auto& one : cases) {
    auto run = ended(one);
    EXPECT_NE(run.outcome, Outcome::succeeded);
    EXPECT_EQ(awaits_outputs(run), one.outcome == Outcome::succeeded);
    run.outcome = final_outcome(run, Outcome::lost);
    EXPECT_NE(run.outcome, Outcome::succeeded);
    EXPECT_NE(exit_code_of(run), 0);
  }
  ledger::Run later;
  later.outcome = Outcome::not_started;
  later.task = Json::object();
  EXPECT_EQ(exit_code_of(later), ferry_failed);
  later.task[may_start_later] = true;
  EXPECT_EQ(exit_code_of(later), try_later);
  ledger::Run older;
  older.outcome = Outcome::succeeded;
  older.exit_code = 0;
  EXPECT_EQ(exit_code_of(older), ferry_failed);
  EXPECT_EQ(name(final_outcome(older, Outcome::cancelled)), "lost");
}

}  // namespace
}  // namespace ferry::run
