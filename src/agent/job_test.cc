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
  const Seen seen = run_job(served, served.spec("echo to-out; sleep 0.05; echo to-err >&2", "echo preparing"));
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
  auto files = os::list_dir(served.dir()).value();
  files.emplace_back("notice/limits.json");
  for (const auto& name : files) {
    if (name == "sock" || os::is_directory(served.dir() / name)) continue;
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
  const Seen seen = run_job(served, served.spec("for i in $(seq 0 255); do printf \"\\\\x$(printf %02x $i)\"; done"));
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
  ASSERT_TRUE(client.start(served.spec("trap 'echo saved; exit 0' TERM; echo ready; while :; do sleep 0.01; done")));
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
  const std::string trainer = "trap 'sleep 0.2; echo saved; exit 0' TERM; echo ready; while :; do sleep 0.01; done";
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

/// What a training does that saves when it is told to end, and says so.
constexpr const char* saver_py =
    "import os, signal, sys, time\n"
    "def save(*_):\n"
    "    for part in range(5):\n"
    "        print('saving', part, flush=True)\n"
    "        time.sleep(0.1)\n"
    "    open('saved', 'w').write('all')\n"
    "    print('saved', flush=True)\n"
    "    sys.exit(0)\n"
    "signal.signal(signal.SIGTERM, save)\n"
    "open('ready', 'w').close()\n"
    "while True:\n"
    "    print('.', flush=True)\n"
    "    time.sleep(0.05)\n";

TEST(Agent, CancelEndsTheReadersOfPipesAfterTheirWriters) {
  for (const char* command :
       {"python3 st.py 2>&1 | tee log", "python3 st.py | tee log | grep -v nothing | cat > log",
        "python3 st.py | while read -r line; do echo \"$line\"; done > log",
        "while read -r line; do echo \"$line\"; done < <(python3 st.py) > log", "exec > >(tee log) 2>&1; python3 st.py",
        "out=$(python3 st.py); echo \"$out\" > log; sleep 1000",
        "python3 st.py | python3 -c 'import sys\nfor line in sys.stdin: print(line, end=\"\", flush=True)' > "
        "log",
        "mkfifo pipe; cat < pipe > log & python3 st.py > pipe"}) {
    Served served;
    ASSERT_TRUE(os::make_dirs(served.path("work")));
    ASSERT_TRUE(os::write_file(served.path("work") / "st.py", saver_py));
    auto client = served.client();
    ASSERT_TRUE(client.start(served.spec(command)));
    eventually([&] { return os::exists(served.path("work") / "ready"); });
    ASSERT_TRUE(client.cancel(Seconds(30)));
    const Seen seen = follow(client);
    ASSERT_TRUE(seen.done);
    EXPECT_EQ(seen.done->reason, "cancelled");
    EXPECT_TRUE(os::exists(served.path("work") / "saved")) << command << "\n" << seen.all;
    const auto log = os::read_file(served.path("work") / "log").value_or("");
    EXPECT_NE(log.find("saved\n"), std::string::npos) << command << "\n" << log;
    EXPECT_EQ(seen.done->note, "") << command;
    EXPECT_LT(seen.done->ended_ms - seen.done->started_ms, 20'000) << command;
  }
}

TEST(Agent, AParentAndItsWorkersThatReadFromEachOtherAreToldTogether) {
  Served served;
  ASSERT_TRUE(os::make_dirs(served.path("work")));
  ASSERT_TRUE(os::write_file(served.path("work") / "st.py",
                             "import multiprocessing as mp, os, signal, sys, time\n"
                             "def work(tasks, results):\n"
                             "    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
                             "    while True: results.put(tasks.get())\n"
                             "if __name__ == '__main__':\n"
                             "    tasks, results = mp.Queue(), mp.Queue()\n"
                             "    mp.Process(target=work, args=(tasks, results), daemon=True).start()\n"
                             "    def save(*_):\n"
                             "        open('saved', 'w').write('all')\n"
                             "        os._exit(0)\n"
                             "    signal.signal(signal.SIGTERM, save)\n"
                             "    tasks.put(1); results.get()\n"
                             "    open('ready', 'w').close()\n"
                             "    while True: time.sleep(0.05)\n"));
  auto client = served.client();
  ASSERT_TRUE(client.start(served.spec("python3 st.py")));
  eventually([&] { return os::exists(served.path("work") / "ready"); });
  ASSERT_TRUE(client.cancel(Seconds(60)));
  eventually([&] { return os::exists(served.path("work") / "saved"); });
  ASSERT_TRUE(client.cancel(Seconds(0)));
  (void)follow(client);
}

TEST(Agent, TheGracesEndIsToldWithTheNamesOfWhatWasKilled) {
  Served served;
  auto client = served.client();
  ASSERT_TRUE(client.start(served.spec("trap '' TERM; echo ready; while :; do sleep 0.05; done")));
  (void)follow_until(client, "ready");
  ASSERT_TRUE(client.cancel(Seconds(1)));
  const Seen seen = follow(client);
  ASSERT_TRUE(seen.done);
  EXPECT_NE(seen.done->note.find("after SIGTERM were not enough: killed "), std::string::npos) << seen.done->note;
  EXPECT_NE(seen.err.find("ferry: 1.0 s after SIGTERM were not enough: killed "), std::string::npos) << seen.err;
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

TEST(Agent, AStartThatIsRefusedIsToldAsAStatusAndNeverStartsLater) {
  for (const auto& spoil : std::vector<std::function<void(JobSpec&, const os::Path&)>>{
           [](JobSpec&spec, const os::Path&file) { spec.workdir = file / "below"; },
           [](JobSpec&spec, const os::Path&) {
             spec.env = {{"LARGE", std::string(140'000, 'x')}};
           },
           [](JobSpec&spec, const os::Path&) {
             spec.secrets = {{"A=B", "c"}};
           },
           [](JobSpec&spec, const os::Path&) { spec.command = "# " + std::string(5'000'000, 'x'); },
           [](JobSpec&spec, const os::Path&) {
             spec.env = {{"LATIN", "\xe9"}};
           }}) {
    Served served;
    ASSERT_TRUE(os::write_file(served.path("file"), ""));
    JobSpec spec = served.spec("echo never");
    spoil(spec, served.path("file"));
    auto client = served.client();
    const auto refused = client.start(spec);
    ASSERT_TRUE(refused) << describe(refused.error());
    EXPECT_EQ(refused->state, JobState::done);
    EXPECT_EQ(refused->reason, not_started);
    EXPECT_FALSE(refused->run_exit || refused->setup_exit || refused->run_started_ms);
    EXPECT_NE(refused->note, "");
  }
}

TEST(Agent, StartsWithNearlyTwoMegabytesOfVariables) {
  Served served;
  JobSpec spec = served.spec("/bin/true && echo started", "/bin/true");
  for (int each = 0; each < 15; ++each) spec.env.emplace_back("PART" + std::to_string(each), std::string(131'000, 'x'));
  EXPECT_EQ(run_job(served, spec).all, "started\n");
}

TEST(Agent, ARefusedStartOutlivesTheAgentAndNothingStartsAfterIt) {
  Served served;
  JobSpec spec = served.spec("echo never");
  spec.env = {{"LARGE", std::string(140'000, 'x')}};
  const auto refused = served.client().start(spec);
  ASSERT_TRUE(refused);
  EXPECT_NE(refused->note.find("Argument list too long"), std::string::npos) << refused->note;
  EXPECT_EQ(served.client().start(served.spec("echo never"))->reason, not_started);
  served.kill_agent();
  served.serve();
  auto client = served.client();
  EXPECT_EQ(follow(client).done->reason, not_started);
}

TEST(Agent, ARunThatCannotBeginAfterItsSetupHasNoExitCode) {
  Served served;
  const Seen seen = run_job(served, served.spec("echo never", "cd ..; rm -rf work; echo x > work"));
  ASSERT_TRUE(seen.done);
  EXPECT_EQ(seen.done->setup_exit, 0);
  EXPECT_FALSE(seen.done->run_exit);
  EXPECT_EQ(seen.done->run_started_ms, 0);
  EXPECT_EQ(seen.done->reason, not_started);
  EXPECT_NE(seen.done->note, "");
}

TEST(Agent, LeavesNoProcessOfTheJobBehind) {
  Served served;
  const Seen seen = run_job(served, served.spec("setsid -f sh -c 'echo $$ > away; exec sleep 1000' >/dev/null 2>&1\n"
                                                "(sleep 1000 & echo $! > near) >/dev/null 2>&1\n"
                                                "while [ ! -s away ]; do sleep 0.01; done"));
  ASSERT_TRUE(seen.done);
  for (const char* name : {"away", "near"}) {
    const pid_t pid = pid_in(served.path("work") / name);
    EXPECT_GT(pid, 0);
    EXPECT_FALSE(process_exists(pid)) << name;
  }
}

TEST(Agent, WhatIdlesInTheBackgroundHoldsNobodyUpAndIsNamed) {
  for (const char* redirected : {"", " >/dev/null 2>&1"}) {
    Served served;
    const Seen seen =
        run_job(served, served.spec("sleep 1000" + std::string(redirected) + " & echo $! > pid; echo end"));
    ASSERT_TRUE(seen.done);
    EXPECT_EQ(seen.out, "end\n");
    EXPECT_TRUE(seen.err.ends_with("ferry: stopped what still ran in the background: sleep 1000\n")) << seen.err;
    EXPECT_NE(seen.done->note.find("stopped what still ran in the background: sleep 1000"), std::string::npos);
    EXPECT_EQ(seen.done->run_exit, 0);
    EXPECT_FALSE(process_exists(pid_in(served.path("work") / "pid")));
  }
}

TEST(Agent, ASaverInTheBackgroundIsWaitedForWhileItWrites) {
  // The second opens a file for each part: only the folder changes. The third is in a session of its own.
  for (const char* saver :
       {"(for i in $(seq 12); do echo $i; sleep 0.2; done > outputs/m; mv outputs/m outputs/model) &",
        "(for i in $(seq 12); do echo $i > outputs/$i; sleep 0.2; done; echo 12 > outputs/model) &",
        "setsid -f sh -c 'for i in $(seq 12); do echo $i; sleep 0.2; done > outputs/m; "
        "mv outputs/m outputs/model' >/dev/null 2>&1"}) {
    Served served;
    const Seen seen = run_job(served, served.spec("mkdir outputs\n" + std::string(saver) + "\necho end"));
    ASSERT_TRUE(seen.done);
    EXPECT_TRUE(os::exists(served.path("work") / "outputs/model")) << saver << seen.err;
    EXPECT_EQ(seen.err.find("stopped"), std::string::npos) << seen.err;
    EXPECT_EQ(seen.done->reason, "");
  }
}

TEST(Agent, AMonitorInTheBackgroundIsWaitedForWithinALimit) {
  Served served;
  const Seen seen = run_job(served, served.spec("(while :; do echo 1; sleep 0.1; done > metrics) & echo end"));
  ASSERT_TRUE(seen.done);
  EXPECT_NE(seen.err.find("stopped what still ran in the background"), std::string::npos) << seen.err;
  EXPECT_GE(seen.done->ended_ms - seen.done->started_ms, 3'000);
}

TEST(Agent, ARunWhoseCommandHasEndedIsNotStoppedByItsLimit) {
  Served served;
  JobSpec spec = served.spec("(while :; do echo 1; sleep 0.1; done > metrics) & echo end");
  spec.max_duration_s = 1;
  const Seen seen = run_job(served, spec);
  ASSERT_TRUE(seen.done);
  EXPECT_EQ(seen.done->reason, "");
  EXPECT_EQ(seen.done->run_exit, 0);
}

TEST(Agent, AServiceThatSetupStartedLivesUntilTheRunEnds) {
  Served served;
  const Seen seen = run_job(served, served.spec("kill -0 $(cat pid) && echo alive", "sleep 1000 & echo $! > pid"));
  EXPECT_EQ(seen.all, "alive\n");
  EXPECT_FALSE(process_exists(pid_in(served.path("work") / "pid")));
}

TEST(Agent, AServiceOfSetupThatWritesOnIsNotWaitedFor) {
  Served served;
  const Seen seen =
      run_job(served, served.spec("echo end", "(while :; do echo 1 >> metrics; sleep 0.1; done) >/dev/null 2>&1 &"));
  ASSERT_TRUE(seen.done);
  EXPECT_EQ(seen.all, "end\n");
  EXPECT_EQ(seen.done->note, "");
  EXPECT_LT(seen.done->ended_ms - seen.done->run_started_ms, 5'000);
}

TEST(Agent, AWriterToAClosedPipeDiesAsItWouldInAShell) {
  Served served;
  const Seen seen = run_job(served, served.spec("yes | head -n 1; echo ${PIPESTATUS[0]}"));
  EXPECT_EQ(seen.out, "y\n141\n");
}

}  // namespace
}  // namespace ferry::agent
