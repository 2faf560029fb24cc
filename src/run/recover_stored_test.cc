// A ledger that was lost, or another computer: runs whose machine is gone are known again by what the store has.
#include <gtest/gtest.h>

#include "base/text.h"
#include "run/actions.h"
#include "run/lease.h"
#include "run/stage.h"
#include "run/stored_record.h"
#include "store/keys.h"

namespace ferry::run {
namespace {

using ledger::Outcome;
using ledger::Phase;

class RecoverStored : public ::testing::Test {
 protected:
  RecoverStored() {
    stage_.give_store();
    stage_.leave_at(Phase::training, "sleep 1000");
    stage_.process([&](fleet::Context& here) { must(put_record(here, stage_.run())); });
    here_ = std::filesystem::current_path();
    std::filesystem::current_path(stage_.data());
  }
  ~RecoverStored() override { std::filesystem::current_path(here_); }

  /// Before what it had stored is put there, for until then it may store itself. The machine is gone, and so is the
  /// ledger, and the run's folder.
  void lose_all() {
    stage_.cloud.end(stage_.machine_id(), "Client.InstanceInitiatedShutdown");
    stage_.lose_ledger();
    std::filesystem::remove_all(stage_.data() / "runs");
  }
  void another_computer() { std::filesystem::remove(stage_.data() / "ledger-id"); }
  RecoverOptions options(std::vector<std::string> names = {}) const {
    return {.names = std::move(names), .owner = {}, .store = stage_.store()->uri(), .provider = "rehearsal"};
  }
  Recovered recovered(std::vector<std::string> names = {}) {
    Recovered done;
    stage_.process([&](fleet::Context& here) { done = must(recover(here, options(std::move(names)))); });
    return done;
  }
  void fetch_it() {
    stage_.process([&](fleet::Context& here) { must(fetch(here, "t-left")); });
  }

  /// Once everything is ended: what the lost ledger knew of, too.
  std::size_t left_over() {
    stage_.process([&](fleet::Context& here) { must(down_all(here, {})); });
    return stage_.cloud.left().size();
  }

  Stage stage_;
  std::filesystem::path here_;
};

TEST_F(RecoverStored, OneThatStoredEverythingIsASuccessAndItsModelComesHomeWhenItIsAskedFor) {
  lose_all();
  stage_.put_stored("t-left", "model\n", true);
  EXPECT_EQ(recovered().stored, std::vector<std::string>{"t-left"}) << stage_.everything_shown();
  EXPECT_EQ(stage_.run().outcome, Outcome::succeeded);
  EXPECT_EQ(stage_.run().exit_code, 0);
  EXPECT_TRUE(stage_.run().outputs_stored && !stage_.run().outputs_home);
  EXPECT_EQ(text_at(stage_.run().task, "run"), "sleep 1000") << "what was meant is known";
  EXPECT_EQ(stage_.followers(), 0U);
  fetch_it();
  EXPECT_EQ(stage_.model(), "");
  EXPECT_EQ(left_over(), 0U);
  EXPECT_TRUE(recovered().stored.empty()) << "it is in the ledger";
}

TEST_F(RecoverStored, OneThatDidNotIsLostAndWhatIsThereComesHome) {
  lose_all();
  stage_.put_stored("t-left", "half a model\n", false);
  EXPECT_EQ(recovered().stored, std::vector<std::string>{"t-left"});
  EXPECT_EQ(stage_.run().outcome, Outcome::lost);
  fetch_it();
  EXPECT_EQ(stage_.model(), "it is: half a model\n");
  EXPECT_EQ(left_over(), 0U);
}

TEST_F(RecoverStored, AnotherComputersIsListedAndTakenByItsName) {
  lose_all();
  stage_.put_stored("t-left", "model\n", true);
  another_computer();
  const auto listed = recovered();
  EXPECT_TRUE(listed.stored.empty());
  ASSERT_EQ(listed.stored_of_others.size(), 1U);
  EXPECT_EQ(listed.stored_of_others[0].first, "t-left");
  EXPECT_EQ(recovered({"t-left"}).stored, std::vector<std::string>{"t-left"});
  fetch_it();
  EXPECT_EQ(stage_.model(), "");
}

TEST_F(RecoverStored, OneThatAnotherComputerWorksOnIsLeftAloneUntilItIsSurelyGone) {
  ASSERT_TRUE(Lease::take(store_register(stage_.store(), "t-left"), "t-left", {"another-ledger", "ann@elsewhere"},
                          stage_.clock, [](const LeaseHolder&) { return false; }));
  lose_all();
  stage_.put_stored("t-left", "half a model\n", false);
  const auto left = recovered();
  ASSERT_EQ(left.stored_of_others.size(), 1U) << stage_.everything_shown();
  EXPECT_NE(left.stored_of_others[0].second.find("ann@elsewhere"), std::string::npos);
  EXPECT_TRUE(must(stage_.ledger().runs(false)).empty());
  const auto before = stage_.clock.now_ms();
  EXPECT_EQ(recovered({"t-left"}).stored, std::vector<std::string>{"t-left"});
  EXPECT_GE(stage_.clock.now_ms() - before, LeaseTimes().patience.count());
}

TEST_F(RecoverStored, OneThatStoredNothingIsNoLossAndIsSaidWhenItIsNamed) {
  lose_all();
  must(stage_.store()->remove_all("runs/t-left/a1/"));
  EXPECT_TRUE(recovered().stored.empty());
  stage_.process([&](fleet::Context& here) {
    const auto done = recover(here, options({"t-left"}));
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().kind, Kind::not_found);
  });
  stage_.process([&](fleet::Context& here) {
    const auto done = recover(here, options({"t-nowhere"}));
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().kind, Kind::not_found);
  });
  EXPECT_TRUE(must(stage_.ledger().runs(false)).empty());
}

