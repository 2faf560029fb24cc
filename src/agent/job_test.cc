// What an agent does with a job: real processes, through a real socket.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>

#include "agent/served.h"
#include "base/text.h"
#include "os/clock.h"

namespace ferry::agent {
namespace {

pid_t pid_in(const os::Path& file) {
  const auto text = os::read_file(file);
  return text ? static_cast<pid_t>(parse_int(trim(*text)).value_or(0)) : 0;
}

TEST(Agent, RunsSetupAndThenTheRunAndKeepsTheirOutputsApart) {
  Served served;
  const Seen seen =
      run_job(served, served.spec("echo to-out; sleep 0.05; echo to-err >&2", "echo preparing"));
  ASSERT_TRUE(seen.done);
  EXPECT_EQ(seen.out, "preparing\nto-out\n");
  EXPECT_EQ(seen.err, "to-err\n");
  EXPECT_EQ(seen.all, "preparing\nto-out\nto-err\n");
  EXPECT_EQ(seen.chunks[0].phase, LogPhase::setup);
  EXPECT_EQ(seen.chunks[1].phase, LogPhase::run);
  EXPECT_EQ(seen.done->setup_exit, 0);
  EXPECT_EQ(seen.done->run_exit, 0);
  EXPECT_EQ(seen.done->reason, "");
  EXPECT_EQ(seen.done->log_size, seen.all.size());
  EXPECT_GE(seen.done->run_started_ms, seen.done->started_ms);
  EXPECT_GE(seen.done->ended_ms, seen.done->run_started_ms);
  EXPECT_EQ(seen.done->deadline_ms, seen.done->started_ms + 60'000);
}

TEST(Agent, PassesExitCodesAndSignalsOn) {
  for (const auto& [command, code] : std::vector<std::pair<std::string, int>>{
           {"exit 42", 42}, {"kill -SEGV $$", 128 + SIGSEGV}, {"no-such-program-at-all", 127}}) {
    Served served;
    const Seen seen = run_job(served, served.spec(command));
    ASSERT_TRUE(seen.done);
    EXPECT_EQ(seen.done->run_exit, code) << command;
    EXPECT_FALSE(seen.done->setup_exit);
  }
}

TEST(Agent, AFailedSetupMeansThatTheRunNeverStarts) {
  Served served;
  const Seen seen = run_job(served, served.spec("echo never", "echo no such package; exit 3"));
  ASSERT_TRUE(seen.done);
  EXPECT_EQ(seen.done->setup_exit, 3);
  EXPECT_FALSE(seen.done->run_exit);
  EXPECT_EQ(seen.all, "no such package\n");
}

TEST(Agent, GivesTheJobItsEnvironmentAndNoInputAndItsFolder) {
  Served served;
  JobSpec spec = served.spec(
      "echo \"$PLAIN|$TOKEN|$PYTHONUNBUFFERED|$FERRY_AGENT_POWEROFF|$(pwd)\"; cat; case $PATH in */sbin*) "
      "echo sbin;; esac");
  spec.env = {{"PLAIN", "a b"}};
  spec.secrets = {{"TOKEN", "hunter2 'quoted'"}};
  const Seen seen = run_job(served, spec);
  EXPECT_EQ(seen.out, "a b|hunter2 'quoted'|1||" + spec.workdir + "\nsbin\n");
}

TEST(Agent, NeverWritesASecretOrShowsItInAnArgument) {
  Served served;
  JobSpec spec = served.spec("echo ready; sleep 100");
  spec.secrets = {{"TOKEN", "hunter2hunter2"}};
  auto client = served.client();
  ASSERT_TRUE(client.start(spec));
  (void)follow_until(client, "ready");
  const auto files = os::list_dir(served.dir());
  for (const auto& name : *files) {
    if (name == "sock") continue;
    EXPECT_EQ(os::read_file(served.dir() / name)->find("hunter2"), std::string::npos) << name;
  }
  const auto processes = os::list_dir("/proc");
  for (const auto& name : *processes) {
    if (!parse_int(name)) continue;
    const auto arguments = os::read_file("/proc/" + name + "/cmdline");
    EXPECT_EQ(arguments.value_or("").find("hunter2hunter2"), std::string::npos);
  }
}

TEST(Agent, ShowsOutputAsItIsWrittenWithoutWaitingForALine) {
  Served served;
  auto client = served.client();
  ASSERT_TRUE(client.start(served.spec("printf '\\r 10%%'; read -r x < go; printf '\\r 20%%'", "mkfifo go")));
  const Seen seen = follow_until(client, "\r 10%");
  EXPECT_EQ(seen.all, "\r 10%");
  ASSERT_TRUE(os::append_file(served.path("work") / "go", "\n"));
  EXPECT_EQ(follow(client).all, "\r 10%\r 20%");
}

TEST(Agent, PassesBinaryOutputUntouched) {
  Served served;
  const Seen seen =
      run_job(served, served.spec("for i in $(seq 0 255); do printf \"\\\\x$(printf %02x $i)\"; done"));
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  EXPECT_EQ(seen.out, all);
}

TEST(Agent, RunsScriptsLongerThanAnArgumentMayBe) {
  Served served;
  const std::string filler = "# " + std::string(300'000, 'x') + "\n";
  const Seen seen = run_job(served, served.spec(filler + "echo run", filler + "echo setup"));
  EXPECT_EQ(seen.out, "setup\nrun\n");
  EXPECT_FALSE(os::exists(served.dir() / "run.sh"));
}

TEST(Agent, MovesFiftyMegabytesOfOutputInSeconds) {
  Served served;
  auto& clock = os::system_clock();
  const auto begin = clock.steady_ms();
  auto client = served.client();
  ASSERT_TRUE(client.start(served.spec("head -c 50000000 /dev/zero; echo end >&2")));
  ASSERT_TRUE(client.attach(0));
  std::uint64_t size = 0;
  for (bool done = false; !done;) {
    const auto event = client.next(Millis(15'000));
    ASSERT_TRUE(event && *event);
    if ((*event)->log) size += (*event)->log->bytes.size();
    done = (*event)->state && (*event)->state->state == JobState::done;
  }
  EXPECT_EQ(size, 50'000'004u);
  EXPECT_LT(clock.steady_ms() - begin, 20'000);
}

TEST(Agent, CancelGivesTrainingTimeToSaveItsCheckpoint) {
  Served served;
  auto client = served.client();
  ASSERT_TRUE(
      client.start(served.spec("trap 'echo saved; exit 0' TERM; echo ready; while :; do sleep 0.01; done")));
  (void)follow_until(client, "ready");
  ASSERT_TRUE(client.cancel(Seconds(30)));
  const Seen seen = follow(client);
  ASSERT_TRUE(seen.done);
  EXPECT_EQ(seen.out, "ready\nsaved\n");
  EXPECT_EQ(seen.done->reason, "cancelled");
  EXPECT_EQ(seen.done->run_exit, 0);
}

TEST(Agent, CancelWaitsForTheTrainingEvenWhenItsShellDiesFirst) {
  Served served;
  auto client = served.client();
  const std::string trainer =
      "trap 'sleep 0.2; echo saved; exit 0' TERM; echo ready; while :; do sleep 0.01; done";
  ASSERT_TRUE(client.start(served.spec("bash -c " + shell_quoted(trainer) + "; echo not reached")));
  (void)follow_until(client, "ready");
  ASSERT_TRUE(client.cancel(Seconds(30)));
  const Seen seen = follow(client);
  ASSERT_TRUE(seen.done);
  EXPECT_EQ(seen.out, "ready\nsaved\n");
  EXPECT_EQ(seen.done->run_exit, 128 + SIGTERM);
}

TEST(Agent, CancelKillsWhatIgnoresIt) {
  Served served;
  auto client = served.client();
  ASSERT_TRUE(client.start(served.spec("trap '' TERM; echo ready; while :; do sleep 0.05; done")));
  (void)follow_until(client, "ready");
  ASSERT_TRUE(client.cancel(Seconds(60)));
  ASSERT_TRUE(client.cancel(Seconds(0)));
  const Seen seen = follow(client);
  ASSERT_TRUE(seen.done);
  EXPECT_EQ(seen.done->run_exit, 128 + SIGKILL);
  EXPECT_EQ(seen.done->reason, "cancelled");
}

TEST(Agent, CancelDuringSetupEndsEverything) {
  Served served;
  auto client = served.client();
  ASSERT_TRUE(client.start(served.spec("echo never", "echo ready; sleep 100")));
  (void)follow_until(client, "ready");
  ASSERT_TRUE(client.cancel(Seconds(10)));
  const Seen seen = follow(client);
  ASSERT_TRUE(seen.done);
  EXPECT_EQ(seen.all, "ready\n");
  EXPECT_TRUE(seen.done->setup_exit);
  EXPECT_FALSE(seen.done->run_exit);
  EXPECT_EQ(seen.done->reason, "cancelled");
}

TEST(Agent, AJobCancelledBeforeItsStartNeverStarts) {
  Served served;
  auto client = served.client();
  ASSERT_TRUE(client.cancel(Seconds(1)));
  const auto started = client.start(served.spec("echo never"));
  ASSERT_TRUE(started);
  EXPECT_EQ(started->state, JobState::done);
  EXPECT_EQ(started->reason, "cancelled");
}

TEST(Agent, StartingTwiceRunsOnce) {
  Served served;
  auto client = served.client();
  ASSERT_TRUE(client.start(served.spec("echo once >> count; echo ready; sleep 100")));
  (void)follow_until(client, "ready");
  const auto again = served.client().start(served.spec("echo once >> count"));
  ASSERT_TRUE(again);
  EXPECT_EQ(again->state, JobState::running);
  EXPECT_EQ(*os::read_file(served.path("work") / "count"), "once\n");
}

TEST(Agent, AJobThatCannotStartIsAnErrorAndMayBeStartedAgain) {
  Served served;
  ASSERT_TRUE(os::write_file(served.path("file"), ""));
  JobSpec spec = served.spec("echo fine");
  spec.workdir = served.path("file") / "below";
  auto client = served.client();
  EXPECT_FALSE(client.start(spec));
  EXPECT_EQ(client.status()->state, JobState::idle);
  EXPECT_EQ(run_job(served, served.spec("echo fine")).all, "fine\n");
}

TEST(Agent, LeavesNoProcessOfTheJobBehind) {
  Served served;
  const Seen seen =
      run_job(served, served.spec("setsid -f sh -c 'echo $$ > away; exec sleep 1000' >/dev/null 2>&1\n"
                                  "(sleep 1000 & echo $! > near) >/dev/null 2>&1\n"
                                  "while [ ! -s away ]; do sleep 0.01; done"));
  ASSERT_TRUE(seen.done);
  for (const char* name : {"away", "near"}) {
    const pid_t pid = pid_in(served.path("work") / name);
    EXPECT_GT(pid, 0);
    EXPECT_FALSE(process_exists(pid)) << name;
  }
}

TEST(Agent, ABackgroundProcessThatHoldsTheOutputHoldsNobodyUp) {
  Served served;
  const Seen seen = run_job(served, served.spec("sleep 1000 & echo $! > pid; echo end"));
  ASSERT_TRUE(seen.done);
  EXPECT_EQ(seen.all, "end\n");
  EXPECT_LT(seen.done->ended_ms - seen.done->started_ms, 8'000);
  EXPECT_FALSE(process_exists(pid_in(served.path("work") / "pid")));
}

TEST(Agent, AServiceThatSetupStartedLivesUntilTheRunEnds) {
  Served served;
  const Seen seen =
      run_job(served, served.spec("kill -0 $(cat pid) && echo alive", "sleep 1000 & echo $! > pid"));
  EXPECT_EQ(seen.all, "alive\n");
  EXPECT_FALSE(process_exists(pid_in(served.path("work") / "pid")));
}

TEST(Agent, AWriterToAClosedPipeDiesAsItWouldInAShell) {
  Served served;
  const Seen seen = run_job(served, served.spec("yes | head -n 1; echo ${PIPESTATUS[0]}"));
  EXPECT_EQ(seen.out, "y\n141\n");
}

}  // namespace
}  // namespace ferry::agent
