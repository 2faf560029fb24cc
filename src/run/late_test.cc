// A part of the workdir that the task marks as late: when it goes over, and what becomes of a run meanwhile.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <csignal>

#include "base/text.h"
#include "run/stage.h"

namespace ferry::run {
namespace {

using ledger::Outcome;

constexpr const char* waits = "begin setup: waiting for what is late";

/// The machine's late receiver (it alone runs as nice) waits until somebody writes to the fifo "gate".
constexpr const char* gated = "shift 2; case \"$*\" in *' receive '*) read go <\"$HOME/gate\";; esac; exec \"$@\"";
/// What the environment's script asks for GPUs: notes whether the late file is there, and opens the gate.
constexpr const char* opens =
    "[ -e \"$HOME/asked\" ] || { ls \"$HOME\"/ferry/*/late/part; echo go >\"$HOME/gate\"; } >\"$HOME/asked\" 2>&1; "
    "exit 1";

class Late : public ::testing::Test {
 protected:
  /// Programs of the machine, there from when it is connected to on.
  void give(const std::map<std::string, std::string>& programs) {
    stage_.when("done connect", [this, programs] {
      const auto home = stage_.machine().home();
      ASSERT_EQ(::mkfifo((home / "gate").c_str(), 0600), 0);
      for (const auto& [name, script] : programs)
        ASSERT_TRUE(os::write_file(home / "bin" / name, "#!/bin/sh\n" + script + "\n", 0700));
    });
  }
  RunRequest request(const std::string& run = "echo ran; mkdir outputs; cat late/part >outputs/model") {
    auto request = stage_.request(run);
    EXPECT_TRUE(os::make_dirs(request.workdir / "late/empty"));
    EXPECT_TRUE(os::write_file(request.workdir / "late/part", "model\n"));
    request.task.late = {"late/"};
    return request;
  }
  void expect_nothing_ran() {
    EXPECT_FALSE(stage_.was_shown("output : ran")) << stage_.everything_shown();
    EXPECT_EQ(stage_.trouble(), "");
  }

