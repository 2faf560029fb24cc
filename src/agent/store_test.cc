// A run with a store, with the agent's real program: what is stored when what ends how.
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>

#include <random>

#include "agent/served.h"
#include "agent/tree.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/env.h"
#include "store/manifest.h"

namespace ferry::agent {
namespace {

using State = StoreStatus::State;

class StoreTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!os::env("FERRY_AGENT")) GTEST_SKIP() << "FERRY_AGENT is not set";
    // What the store has when the machine is powered off is kept beside.
    const os::Path hook = served.path("power-off");
    ASSERT_TRUE(os::write_file(hook,
                               "#!/bin/sh\ncp '" + key("manifest.json") + "' '" + served.path("at-the-end").string() +
                                   "'\necho off >> '" + served.path("offs").string() + "'\n",
                               0755));
  }

  std::string key(const std::string& name) const { return served.path("store/runs/digits-7k2/a1/r0/" + name).string(); }
  JobSpec spec(const std::string& command, const std::string& setup = {}) const {
    JobSpec out = served.spec(command, setup);
    out.store = {.uri = served.path("store"), .checkpoints = {"ckpt/"}, .every_s = 1};
    return out;
  }
  store::Manifest manifest() const {
    const auto text = os::read_file(key("manifest.json"));
    return text ? store::parse_manifest(*text).value_or(store::Manifest()) : store::Manifest();
  }
  std::string stored(const std::string& path) const {
    for (const auto& entry : manifest().entries) {
      if (entry.path == path) return os::read_file(served.path("store") / entry.key).value_or("(missing)");
    }
    return "(not named)";
  }
  std::optional<store::Manifest> at_the_end() const {
    const auto text = os::read_file(served.path("at-the-end"));
    const auto parsed = text ? store::parse_manifest(*text) : Result<store::Manifest>(fail(Kind::not_found, ""));
    return parsed ? std::optional(*parsed) : std::nullopt;
  }
  /// Of the agent, but for the job's.
  pid_t store_process() {
    for (const pid_t pid : family_of(served.pid())) {
      if (command_line(pid).find(" store ") != std::string::npos) return pid;
    }
    return 0;
  }
  /// On a slow computer, too.
  void patiently(const std::function<bool()>& condition) {
    const auto end = os::system_clock().steady_ms() + 60'000;
    while (!condition() && os::system_clock().steady_ms() < end) os::system_clock().sleep(Millis(10));
    EXPECT_TRUE(condition());
  }
  StoreStatus wait_for(Client& client, State state) {
    StoreStatus store;
    patiently([&] {
      store = client.status().value_or(JobStatus()).store;
      return store.state == state;
    });
    return store;
  }

  Served served;
};

TEST_F(StoreTest, WhatTheRunSavesIsStoredWhileItGoesOn) {
  auto client = served.client();
  const auto started =
      client.start(spec("mkdir -p outputs ckpt; echo one > outputs/a; echo two > ckpt/b; echo said; sleep 100"));
  ASSERT_TRUE(started);
  EXPECT_EQ(started->store.state, State::storing);
  patiently([&] { return stored("ckpt/b") == "two\n" && stored("outputs/a") == "one\n"; });
  EXPECT_FALSE(manifest().complete);
  patiently([&] { return client.status()->store.files == 2; });
  EXPECT_EQ(client.status()->store.bytes, 8u);
  EXPECT_GT(client.status()->store.stored_ms, 0);
  ASSERT_TRUE(client.cancel(Seconds(0)));
}

TEST_F(StoreTest, TheMachineEndsItselfWhenAllIsStoredAndNotBefore) {
  auto client = served.client();
  ASSERT_TRUE(client.start(spec("mkdir outputs; head -c 3000000 /dev/zero > outputs/model; echo done")));
  patiently([&] { return served.power_offs() == 1; });
  const auto there = at_the_end();
  ASSERT_TRUE(there);
  EXPECT_TRUE(there->complete);
  EXPECT_EQ(stored("outputs/model").size(), 3'000'000u);
  const auto end = status_from(*parse_json(stored("end.json")));
  ASSERT_TRUE(end);
  EXPECT_EQ(end->run_exit, 0);
  EXPECT_EQ(client.status()->store.state, State::stored);
}

