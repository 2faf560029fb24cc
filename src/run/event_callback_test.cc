// What the task's event_callback is told of a run, by whichever ferry looks after it.
#include "run/event_callback.h"

#include <gtest/gtest.h>

#include "base/text.h"
#include "run/actions.h"
#include "run/stage.h"

namespace ferry::run {
namespace {

class Callback : public ::testing::Test {
 protected:
  RunRequest request(const std::string& command = "mkdir -p outputs; echo model >outputs/model") {
    auto request = stage_.request(command);
    request.task.event_callback = "printf '%s %s %s\\n' \"$FERRY_ATTEMPT\" \"$JOB_STATUS\" \"$FERRY_STATE\" >>" +
                                  shell_quoted(heard_file().string());
    return request;
  }
  os::Path heard_file() const { return folder_.path() / "heard"; }
  std::string heard() const { return os::read_file(heard_file()).value_or(""); }
  /// Commands that nobody waited for end by themselves.
  std::string heard_in_the_end(const std::string& last) const {
    for (int i = 0; i < 400 && heard().find(last) == std::string::npos; ++i) os::system_clock().sleep(Millis(25));
    return heard();
  }

  os::TempDir folder_;
  Stage stage_;
};

TEST_F(Callback, HearsOfEachStateOnceInOrder) {
  EXPECT_EQ(stage_.start(request()), 0) << stage_.everything_shown();
  EXPECT_EQ(heard(), "1 SUBMITTED planning\n1 STARTING launching\n1 STARTED training\n1 SUCCEEDED succeeded\n");
  EXPECT_EQ(stage_.broken_promise(0), "");
}

TEST_F(Callback, HearsWhatTheTaskIsCalledAndHowItEnded) {
  auto wanted = request("exit 7");
  wanted.task.envs["LR"] = "0.1";
  wanted.task.event_callback =
      "[ $JOB_STATUS = FAILED ] && echo \"$FERRY_RUN|$SKYPILOT_TASK_ID|$JOB_ID|$CLUSTER_NAME|$TASK_NAME|"
      "$TASK_ID|$FERRY_EXIT_CODE|$LR\" >" +
      shell_quoted(heard_file().string()) + "; true";
  EXPECT_EQ(stage_.start(wanted), 7);
  const auto name = stage_.run().name;
  EXPECT_EQ(heard(), fmt::format("{0}|{0}|{0}|{0}|{1}|0|7|0.1\n", name, stage_.run().task_name));
}

TEST_F(Callback, HearsOfFurtherAttempts) {
  stage_.give_store();
  stage_.when("output : attempt 1", [this] {
    stage_.cloud.end(stage_.machine_id());
    stage_.put_stored(stage_.run().name, "half", false);
  });
  auto wanted = request(
      "echo attempt $FERRY_ATTEMPT; [ $FERRY_ATTEMPT = 2 ] || exec sleep 1000; mkdir -p outputs; echo model "
      ">outputs/model");
  wanted.task.resources.recovery = task::Recovery{};
  EXPECT_EQ(stage_.start(wanted), 0) << stage_.everything_shown();
  EXPECT_EQ(
      heard(),
      "1 SUBMITTED planning\n1 STARTING launching\n1 STARTED training\n2 RECOVERING planning\n2 RECOVERED training\n"
      "2 SUCCEEDED succeeded\n");
}

TEST_F(Callback, WhoeverGoesOnWithARunGoesOnTellingAndNothingIsToldTwice) {
  auto wanted = request();
  wanted.detach = true;
  EXPECT_EQ(stage_.start(wanted), 0);
  EXPECT_EQ(heard(), "1 SUBMITTED planning\n1 STARTING launching\n1 STARTED training\n");
  EXPECT_EQ(stage_.let_followers_end(), 0);
  EXPECT_EQ(heard(), "1 SUBMITTED planning\n1 STARTING launching\n1 STARTED training\n1 SUCCEEDED succeeded\n");
}

TEST_F(Callback, ARunThatAnotherCommandEndsIsToldOf) {
  stage_.leave_at(ledger::Phase::training, "exec sleep 1000");
  auto run = stage_.run();
  run.task[callback_command] = request().task.event_callback;
  ASSERT_TRUE(stage_.ledger().update(run));
  EXPECT_TRUE(stage_.process([&](fleet::Context& here) { EXPECT_TRUE(down(here, run.name, false)); }));
  EXPECT_EQ(heard_in_the_end("CANCELLED"), "1 CANCELLED cancelled\n");
}

TEST_F(Callback, OneThatFailsIsToldAndHarmsNothing) {
  auto wanted = request();
  wanted.task.event_callback = "echo complaint; exit 3";
  EXPECT_EQ(stage_.start(wanted), 0);
  EXPECT_TRUE(stage_.was_shown("it exited 3"));
  EXPECT_EQ(stage_.model(), "");
  const auto said = os::read_file(fleet::RunDir(stage_.context().data, stage_.run().name).path / "callback.txt");
  ASSERT_TRUE(said);
  EXPECT_NE(said->find("STARTED (attempt 1)\ncomplaint\n"), std::string::npos) << *said;
}

TEST_F(Callback, OneThatHangsKeepsNothingWaitingWhoseMachineCosts) {
  auto wanted = request();
  wanted.task.event_callback =
      "[ $JOB_STATUS = SUBMITTED ] && exec sleep 4; echo x >>" + shell_quoted(heard_file().string());
  bool was_released = false;
  stage_.when("release", [&] { was_released = heard().empty(); });
  EXPECT_EQ(stage_.start(wanted), 0);
  EXPECT_TRUE(was_released);
}

}  // namespace
}  // namespace ferry::run
