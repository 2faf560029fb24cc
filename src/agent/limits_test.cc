// Limits, the end of the machine, and what survives the agent.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include "agent/served.h"
#include "base/text.h"
#include "os/clock.h"

namespace ferry::agent {
namespace {

TEST(Agent, EndsTheJobAtItsLimitThenTheMachineAfterTheLinger) {
  Served served;
  JobSpec spec = served.spec("trap 'echo saved; exit 5' TERM; while :; do sleep 0.01; done");
  spec.max_duration_s = 1;
  spec.retention_s = 1;
  const Seen seen = run_job(served, spec);
  ASSERT_TRUE(seen.done);
  EXPECT_EQ(seen.done->reason, "max_duration");
  EXPECT_EQ(seen.done->run_exit, 5);
  EXPECT_EQ(seen.out, "saved\n");
  EXPECT_EQ(served.power_offs(), 0u);
  eventually([&] { return served.power_offs() == 1; });
  EXPECT_GE(os::system_clock().now_ms(), seen.done->deadline_ms + 1000);
}

TEST(Agent, AtTheLimitWhatIgnoresSigtermIsKilledWithAllItsChildren) {
  Served served;
  JobSpec spec = served.spec("trap '' TERM; setsid sleep 1000 & echo $!; while :; do sleep 0.05; done");
  spec.max_duration_s = 1;
  spec.power_off = false;
  const Seen seen = run_job(served, spec);
  ASSERT_TRUE(seen.done);
  EXPECT_EQ(seen.done->run_exit, 128 + SIGKILL);
  EXPECT_FALSE(process_exists(static_cast<pid_t>(parse_int(trim(seen.out)).value_or(0))));
}

TEST(Agent, AJobThatEndedByItselfKeepsTheMachineUntilTheLimit) {
  Served served;
  JobSpec spec = served.spec("true");
  spec.max_duration_s = 2;
  spec.retention_s = 0;
  const Seen seen = run_job(served, spec);
  ASSERT_TRUE(seen.done);
  EXPECT_EQ(served.power_offs(), 0u);
  eventually([&] { return served.power_offs() == 1; });
  EXPECT_GE(os::system_clock().now_ms(), seen.done->deadline_ms);
}

TEST(Agent, ReleaseEndsTheMachineAtOnce) {
  Served served;
  auto client = served.client();
  ASSERT_TRUE(client.start(served.spec("echo ready; sleep 100")));
  (void)follow_until(client, "ready");
  const auto early = client.release(true);
  ASSERT_FALSE(early);
  EXPECT_EQ(early.error().kind, Kind::conflict);
  ASSERT_TRUE(client.cancel(Seconds(0)));
  (void)follow(client);
  ASSERT_TRUE(client.release(true));
  eventually([&] { return served.power_offs() == 1; });
}

TEST(Agent, NeverEndsAMachineItMayNotEnd) {
  Served served;
  JobSpec spec = served.spec("true");
  spec.power_off = false;
  spec.max_duration_s = 1;
  (void)run_job(served, spec);
  const auto refused = served.client().release(true);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, Kind::denied);
  eventually([&] { return !served.running(); });
  EXPECT_EQ(served.power_offs(), 0u);
  served.serve();  // the result is still known
  EXPECT_EQ(served.client().status()->run_exit, 0);
}

TEST(Agent, AnAgentThatNobodyStartsEndsTheMachine) {
  Served served(Seconds(1));
  eventually([&] { return served.power_offs() == 1; });
}

TEST(Agent, AnAgentThatNobodyStartsOnlyEndsItselfIfItMayNotMore) {
  Served served(Seconds(1), false);
  eventually([&] { return !served.running(); });
  EXPECT_EQ(served.power_offs(), 0u);
}

TEST(Agent, AKilledAgentTakesItsJobAlongAndTheNextOneSaysSo) {
  Served served;
  auto client = served.client();
  ASSERT_TRUE(
      client.start(served.spec("setsid sh -c 'echo $$ > away; exec sleep 1000' & while [ ! -s away ]; do "
                               "sleep 0.01; done; echo ready; sleep 1000")));
  const Seen before = follow_until(client, "ready");
  served.kill_agent();
  EXPECT_EQ(client.status().error().kind, Kind::lost);
  served.serve();
  auto again = served.client();
  const Seen after = follow(again);
  ASSERT_TRUE(after.done);
  EXPECT_EQ(after.done->reason, "lost");
  EXPECT_EQ(after.done->note, "the agent on the machine was killed, and the training with it");
  EXPECT_FALSE(after.done->run_exit);
  EXPECT_EQ(after.all, before.all);
  const auto away = parse_int(trim(*os::read_file(served.path("work") / "away")));
  eventually([&] { return !process_exists(static_cast<pid_t>(*away)); });
}

TEST(Agent, WhoseFolderIsRemovedEndsWithItsJobWhereItMayNotEndTheMachine) {
  Served served(Seconds(1800), false);
  auto client = served.client();
  JobSpec spec = served.spec("echo $$; sleep 1000");
  spec.power_off = false;
  ASSERT_TRUE(client.start(spec));
  const Seen seen = follow_until(client, "\n");
  const auto shell = static_cast<pid_t>(parse_int(trim(seen.all)).value_or(0));
  const pid_t agent = served.pid();
  ASSERT_TRUE(process_exists(shell) && process_exists(agent));
  ASSERT_TRUE(os::remove_all(served.dir()));
  eventually([&] { return !process_exists(agent); });
  EXPECT_FALSE(process_exists(shell));
}

TEST(Agent, WithoutJobAndClientItEndsAfterAWhileWhereItMayNotEndTheMachine) {
  Served served(Seconds(1800), false);
  ::kill(served.pid(), SIGTERM);
  eventually([&] { return !served.running(); });
  served.options.idle = Millis(700);
  served.serve();
  {
    const auto client = served.client();
    os::system_clock().sleep(Millis(1500));
    EXPECT_TRUE(served.running()) << "it left a client alone";
  }
  eventually([&] { return !served.running(); });
  served.serve();
  JobSpec spec = served.spec("echo end");
  spec.retention_s = 1000;
  (void)run_job(served, spec);  // the limit is a minute away
  eventually([&] { return !served.running(); });
}

TEST(Agent, ToldToReleaseItEndsThoughClientsAreAttachedWhereItMayNotEndTheMachine) {
  Served served(Seconds(1800), false);
  auto client = served.client(), other = served.client();
  ASSERT_TRUE(other.attach(0));
  (void)run_job(served, served.spec("echo end"));
  ASSERT_TRUE(client.release(false));
  eventually([&] { return !served.running(); });
  served.serve();
  EXPECT_EQ(served.client().status()->run_exit, 0);
  Served idle(Seconds(1800), false);
  auto asked = idle.client();
  ASSERT_TRUE(asked.release(false));
  eventually([&] { return !idle.running(); });
}

TEST(Agent, AResultOutlivesTheAgent) {
  Served served;
  const Seen before = run_job(served, served.spec("echo result; exit 7"));
  served.kill_agent();
  served.serve();
  auto client = served.client();
  const Seen after = follow(client);
  EXPECT_EQ(after.all, before.all);
  EXPECT_EQ(to_json(*after.done), to_json(*before.done));
}

/// While it lives, no file of this process and of those that it starts grows beyond so many bytes: what they
/// meet is a full disk.
class SmallFiles {
 public:
  explicit SmallFiles(rlim_t most) : handler_(::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &old_);
    const rlimit small{most, old_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &small);
  }
  ~SmallFiles() {
    ::setrlimit(RLIMIT_FSIZE, &old_);
    ::signal(SIGXFSZ, handler_);
  }
  SmallFiles(const SmallFiles&) = delete;
  SmallFiles& operator=(const SmallFiles&) = delete;

