// What it means that a job does nothing, and the end of one that does.
#include "agent/idle.h"

#include <gtest/gtest.h>
#include <signal.h>

#include "agent/served.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/env.h"

namespace ferry::agent::idle_test {
namespace {

const Named train{7, 100}, worker{8, 101};

TEST(Idle, ALookIsBusyWhenAProcessWorkedOrSomethingWasPrinted) {
  const Activity before{.at = 10'000, .worked_ms = {{train, 5'000}}, .printed = 10};
  const auto at = [&](std::uint64_t trained, std::uint64_t printed) {
    return Activity{.at = 20'000, .worked_ms = {{train, trained}}, .printed = printed};
  };
  EXPECT_FALSE(is_busy(before, at(5'000, 10)));
  EXPECT_FALSE(is_busy(before, at(5'300, 10))) << "3 % of a core";
  EXPECT_TRUE(is_busy(before, at(5'310, 10)));
  EXPECT_TRUE(is_busy(before, at(5'000, 11)));
  EXPECT_FALSE(is_busy(before, Activity{.at = 20'000, .printed = 10})) << "all processes are gone";
}

TEST(Idle, ManyProcessesThatEachDoNearlyNothingAreQuietAndANewOneThatWorksIsNot) {
  Activity before{.at = 0}, now{.at = 10'000};
  for (int i = 0; i < 64; ++i) before.worked_ms[{i + 10, 1}] = 1'000, now.worked_ms[{i + 10, 1}] = 1'020;
  EXPECT_FALSE(is_busy(before, now));
  now.worked_ms[worker] = 400;
  EXPECT_TRUE(is_busy(before, now));
  now.worked_ms.erase(worker);
  now.worked_ms[{10, 2}] = 200;  // the number came again
  EXPECT_FALSE(is_busy(before, now));
}

TEST(Idle, WhatIsInAContainerIsKnownByItsControlGroup) {
  const std::string own = "0::/user.slice/user-1000.slice/session-3.scope\n", id(64, 'a');
  EXPECT_TRUE(is_containers("0::/system.slice/docker-" + id + ".scope\n", own));
  EXPECT_TRUE(is_containers("0::/docker/" + id + "\n", own));
  EXPECT_TRUE(is_containers("12:cpu,cpuacct:/docker/" + id + "\n1:name=systemd:/docker/" + id + "\n", own));
  EXPECT_TRUE(is_containers("0::/machine.slice/libpod-" + id + ".scope/container\n", own));
  EXPECT_FALSE(is_containers("0::/system.slice/docker.service\n", own)) << "the daemon";
  EXPECT_FALSE(is_containers("0::/system.slice/containerd.service\n", own));
  EXPECT_FALSE(is_containers(own, own));
  EXPECT_FALSE(is_containers("", own));
  const auto inside = "0::/docker/" + id + "\n";
  EXPECT_FALSE(is_containers(inside, inside)) << "this machine is a container itself";
}

TEST(Idle, TheBusiestGpuCounts) {
  EXPECT_EQ(busiest_gpu("0\n 37\n4\n"), 37);
  EXPECT_EQ(busiest_gpu("0\n"), 0);
  EXPECT_EQ(busiest_gpu("[N/A]\n"), std::nullopt);
  EXPECT_EQ(busiest_gpu("No devices were found\n"), std::nullopt);
  EXPECT_EQ(busiest_gpu("-1\n900\n"), std::nullopt);
  EXPECT_EQ(busiest_gpu(""), std::nullopt);
}

TEST(Idle, ItIsIdleAfterTheWholeTimeAndOnceTheGpusWereAskedSince) {
  EXPECT_FALSE(is_idle(10'999, 1'000, Millis(10'000), false, 0));
  EXPECT_TRUE(is_idle(11'000, 1'000, Millis(10'000), false, 0));
  EXPECT_FALSE(is_idle(11'000, 1'000, Millis(10'000), true, 900));
  EXPECT_TRUE(is_idle(11'000, 1'000, Millis(10'000), true, 9'000));
}

class IdleTest : public testing::Test {
 protected:
  /// A nvidia-smi that runs `script`.
  void have_gpus(const std::string& script) {
    const auto folder = tools_.path();
    ASSERT_TRUE(os::write_file(folder / "nvidia-smi", "#!/bin/sh\n" + script + "\n", 0755));
    path_.emplace("PATH", folder.string() + ":" + os::env("PATH").value_or("/usr/bin:/bin"));
  }
  JobSpec spec(const std::string& command, std::int64_t idle_s = 1) {
    if (!served) served.emplace();
    JobSpec out = served->spec(command);
    out.on_limit = NoticeSpec{};
    out.idle_s = idle_s;
    out.retention_s = 1;
    return out;
  }
  std::string made(const std::string& name) const {
    return os::read_file(served->path("work") / name).value_or("(missing)");
  }
  os::TempDir tools_;
  std::optional<Variable> path_;
  std::optional<Served> served;
};

TEST_F(IdleTest, ATrainingThatDoesNothingIsAskedToSaveAndEndsAndThenTheMachine) {
  const auto job = spec("trap 'cat \"$FERRY_NOTICE\" >notice; exit 0' TERM; echo ready; sleep 1000 & wait");
  const auto seen = run_job(*served, job);
  ASSERT_TRUE(seen.done);
  EXPECT_EQ(seen.done->reason, "idle");
  EXPECT_EQ(seen.done->run_exit, 0);
  const auto told = parse_json(made("notice"));
  ASSERT_TRUE(told);
  EXPECT_EQ(text_at(*told, "kind"), "limit");
  EXPECT_EQ(text_at(*told, "reason"), "idle");
  EXPECT_NE(seen.err.find("ferry: the training did nothing for"), std::string::npos) << seen.err;
  EXPECT_LE(seen.done->deadline_ms, seen.done->ended_ms) << "its limit has come";
  eventually([&] { return served->power_offs() == 1; });
}

TEST_F(IdleTest, WhatWorksOrPrintsIsNotIdle) {
  for (const char* busy : {"end=$(($(date +%s) + 4)); while [ \"$(date +%s)\" -lt $end ]; do :; done",
                           "for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.5; done",
                           "(end=$(($(date +%s) + 4)); while [ \"$(date +%s)\" -lt $end ]; do :; done) & wait"}) {
    served.reset();
    const auto job = spec(busy);
    const auto seen = run_job(*served, job);
    ASSERT_TRUE(seen.done);
    EXPECT_EQ(seen.done->reason, "") << busy;
    EXPECT_EQ(seen.done->run_exit, 0) << busy;
  }
}

TEST_F(IdleTest, AShellThatWaitsForNothingIsIdleWithoutAProcessOfTheTraining) {
  const auto job = spec("mkfifo never; (exit 3) & read -r line <never");
  const auto seen = run_job(*served, job);
  ASSERT_TRUE(seen.done);
  EXPECT_EQ(seen.done->reason, "idle");
  EXPECT_EQ(seen.done->run_exit, 128 + SIGTERM);
}

TEST_F(IdleTest, ABusyGpuKeepsItFromBeingIdleAndAQuietOneDoesNot) {
  have_gpus("[ \"$1\" = --query-gpu=utilization.gpu ] || exit 9; cat \"$(dirname \"$0\")/busy\"");
  ASSERT_TRUE(os::write_file(tools_.path() / "busy", "0\n80\n"));
  const auto job = spec("sleep 1000");
  auto client = served->client();
  ASSERT_TRUE(client.start(job));
  os::system_clock().sleep(Millis(3'000));
  ASSERT_EQ(client.status()->state, JobState::running);
  ASSERT_TRUE(os::write_file(tools_.path() / "busy", "0\n2\n"));
  const auto seen = follow(client);
  ASSERT_TRUE(seen.done);
  EXPECT_EQ(seen.done->reason, "idle");
}

TEST_F(IdleTest, WithoutALimitItMayDoNothingAsLongAsItLikes) {
  const auto job = spec("sleep 3", 0);
  const auto seen = run_job(*served, job);
  ASSERT_TRUE(seen.done);
  EXPECT_EQ(seen.done->reason, "");
}

TEST_F(IdleTest, OneThatGoesOnAndWasNotToldIsLeftAlone) {
  // Two seconds are left to save in.
  const auto job = spec(
      "until [ -e \"$FERRY_NOTICE\" ]; do sleep 0.5; done; "
      "for i in 1 2 3 4; do echo $i; sleep 0.5; done; [ ! -e \"$FERRY_NOTICE\" ] && echo gone",
      10);
  const auto seen = run_job(*served, job);
  ASSERT_TRUE(seen.done);
  EXPECT_EQ(seen.done->reason, "");
  EXPECT_NE(seen.out.find("gone"), std::string::npos) << seen.out;
  EXPECT_NE(seen.err.find("the training goes on"), std::string::npos) << seen.err;
}

TEST_F(IdleTest, MoreTimeBeginsItAnew) {
  auto job = spec(
      "told=; trap 'told=1; echo told' TERM; sleep 1000 & until [ -n \"$told\" ]; do wait; done; kill $!; "
      "while [ -e \"$FERRY_NOTICE\" ]; do sleep 0.02; done; echo gone; exit 0",
      5);
  job.power_off = false;
  auto client = served->client();
  const auto started = client.start(job);
  ASSERT_TRUE(started);
  (void)follow_until(client, "told\n");
  auto other = served->client();
  ASSERT_TRUE(other.extend({.deadline_ms = started->deadline_ms + 60'000, .retention_s = 30}));
  auto watching = served->client();
  const auto seen = follow(watching);
  ASSERT_TRUE(seen.done);
  EXPECT_NE(seen.out.find("gone"), std::string::npos) << seen.out;
  EXPECT_EQ(seen.done->reason, "");
}

TEST(GpuWatch, WhatDoesNotAnswerIsEndedAndAskedAgain) {
  const os::TempDir folder;
  const auto program = folder.path() / "nvidia-smi";
  ASSERT_TRUE(os::write_file(program, "#!/bin/sh\nexec sleep 1000\n", 0755));
  GpuWatch gpus(program);
  gpus.ask(1'000);
  ASSERT_TRUE(gpus.is_asking());
  const auto asked = gpus.processes();
  ASSERT_EQ(asked.size(), 1u);
  EXPECT_FALSE(gpus.give_up(10'999));
  EXPECT_TRUE(gpus.give_up(11'000));
  EXPECT_FALSE(gpus.is_asking());
  eventually([&] {
    reap(*asked.begin());
    return gpus.can_ask();
  });
  ASSERT_TRUE(gpus.can_ask());
  ASSERT_TRUE(os::write_file(program, "#!/bin/sh\necho 12\n", 0755));
  gpus.ask(20'000);
  std::optional<std::string> said;
  eventually([&] { return (said = gpus.read()).has_value(); });
  EXPECT_EQ(busiest_gpu(*said), 12);
}

TEST(GpuWatch, WithoutNvidiaSmiThereIsNothingToAsk) {
  GpuWatch gpus{std::nullopt};
  gpus.ask(0);
  EXPECT_FALSE(gpus.can_ask());
  EXPECT_EQ(gpus.source(), -1);
}

}  // namespace
}  // namespace ferry::agent::idle_test
