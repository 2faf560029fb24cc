// What a receipt says, beside what the cloud bills: machines that never ran, that were stopped, whose ferry was
// killed.
#include <gtest/gtest.h>

#include <csignal>

#include "base/text.h"
#include "run/actions.h"
#include "run/stage.h"

namespace ferry::run::billing_test {
namespace {

using ledger::Phase;

/// Of machines alone, by the ledger.
Usd noted_cost(Stage& stage) {
  Usd sum;
  for (const auto& run : must(stage.ledger().runs(false))) {
    for (const auto& one : must(stage.ledger().instances(run.name)))
      sum = sum + ledger::bill(one, stage.clock.now_ms())->machine;
  }
  return sum;
}

/// Empty if the ledger says what the cloud bills, or at most so much more.
std::string misbilled(Stage& stage, std::int64_t seconds = 5) {
  Usd more;
  for (const auto& one : stage.cloud.machines()) more.micros += one.hourly.micros * seconds / 3600;
  const auto noted = noted_cost(stage).micros, billed = stage.cloud.cost().micros;
  if (noted >= billed && noted <= billed + more.micros) return "";
  return fmt::format("{} micro-dollars are noted, and {} billed", noted, billed) + stage.everything_shown();
}

TEST(Billing, AMachineThatIsEndedWhileItStartsCostsItsDiskOnly) {
  Stage stage;
  stage.cloud.boot = Millis(60'000);
  stage.clock.in(Millis(20'000), [] { ::raise(SIGTERM); });
  EXPECT_EQ(stage.start(stage.request()), 130) << stage.everything_shown();
  EXPECT_EQ(noted_cost(stage), Usd{}) << stage.everything_shown();
  EXPECT_EQ(stage.cloud.cost(), Usd{});
  EXPECT_EQ(stage.trouble(), "");
}

TEST(Billing, AMachineThatTheCloudEndsWhileItStartsCostsItsDiskOnly) {
  Stage stage;
  stage.cloud.boot = Millis(60'000);
  stage.clock.in(Millis(20'000), [&] { stage.cloud.end(stage.machine_id(), "Server.InsufficientInstanceCapacity"); });
  EXPECT_EQ(stage.start(stage.request()), 0) << "another zone has room" << stage.everything_shown();
  const auto machines = stage.cloud.machines();
  ASSERT_GE(machines.size(), 2U);
  EXPECT_EQ(must(stage.ledger().instances(stage.run().name)).front().running_ms, machines.front().ended_ms);
  EXPECT_EQ(misbilled(stage), "");
  EXPECT_EQ(stage.trouble(), "");
}

TEST(Billing, OneThatRanAndSwitchedItselfOffBeforeItWasLookedAtIsBilledForAMinute) {
  Stage stage;
  stage.cloud.boot = Millis(60'000);
  stage.clock.in(Millis(20'000), [&] { stage.cloud.end(stage.machine_id(), "Client.InstanceInitiatedShutdown: off"); });
  stage.start(stage.request());
  EXPECT_EQ(must(stage.ledger().instances(stage.run().name)).front().running_ms, 0);
}

TEST(Billing, HoldsWhereverAFerryWasKilled) {
  for (int step = 1;; ++step) {
    ASSERT_LT(step, 300);
    SCOPED_TRACE(fmt::format("step {}", step));
    Stage stage;
    stage.cloud.boot = Millis(90'000);
    stage.refused.assign(1, failure(Kind::denied));  // so that it ends before anything runs there
    stage.kill_at(step);
    const auto code = stage.start(stage.request());
    if (!code && stage.ledger().runs(false)->empty()) continue;
    stage.recover_all();
    // One that nobody saw begin to run is billed from its launch.
    EXPECT_EQ(misbilled(stage, 95), "");
    if (code) return;
  }
}

TEST(Billing, AStoppedMachineCostsItsDiskUntilItIsStartedAgain) {
  Stage stage;
  stage.leave_at(Phase::training);
  const auto instance = [&] { return must(stage.ledger().instances(stage.run().name)).front(); };
  stage.clock.sleep(Millis(600'000));
  stage.cloud.stop(stage.machine_id());
  stage.clock.sleep(Millis(3'600'000));
  stage.process([](fleet::Context& here) { (void)recover_orphans(here); });
  EXPECT_EQ(instance().stopped_ms, stage.clock.now_ms() - 3'600'000) << "by the cloud's clock";
  EXPECT_EQ(misbilled(stage), "");
  stage.process([&](fleet::Context& here) { EXPECT_TRUE(down(here, stage.run().name, true)); });
  EXPECT_EQ(instance().stopped_ms, 0);
  EXPECT_GE(instance().paused_ms, 3'600'000);
  EXPECT_EQ(misbilled(stage), "");
  EXPECT_EQ(stage.trouble(), "");
}

TEST(Billing, AKeptMachineThatIsStoppedIsNotedByWhoeverLooks) {
  Stage stage;
  auto request = stage.request();
  request.keep = true;
  EXPECT_EQ(stage.start(request), 0) << stage.everything_shown();
  stage.clock.sleep(Millis(600'000));
  stage.cloud.stop(stage.machine_id());
  stage.clock.sleep(Millis(600'000));
  stage.process([](fleet::Context& here) { EXPECT_TRUE(look_at_clouds(here)); });
  EXPECT_GT(must(stage.ledger().instances(stage.run().name)).front().stopped_ms, 0);
  EXPECT_EQ(misbilled(stage), "");
  stage.process([&](fleet::Context& here) { EXPECT_TRUE(down(here, stage.run().name, false)); });
  EXPECT_EQ(misbilled(stage), "");
  EXPECT_EQ(stage.trouble(), "");
}

}  // namespace
}  // namespace ferry::run::billing_test
