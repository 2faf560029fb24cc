// Agents that do not answer although ssh does: what is on the machine comes home without them.
#include <gtest/gtest.h>

#include <csignal>

#include "job/repeats.h"
#include "run/actions.h"
#include "run/stage.h"

namespace ferry::run {
namespace {

using ledger::Outcome;
using ledger::Phase;

constexpr const char* saves_and_ends = "mkdir -p outputs; echo model >outputs/model; echo one";
constexpr const char* saves_and_goes_on =
    "mkdir -p outputs; echo model >outputs/.part; mv outputs/.part outputs/model; while :; do sleep 0.05; "
    "done";

os::Path agents_folder(Stage& stage) { return stage.machine().home() / ".ferry/runs" / stage.run().name; }

void wait_for(const std::function<bool()>& condition) {
  while (!condition()) std::this_thread::yield();
}

void wait_for_note(Stage& stage, const std::string& wanted) {
  wait_for([&] {
    return os::read_file(agents_folder(stage) / "state.json").value_or("").find(wanted) != std::string::npos;
  });
}

/// Kills the agent. Another one can be started unless `for_good`.
void kill_agent(Stage& stage, bool for_good) {
  const auto folder = agents_folder(stage);
  ASSERT_TRUE(stage.machine().kill_agent(stage.run().name));
  std::filesystem::remove(folder / "lock");
  if (!for_good) return;
  ASSERT_TRUE(os::make_dirs(folder / "lock/in-the-way"));
}

TEST(UnheardAgent, OutputsAreFetchedWithoutIt) {
  Stage stage;
  stage.leave_at(Phase::fetching, saves_and_ends);
  kill_agent(stage, true);
  stage.process([&](fleet::Context& here) {
    const auto fetched = fetch(here, stage.run().name);
    ASSERT_TRUE(fetched) << describe(fetched.error());
    EXPECT_EQ(fetched->made(), 1U);
  });
  EXPECT_EQ(stage.model(), "");
  EXPECT_EQ(stage.cloud.machines().front().ended_ms, 0);
  std::filesystem::remove_all(stage.home());
  stage.follow();
  EXPECT_EQ(stage.model(), "") << stage.everything_shown();
  EXPECT_EQ(stage.trouble(), "");
}

TEST(UnheardAgent, DownBringsHomeWhatThereIsAndSaysThatNothingCouldBeStopped) {
  Stage stage;
  stage.leave_at(Phase::training, saves_and_goes_on);
  wait_for([&] { return os::exists(stage.machine().home() / "ferry" / stage.run().name / "outputs/model"); });
  kill_agent(stage, true);
  stage.process([&](fleet::Context& here) {
    const auto ended = down(here, stage.run().name, true);
    EXPECT_TRUE(ended) << describe(ended.error());
  });
  EXPECT_EQ(stage.model(), "") << stage.everything_shown();
  EXPECT_TRUE(stage.was_shown("could not be stopped")) << stage.everything_shown();
  EXPECT_EQ(stage.trouble(), "");
}

TEST(UnheardAgent, ATrainingThatItNotedAsDoneIsOver) {
  Stage stage;
  stage.leave_at(Phase::training, std::string(saves_and_ends) + "; exit 4");
  wait_for_note(stage, "\"done\"");
  kill_agent(stage, true);
  EXPECT_EQ(stage.follow(), 4) << stage.everything_shown();
  EXPECT_EQ(stage.run().outcome, Outcome::failed);
  EXPECT_EQ(stage.model(), "");
  EXPECT_TRUE(stage.was_shown("the agent on the machine does not answer")) << stage.everything_shown();
  EXPECT_EQ(stage.trouble(), "");
}

TEST(UnheardAgent, OneThatMayGoOnIsWaitedForAndToldAtGrowingDistances) {
  Stage stage;
  stage.leave_at(Phase::training, saves_and_goes_on);
  wait_for([&] { return os::exists(stage.machine().home() / "ferry" / stage.run().name / "outputs/model"); });
  kill_agent(stage, true);
  stage.when("(for the 4th time)", [] { ::raise(SIGTERM); });
  EXPECT_EQ(stage.follow(), 130) << stage.everything_shown();
  EXPECT_EQ(stage.run().outcome, Outcome::cancelled);
  EXPECT_EQ(stage.model(), "");
  EXPECT_EQ(std::ranges::count_if(stage.progress.lines,
                                  [](const auto& line) { return line.find("asking again") != line.npos; }),
            3)
      << stage.everything_shown();
  EXPECT_TRUE(stage.was_shown("cannot be asked to stop")) << stage.everything_shown();
  EXPECT_EQ(stage.trouble(), "");
}

TEST(UnheardAgent, PastTheLimitWhatThereIsComesHome) {
  Stage stage;
  stage.leave_at(Phase::training, saves_and_goes_on);
  wait_for([&] { return os::exists(stage.machine().home() / "ferry" / stage.run().name / "outputs/model"); });
  kill_agent(stage, true);
  stage.when("begin train", [&] { stage.clock.sleep(Millis(3'600'000 + 400'000)); });
  EXPECT_EQ(stage.follow(), 124) << stage.everything_shown();
  EXPECT_EQ(stage.run().outcome, Outcome::failed);
  EXPECT_EQ(stage.model(), "");
  EXPECT_EQ(stage.trouble(), "");
}

TEST(UnheardAgent, OneThatForgotTheTrainingIsNotBelievedThatNothingRan) {
  for (const bool workdir_is_there : {true, false}) {
    Stage stage;
    stage.leave_at(Phase::training, saves_and_ends);
    wait_for_note(stage, "\"done\"");
    kill_agent(stage, false);
    std::filesystem::remove_all(agents_folder(stage));
    if (!workdir_is_there) std::filesystem::remove_all(stage.machine().home() / "ferry" / stage.run().name);
    EXPECT_EQ(stage.follow(), ferry_failed) << stage.everything_shown();
    EXPECT_EQ(stage.run().outcome, workdir_is_there ? Outcome::lost : Outcome::not_started);
    EXPECT_EQ(stage.run().train_start_ms > 0, workdir_is_there) << "what did not start has no start";
    EXPECT_EQ(stage.model().empty(), workdir_is_there) << stage.everything_shown();
    EXPECT_EQ(stage.trouble(), "");
  }
}

TEST(UnheardAgent, TheSameTroubleIsToldTheFirstTimeAndThenMoreAndMoreSeldom) {
  job::Repeats repeats;
  std::string told;
  for (int i = 0; i < 9; ++i) told += repeats.tell("a") + "|";
  EXPECT_EQ(told, "a|a (for the 2nd time)||a (for the 4th time)||||a (for the 8th time)||");
  EXPECT_EQ(repeats.tell("b"), "b");
  repeats.clear();
  EXPECT_EQ(repeats.tell("a"), "a");
}

}  // namespace
}  // namespace ferry::run
