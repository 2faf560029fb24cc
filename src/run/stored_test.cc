// Runs that have a store: what is there counts, whatever became of the machine.
#include "run/stored.h"

#include <gtest/gtest.h>

#include <csignal>
#include <thread>

#include "base/text.h"
#include "run/actions.h"
#include "run/lease.h"
#include "run/stage.h"
#include "run/stored_record.h"

namespace ferry::run {
namespace {

using ledger::Outcome;
using ledger::Phase;

class WithStore : public ::testing::Test {
 protected:
  WithStore() { stage_.give_store(); }
  std::string run() { return stage_.run().name; }
  /// Its machine is gone, and nobody at home knows how the training went. (It stores nothing any more.)
  void lose_machine() { stage_.cloud.end(stage_.machine_id(), "Client.InstanceInitiatedShutdown"); }

  Stage stage_;
};

TEST_F(WithStore, AMachineThatStoredEverythingAndEndedItselfIsASuccess) {
  stage_.leave_at(Phase::training, "sleep 1000");
  lose_machine();
  stage_.put_stored(run(), "model\n", true);
  EXPECT_EQ(stage_.follow(), 0) << stage_.everything_shown();
  EXPECT_EQ(stage_.model(), "");
  EXPECT_EQ(stage_.broken_promise(0), "");
  EXPECT_EQ(stage_.trouble(), "");
  EXPECT_EQ(stage_.run().outcome, Outcome::succeeded);
  EXPECT_TRUE(stage_.run().outputs_home && stage_.run().outputs_stored);
  EXPECT_FALSE(stage_.was_shown("error")) << stage_.everything_shown();
}

TEST_F(WithStore, WhatALostMachineHadStoredComesHomeAndTheRunIsLost) {
  stage_.leave_at(Phase::training, "sleep 1000");
  lose_machine();
  stage_.put_stored(run(), "half a model\n", false);
  EXPECT_EQ(stage_.follow(), 125);
  EXPECT_EQ(stage_.run().outcome, Outcome::lost);
  EXPECT_EQ(stage_.model(), "it is: half a model\n");
  EXPECT_NE(stage_.run().error.find("1 file that it had stored is home"), std::string::npos) << stage_.run().error;
  EXPECT_EQ(stage_.trouble(), "");
}

TEST_F(WithStore, AManifestThatCannotBeRightSavesNothingAndLosesNothing) {
  stage_.leave_at(Phase::training, "sleep 1000");
  lose_machine();
  stage_.put_stored(run(), "model\n", true);
  const auto key = store::manifest_key(run(), 1, 0);
  auto text = must(stage_.store()->get(key)).bytes;
  text[text.size() / 2] ^= 1;
  must(stage_.store()->put(key, text));
  EXPECT_EQ(stage_.follow(), 125);
  EXPECT_EQ(stage_.run().outcome, Outcome::lost);
  EXPECT_EQ(stage_.trouble(), "");
}

TEST_F(WithStore, DownOfARunWhoseMachineIsGoneBringsWhatIsStored) {
  stage_.leave_at(Phase::training, "sleep 1000");
  lose_machine();
  stage_.put_stored(run(), "model\n", true);
  stage_.process([&](fleet::Context& here) { EXPECT_TRUE(down(here, run(), true)); });
  EXPECT_EQ(stage_.model(), "");
  EXPECT_EQ(stage_.run().outcome, Outcome::succeeded);
  EXPECT_EQ(stage_.trouble(), "");
}

TEST_F(WithStore, FetchTakesItFromTheStoreLongAfterTheMachine) {
  stage_.leave_at(Phase::training, "sleep 1000");
  lose_machine();
  stage_.put_stored(run(), "model\n", true);
  stage_.follow();
  for (const bool lost : {false, true}) {
    std::filesystem::remove_all(stage_.home());
    if (lost) {  // as when the laptop was away for so long that it could not bring them home
      auto run = stage_.run();
      run.outputs_home = false;
      must(stage_.ledger().update(run));
    }
    stage_.process([&](fleet::Context& here) { EXPECT_TRUE(fetch(here, run())); });
    EXPECT_EQ(stage_.model(), "");
    EXPECT_TRUE(stage_.run().outputs_home);
  }
}

TEST_F(WithStore, AnyFollowerMayBeKilledWhileItTakesOverWhatIsStored) {
  for (int step = 1;; step += 2) {
    ASSERT_LT(step, 300);
    SCOPED_TRACE(step);
    Stage stage;
    stage.give_store();
    stage.leave_at(Phase::training, "sleep 1000");
    stage.cloud.end(stage.machine_id(), "Client.InstanceInitiatedShutdown");
    stage.put_stored(stage.run().name, "model\n", true);
    stage.kill_at(step);
    const auto code = stage.follow();
    EXPECT_EQ(stage.broken_promise(code), "");
    stage.recover_all();
    EXPECT_EQ(stage.model(), "");
    EXPECT_EQ(stage.run().outcome, Outcome::succeeded) << stage.run().error << stage.everything_shown();
    EXPECT_EQ(stage.trouble(), "");
    if (code) {
      EXPECT_EQ(code, 0);
      return;
    }
  }
}

TEST_F(WithStore, AMachineStoresByItselfAndItsOutputsComeHomeFromThere) {
  EXPECT_EQ(stage_.start(stage_.request("mkdir outputs; echo model >outputs/model; ln -s model outputs/latest")), 0)
      << stage_.everything_shown();
  EXPECT_TRUE(stage_.is_stored(run()));
  EXPECT_EQ(stage_.model(), "");
  EXPECT_EQ(std::filesystem::read_symlink(stage_.home() / "outputs/latest"), "model");
  EXPECT_EQ(stage_.broken_promise(0), "");
  EXPECT_EQ(stage_.trouble(), "");
  EXPECT_TRUE(stage_.was_shown("done store: all outputs are in")) << stage_.everything_shown();
}

TEST_F(WithStore, AMachineEndsItselfWhenAllIsStoredThoughNobodyIsThere) {
  auto request = stage_.request("mkdir -p outputs; echo model >outputs/model; echo trained");
  request.detach = true;
  ASSERT_EQ(stage_.start(request), 0) << stage_.everything_shown();
  // Real time passes for what is real there.
  for (int i = 0; i < 600 && !stage_.cloud.left().empty() && stage_.cloud.machines().front().ended_ms == 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    (void)stage_.cloud.open("us-east-1")->whoami();  // looks at the machines
  }
  ASSERT_GT(stage_.cloud.machines().front().ended_ms, 0) << "it ended itself";
  EXPECT_TRUE(stage_.is_stored(run()));
  EXPECT_EQ(stage_.let_followers_end(), 0) << stage_.everything_shown();
  EXPECT_EQ(stage_.model(), "");
  EXPECT_EQ(os::read_file(stage_.home() / "train.log").value_or(""), "trained\n");
  EXPECT_EQ(stage_.trouble(), "");
}

TEST_F(WithStore, AFerryMayBeKilledAnywhereBeforeTheTraining) {
  for (int step = 1;; step += 2) {
    ASSERT_LT(step, 300);
    SCOPED_TRACE(step);
    Stage stage;
    stage.give_store();
    bool is_training = false, is_first = true;
    stage.when("begin train", [&] {
      is_training = is_first;
      if (is_first) throw Killed();
    });
    stage.kill_at(step);
    ASSERT_EQ(stage.start(stage.request()), std::nullopt);
    is_first = false;
    stage.recover_all();
    const auto runs = stage.ledger().runs(false);
    if (runs && runs->empty()) continue;
    EXPECT_EQ(stage.trouble(), "");
    EXPECT_EQ(stage.run().outcome == Outcome::succeeded, stage.model().empty());
    if (is_training) {
      EXPECT_EQ(stage.model(), "");
      return;
    }
  }
}

TEST_F(WithStore, AFollowerMayBeKilledAnywhereWhileItsMachineStoresAndEndsItself) {
  for (int step = 1;; step += 2) {
    ASSERT_LT(step, 300);
    SCOPED_TRACE(step);
    Stage stage;
    stage.give_store();
    stage.leave_at(Phase::training);
    stage.kill_at(step);
    const auto code = stage.follow();
    EXPECT_EQ(stage.broken_promise(code), "");
    stage.recover_all();
    EXPECT_EQ(stage.model(), "");
    EXPECT_EQ(stage.run().outcome, Outcome::succeeded);
    EXPECT_EQ(stage.trouble(), "");
    if (code) {
      EXPECT_EQ(code, 0);
      return;
    }
  }
}

TEST_F(WithStore, AnotherComputersRunIsLeftAloneUntilItHasNotShownItself) {
  stage_.leave_at(Phase::training, "sleep 1000");
  const auto other = Lease::take(store_register(stage_.store(), run()), run(), {"another-ledger", "ann@elsewhere"},
                                 stage_.clock, [](const LeaseHolder&) { return false; });
  ASSERT_TRUE(other);
  bool is_asked = false;
  stage_.clock.in(Millis(10'000), [&] { is_asked = ::kill(::getpid(), SIGTERM) == 0; });
  EXPECT_EQ(stage_.follow(), 125) << "whoever wants to end it is told whose it is";
  EXPECT_TRUE(is_asked);
  EXPECT_TRUE(stage_.was_shown("ann@elsewhere works on")) << stage_.everything_shown();
  EXPECT_EQ(stage_.cloud.left().size(), 3U) << "nothing was released";
  lose_machine();
  stage_.put_stored(run(), "model\n", true);
  EXPECT_EQ(stage_.follow(), 0) << stage_.everything_shown();
  EXPECT_EQ(stage_.model(), "");
}

TEST_F(WithStore, AnotherRunOfThatNameThereIsToldAndNotTakenForThisOne) {
  ledger::Run mine;
  mine.name = "t-abc";
  mine.infra = "rehearsal";
  mine.store = "(the stage's)";
  mine.created_ms = 1;
  auto anothers = mine;
  anothers.created_ms = 2;
  stage_.process([&](fleet::Context& here) {
    EXPECT_TRUE(put_record(here, mine));
    EXPECT_TRUE(put_record(here, mine)) << "its answer was lost";
    const auto refused = put_record(here, anothers);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().kind, Kind::exists);
  });
}

TEST(StoredMeanwhile, AMachineThatStoresTheRestAndEndsWhileItIsFetchedFromIsASuccess) {
  Stage stage;
  stage.leave_at(Phase::fetching);
  stage.give_store();  // of which its agent says nothing: it is fetched from
  auto run = stage.run();
  run.store = "(the stage's)";
  must(stage.ledger().update(run));
  stage.when("begin fetch", [&] {
    stage.cloud.end(stage.machine_id(), "Client.InstanceInitiatedShutdown");
    stage.put_stored(run.name, "model\n", true);
  });
  EXPECT_EQ(stage.follow(), 0) << stage.everything_shown();
  EXPECT_EQ(stage.model(), "");
  EXPECT_EQ(stage.run().outcome, Outcome::succeeded);
  EXPECT_EQ(stage.trouble(), "");
}

TEST_F(WithStore, AStoreThatCannotBeUsedIsToldBeforeAnythingIsRented) {
  std::filesystem::create_directories(stage_.data());
  must(os::write_file(stage_.data().parent_path() / "store", "no folder"));
  EXPECT_NE(stage_.start(stage_.request()), 0);
  EXPECT_EQ(stage_.cloud.count("launch"), 0);
  EXPECT_TRUE(stage_.was_shown("--store none")) << stage_.everything_shown();
  EXPECT_EQ(stage_.run().outcome, Outcome::not_started);
}

}  // namespace
}  // namespace ferry::run