TEST_F(RecoverStored, AMachineThatLivesIsTakenByItsTagsAndTheRecordTellsWhatWasMeant) {
  stage_.lose_ledger();
  EXPECT_EQ(recovered().runs, std::vector<std::string>{"t-left"}) << stage_.everything_shown();
  EXPECT_EQ(text_at(stage_.run().task, "run"), "");  // a folder's store is no tag: nothing says where the record is
  auto run = stage_.run();
  run.store = stage_.store()->uri();
  must(stage_.ledger().update(run));
  stage_.process([&](fleet::Context& here) { add_record(here, "t-left"); });
  EXPECT_EQ(text_at(stage_.run().task, "run"), "sleep 1000");
  EXPECT_EQ(stage_.run().task["ledger"], run.task["ledger"]);
}

TEST_F(RecoverStored, WhatAMachineWroteIntoItsRecordLeadsNowhere) {
  lose_all();
  stage_.put_stored("t-left", "model\n", true);
  const auto key = store::record_key("t-left");
  const auto good = parse_json(must(stage_.store()->get(key)).bytes);
  ASSERT_TRUE(good);
  for (const auto& text : {std::string("{"), std::string("[]"), std::string(),
                           std::string("{\"schema\": \"ferry.run.stored/1\"}"), std::string(2 << 20, ' ')}) {
    must(stage_.store()->put(key, text));
    stage_.process([&](fleet::Context& here) {
      const auto done = recover(here, options());
      EXPECT_TRUE(!done || done->stored.empty());
    });
    EXPECT_TRUE(must(stage_.ledger().runs(false)).empty());
  }
  auto bad = *good;
  bad["output_dir"] = "/etc", bad["workdir"] = "/", bad["infra"] = "ssh/../x", bad["task_name"] = {1};
  bad["created_ms"] = 9'000'000'000'000'000;
  bad["task"] = {{"run", {1}},
                 {"outputs", {1, "a"}},
                 {"envs", {{"A", 1}}},
                 {"host_key", "ssh-ed25519 AAAA"},
                 {"max_duration_s", 99'999'999'999},
                 {"setup", Json()},
                 {"cancel_asked_ms", 5},
                 {"ledger", "x"}};
  must(stage_.store()->put(key, dump_json(bad)));
  another_computer();
  EXPECT_EQ(recovered({"t-left"}).stored, std::vector<std::string>{"t-left"});
  const auto run = stage_.run();
  EXPECT_EQ(run.output_dir, (std::filesystem::current_path() / "runs/t-left").string());
  EXPECT_EQ(text_at(run.task, "run"), "");
  EXPECT_EQ(run.task["outputs"], Json::array());
  for (const char* gone : {"envs", "host_key", "max_duration_s", "cancel_asked_ms"})
    EXPECT_FALSE(run.task.contains(gone)) << gone;
  EXPECT_NE(text_at(run.task, "ledger"), "x");
  fetch_it();
  EXPECT_EQ(stage_.model(), "");
}

TEST_F(RecoverStored, AFerryThatIsKilledWhileItTakesOneLosesNothing) {
  lose_all();
  stage_.put_stored("t-left", "model\n", true);
  for (int step = 1;; ++step) {
    ASSERT_LT(step, 100);
    SCOPED_TRACE(fmt::format("step {}", step));
    stage_.lose_ledger();
    std::filesystem::remove_all(stage_.data() / "runs");
    stage_.kill_at(step);
    const bool lived = stage_.process([&](fleet::Context& here) { must(recover(here, options())); });
    stage_.kill_at(0);
    stage_.recover_all();
    if (must(stage_.ledger().runs(false)).empty()) recovered();
    EXPECT_EQ(stage_.run().phase, Phase::released);
    EXPECT_EQ(stage_.run().outcome, Outcome::succeeded);
    fetch_it();
    EXPECT_EQ(stage_.model(), "");
    EXPECT_EQ(left_over(), 0U);
    if (lived) break;
  }
}

}  // namespace
}  // namespace ferry::run