TEST_F(StoreTest, AnAttachedClientHearsOfItBeforeTheMachineGoes) {
  auto client = served.client();
  ASSERT_TRUE(client.start(spec("mkdir outputs; echo x > outputs/x")));
  ASSERT_TRUE(client.attach(0));
  bool heard = false;
  while (!heard) {
    const auto event = client.next(Millis(15'000));
    ASSERT_TRUE(event && *event);
    heard = (*event)->state && (*event)->state->store.state == State::stored;
  }
  EXPECT_EQ(served.power_offs(), 0u);
  patiently([&] { return served.power_offs() == 1; });
}

TEST_F(StoreTest, ACancelledRunIsStoredTheSameWay) {
  auto client = served.client();
  ASSERT_TRUE(client.start(spec("mkdir outputs; echo x > outputs/x; echo ready; sleep 100")));
  (void)follow_until(client, "ready");
  ASSERT_TRUE(client.cancel(Seconds(0)));
  patiently([&] { return served.power_offs() == 1; });
  EXPECT_TRUE(at_the_end()->complete);
  EXPECT_EQ(stored("outputs/x"), "x\n");
}

TEST_F(StoreTest, AMachineThatMayNotBeEndedStays) {
  JobSpec mine = spec("mkdir outputs; echo x > outputs/x");
  mine.power_off = false;
  auto client = served.client();
  ASSERT_TRUE(client.start(mine));
  wait_for(client, State::stored);
  os::system_clock().sleep(served.options.farewell * 2);
  EXPECT_EQ(served.power_offs(), 0u);
  EXPECT_TRUE(served.running());
}

TEST_F(StoreTest, WhereItCannotBeStoredTheMachineWaitsAsWithoutAStore) {
  ASSERT_TRUE(os::write_file(served.path("store"), "a file where the folder should be"));
  JobSpec doomed = spec("mkdir outputs; echo x > outputs/x");
  doomed.max_duration_s = 4;
  auto client = served.client();
  ASSERT_TRUE(client.start(doomed));
  const auto store = wait_for(client, State::failed);
  EXPECT_NE(store.problem.find("no folder"), std::string::npos) << store.problem;
  EXPECT_EQ(served.power_offs(), 0u);
  patiently([&] { return served.power_offs() >= 1; });
  EXPECT_GE(os::system_clock().now_ms(), client.status()->deadline_ms);
}

TEST_F(StoreTest, AReleaseEndsTheStoresProcess) {
  JobSpec kept = spec("mkdir outputs; echo x > outputs/x; echo ready; sleep 100");
  auto client = served.client();
  ASSERT_TRUE(client.start(kept));
  (void)follow_until(client, "ready");
  patiently([&] { return store_process() > 0; });
  const pid_t process = store_process();
  ASSERT_TRUE(client.cancel(Seconds(0)));
  (void)follow(client);
  ASSERT_TRUE(client.release(false));
  patiently([&] { return !process_exists(process); });
  os::system_clock().sleep(Millis(1200));  // longer than the pause before one that died is started again
  EXPECT_EQ(store_process(), 0);
  EXPECT_EQ(served.power_offs(), 0u);
}

TEST_F(StoreTest, TheJobsEndDoesNotTakeTheStoresProcessAlong) {
  auto client = served.client();
  ASSERT_TRUE(client.start(spec("trap '' TERM; setsid sleep 100 & echo ready; while :; do sleep 0.1; done")));
  (void)follow_until(client, "ready");
  patiently([&] { return store_process() > 0; });
  const pid_t process = store_process();
  ASSERT_TRUE(client.cancel(Seconds(0)));
  const auto seen = follow(client);
  EXPECT_TRUE(process_exists(process) || manifest().complete);
  EXPECT_EQ(seen.all.find("ferry-agent store"), std::string::npos) << seen.all;
}

TEST_F(StoreTest, AStoresProcessThatIsKilledAgainAndAgainStoresAll) {
  auto client = served.client();
  ASSERT_TRUE(client.start(spec("mkdir outputs; for i in $(seq 40); do echo $i > outputs/$i; sleep 0.05; done")));
  std::mt19937 random(7);
  for (int kills = 0; kills < 2;) {
    if (const pid_t process = store_process(); process > 0) {
      os::system_clock().sleep(Millis(random() % 300));
      ::kill(process, SIGKILL);
      ++kills;
    }
    os::system_clock().sleep(Millis(50));
  }
  patiently([&] { return served.power_offs() == 1; });
  EXPECT_TRUE(at_the_end()->complete);
  for (int i = 1; i <= 40; ++i) EXPECT_EQ(stored("outputs/" + std::to_string(i)), std::to_string(i) + "\n");
}

TEST_F(StoreTest, WhatALostRunHadSavedIsStoredByTheAgentThatComesAfter) {
  auto client = served.client();
  ASSERT_TRUE(client.start(spec("mkdir outputs; head -c 2000000 /dev/zero > outputs/saved; echo ready; sleep 100")));
  (void)follow_until(client, "ready");
  served.kill_agent();
  patiently([&] { return !os::is_locked(served.dir() / "store.lock"); });  // it does not outlive its supervisor
  served.serve();
  auto again = served.client();
  wait_for(again, State::stored);
  EXPECT_EQ(again.status()->reason, "lost");
  EXPECT_TRUE(manifest().complete);
  EXPECT_EQ(stored("outputs/saved").size(), 2'000'000u);
}

TEST_F(StoreTest, AnAgentThatIsKilledWhileItStoresIsFollowedByOneThatGoesOn) {
  JobSpec many = spec("mkdir outputs; for i in $(seq 300); do echo $i > outputs/$i; done");
  many.power_off = false;
  {
    auto client = served.client();
    ASSERT_TRUE(client.start(many));
    patiently([&] { return client.status().value_or(JobStatus()).state == JobState::done; });
  }
  std::mt19937 random(11);
  for (int kills = 0; kills < 2; ++kills) {
    os::system_clock().sleep(Millis(random() % 200));
    served.kill_agent();
    served.serve();
  }
  auto client = served.client();
  wait_for(client, State::stored);
  EXPECT_TRUE(manifest().complete);
  for (int i = 1; i <= 300; ++i) EXPECT_EQ(stored("outputs/" + std::to_string(i)), std::to_string(i) + "\n");
}

TEST_F(StoreTest, AnAgentThatIsAskedToEndStillStoresWhatThereIs) {
  auto client = served.client();
  ASSERT_TRUE(
      client.start(spec("trap 'echo saved > outputs/last; exit 3' TERM; mkdir outputs; echo ready; "
                        "while :; do sleep 0.05; done")));
  (void)follow_until(client, "ready");
  patiently([&] { return store_process() > 0; });
  ::kill(store_process(), SIGTERM);  // as a shutdown tells everybody
  ::kill(served.pid(), SIGTERM);
  patiently([&] { return !served.running(); });
  EXPECT_TRUE(manifest().complete);
  EXPECT_EQ(stored("outputs/last"), "saved\n");
}

}  // namespace
}  // namespace ferry::agent