  Stage stage_;
};

TEST_F(Late, ItFollowsWhileTheEnvironmentIsMadeAndIsThereWhenTheJobStarts) {
  give({{"nice", gated}, {"nvidia-smi", opens}});
  EXPECT_EQ(stage_.start(request()), 0) << stage_.everything_shown();
  EXPECT_EQ(stage_.model(), "");
  EXPECT_TRUE(stage_.was_shown("1 file, 2 B sent; 1 file, 6 B follows")) << stage_.everything_shown();
  EXPECT_TRUE(stage_.was_shown("what is late is there: 1 file, 6 B sent")) << stage_.everything_shown();
  EXPECT_EQ(stage_.trouble(), "");
}

TEST_F(Late, TheEnvironmentIsBegunBeforeItIsThere) {
  std::string asked;
  give({{"nice", gated}, {"nvidia-smi", opens}});
  stage_.when("begin setup: starting",
              [&] { asked = os::read_file(stage_.machine().home() / "asked").value_or("nobody asked"); });
  EXPECT_EQ(stage_.start(request()), 0) << stage_.everything_shown();
  EXPECT_NE(asked.find("No such file"), asked.npos) << asked;
}

TEST_F(Late, ARunThatIsLeftIsLeftOnceItIsThere) {
  give({{"nice", gated}, {"nvidia-smi", opens}});
  auto detached = request();
  detached.detach = true;
  EXPECT_EQ(stage_.start(detached), 0) << stage_.everything_shown();
  EXPECT_TRUE(stage_.was_shown("what is late is there")) << stage_.everything_shown();
  EXPECT_EQ(stage_.let_followers_end(), 0) << stage_.everything_shown();
  EXPECT_EQ(stage_.model(), "");
  EXPECT_EQ(stage_.trouble(), "");
}

TEST_F(Late, BothPartsAreKnownForWhatWasSentAndDoNotComeHomeAsTheRunsOwn) {
  EXPECT_EQ(stage_.start(request("cat data late/part >made")), 0) << stage_.everything_shown();
  EXPECT_EQ(os::read_file(stage_.home() / "made").value_or("nothing"), "1\nmodel\n");
  EXPECT_FALSE(os::exists(stage_.home() / "data"));
  EXPECT_FALSE(os::exists(stage_.home() / "late")) << stage_.everything_shown();
  EXPECT_EQ(stage_.trouble(), "");
}

TEST_F(Late, WhatTheEnvironmentIsMadeFromIsNot) {
  auto wanted = request();
  ASSERT_TRUE(os::write_file(wanted.workdir / "requirements.txt", ""));
  wanted.task.environment.kind = "none";
  wanted.task.late = {"late/", "requirements.txt", "nothing/"};
  EXPECT_EQ(stage_.start(wanted), 0) << stage_.everything_shown();
  EXPECT_TRUE(stage_.was_shown("late: requirements.txt goes before")) << stage_.everything_shown();
  EXPECT_TRUE(stage_.was_shown("late: nothing of what is sent matches nothing/")) << stage_.everything_shown();
  EXPECT_TRUE(stage_.was_shown("1 file, 2 B sent; 1 file, 6 B follows")) << stage_.everything_shown();
}

TEST_F(Late, ACancelledRunLeavesNothingAndStartsNothing) {
  for (const char* line : {"begin setup: looking at the environment", waits}) {
    SCOPED_TRACE(line);
    give({{"nice", gated}});
    stage_.when(line, [] { ::raise(SIGINT); });
    EXPECT_EQ(stage_.start(request()), 130) << stage_.everything_shown();
    EXPECT_EQ(stage_.run().outcome, Outcome::cancelled);
    expect_nothing_ran();
  }
}

TEST_F(Late, AFailureToSendItIsTheRunsAndStartsNothing) {
  give({{"nice", "exit 3"}});
  EXPECT_EQ(stage_.start(request()), ferry_failed) << stage_.everything_shown();
  EXPECT_TRUE(stage_.was_shown("send the workdir: ")) << stage_.everything_shown();
  EXPECT_EQ(stage_.run().outcome, Outcome::not_started);
  expect_nothing_ran();
}

TEST_F(Late, AConnectionThatBreaksMeanwhileEndsTheRun) {
  give({{"nice", gated}});
  stage_.when(waits, [this] { stage_.machine().cut(); });
  EXPECT_EQ(stage_.start(request()), ferry_failed) << stage_.everything_shown();
  EXPECT_TRUE(stage_.was_shown("send the workdir: ")) << stage_.everything_shown();
  expect_nothing_ran();
}

TEST_F(Late, AFerryThatIsKilledMeanwhileLeavesAMachineThatTheNextOneGivesBack) {
  give({{"nice", gated}});
  stage_.when(waits, [] { throw Killed(); });
  EXPECT_EQ(stage_.start(request()), std::nullopt);
  EXPECT_EQ(stage_.run().phase, ledger::Phase::syncing);
  stage_.recover_all();
  expect_nothing_ran();
}

TEST_F(Late, AFurtherAttemptHasAllOfItBeforeTheEnvironment) {
  auto wanted = request(
      "echo \"attempt $FERRY_ATTEMPT\"; [ $FERRY_ATTEMPT = 2 ] || exec sleep 1000; mkdir outputs; "
      "cat late/part >outputs/model");
  wanted.task.resources.recovery = task::Recovery{};
  stage_.when("output : attempt 1", [this] { stage_.cloud.end(stage_.machine_id()); });
  EXPECT_EQ(stage_.start(wanted), 0) << stage_.everything_shown();
  EXPECT_EQ(stage_.model(), "");
  EXPECT_TRUE(stage_.was_shown("done sync: 2 files, 8 B sent")) << stage_.everything_shown();
  EXPECT_EQ(std::ranges::count_if(stage_.progress.lines,
                                  [](const std::string& line) { return line.find("is late is there") != line.npos; }),
            1);
  EXPECT_EQ(stage_.trouble(), "");
}

}  // namespace
}  // namespace ferry::run