 private:
  rlimit old_{};
  sighandler_t handler_;
};

TEST(Agent, OnAFullDiskTheLogComesFromMemoryAndWhatIsTooMuchForThatIsToldAtItsEnd) {
  for (const int lines : {10'000, 1'000'000}) {
    Served served;
    ::kill(served.pid(), SIGTERM);
    eventually([&] { return !served.running(); });
    {
      const SmallFiles limit(20'000);
      served.serve();
    }
    auto client = served.client();
    ASSERT_TRUE(client.start(served.spec("seq " + std::to_string(lines) + "; exit 7")));
    eventually([&] { return client.status()->state == JobState::done; });  // nobody reads
    const Seen seen = follow(client);
    ASSERT_TRUE(seen.done);
    EXPECT_EQ(seen.done->run_exit, 7);
    EXPECT_EQ(seen.all.size(), seen.done->log_size);
    EXPECT_TRUE(seen.out.starts_with("1\n2\n3\n"));
    EXPECT_TRUE(seen.out.ends_with("\n" + std::to_string(lines) + "\n"));
    if (lines == 10'000) {
      EXPECT_EQ(seen.out.size(), 48'894u);
      EXPECT_EQ(seen.done->dropped, 0u);
    } else {
      EXPECT_GT(seen.done->dropped, 5'000'000u);
      EXPECT_NE(seen.err.find("bytes of output were dropped here"), std::string::npos) << seen.err;
      EXPECT_NE(seen.err.find("the machine's disk is full"), std::string::npos) << seen.err;
    }
  }
}

TEST(Agent, AskedToEndItStopsTheJobFirst) {
  Served served;
  auto client = served.client();
  ASSERT_TRUE(client.start(served.spec("trap 'echo saved; exit 0' TERM; echo ready; while :; do sleep 0.01; done")));
  (void)follow_until(client, "ready");
  ::kill(served.pid(), SIGTERM);
  eventually([&] { return !served.running(); });
  served.serve();
  auto again = served.client();
  const Seen seen = follow(again);
  EXPECT_EQ(seen.out, "ready\nsaved\n");
  EXPECT_EQ(seen.done->reason, "stopped");
}

}  // namespace
}  // namespace ferry::agent
