// A run whose laptop is gone is gone on with by another one: from what the store has of it, and nothing else.
#include <gtest/gtest.h>

#include "base/text.h"
#include "os/env.h"
#include "run/actions.h"
#include "run/history.h"
#include "run/kept.h"
#include "run/stage.h"
#include "store/keys.h"

namespace ferry::run {
namespace {

using ledger::Outcome;
using ledger::Phase;

constexpr const char* resumable =
    "mkdir -p outputs; printf 'attempt %s resumed %s\n' \"$FERRY_ATTEMPT\" \"$FERRY_RESUMED\"; cat code.txt; "
    "[ \"$FERRY_RESUMED\" = 1 ] || exec sleep 1000; echo model >outputs/model";

class GoOnElsewhere : public ::testing::Test {
 protected:
  GoOnElsewhere() {
    stage_.give_store();
    here_ = std::filesystem::current_path();
  }
  ~GoOnElsewhere() override { std::filesystem::current_path(here_); }

  RunRequest request() {
    auto request = stage_.request(resumable);
    request.task.resources.recovery = task::Recovery{};
    must(os::write_file(request.workdir / "code.txt", "as it was sent\n"));
    return request;
  }
  /// The first computer is killed while the run trains, and gone; its machine is taken, with so much stored.
  void lose_first_computer(const std::string& model, const std::string& reason = {}) {
    stage_.when("output : attempt 1", [this, model, reason] {
      run_ = stage_.run().name;
      stage_.cloud.end(stage_.machine_id());
      stage_.put_stored(run_, model, !reason.empty(), reason);
      throw Killed();
    });
    EXPECT_FALSE(stage_.start(request()));
    stage_.lose_laptop();
    std::filesystem::current_path(stage_.data());
  }
  RecoverOptions options(GoOnQuestion may_go_on) {
    return {.names = {run_},
            .owner = {},
            .store = stage_.store()->uri(),
            .provider = "rehearsal",
            .may_go_on = std::move(may_go_on)};
  }
  Recovered recovered(GoOnQuestion may_go_on) {
    Recovered done;
    stage_.process([&](fleet::Context& here) { done = must(recover(here, options(std::move(may_go_on)))); });
    return done;
  }
  static GoOnQuestion yes() {
    return [](const std::string&) { return true; };
  }

  Stage stage_;
  std::string run_;
  os::Path here_;
};

TEST_F(GoOnElsewhere, TheNextAttemptRunsWhatTheFirstOneSentFromWhatItHadStored) {
  lose_first_computer("half a model\n");
  std::string asked;
  const auto done = recovered([&](const std::string& question) {
    asked = question;
    return true;
  });
  EXPECT_EQ(done.going_on, std::vector<std::string>{run_}) << stage_.everything_shown();
  EXPECT_NE(asked.find("mkdir -p outputs"), std::string::npos) << "who says yes sees the command: " << asked;
  EXPECT_NE(asked.find("at most $"), std::string::npos) << asked;
  EXPECT_EQ(stage_.let_followers_end(), 0) << stage_.everything_shown();
  EXPECT_EQ(stage_.run().outcome, Outcome::succeeded);
  const auto home = stage_.data() / "runs" / run_;
  EXPECT_EQ(os::read_file(home / "outputs/model").value_or(""), "model\n");
  EXPECT_NE(os::read_file(home / "train.log").value_or("").find("attempt 2 resumed 1\nas it was sent\n"),
            std::string::npos);
  const auto attempts = must(stage_.ledger().attempts(run_));
  ASSERT_EQ(attempts.size(), 2U);
  EXPECT_EQ(attempts[0].outcome, Outcome::lost) << "its end was seen from here";
  EXPECT_EQ(must(stage_.ledger().instances(run_)).size(), 2U) << "the first machine's cost is this ledger's, too";
  EXPECT_EQ(stage_.trouble(), "");
}

TEST_F(GoOnElsewhere, OneThatWasToldOfItsInterruptionAndStoredAllGoesOnToo) {
  lose_first_computer("half a model\n", std::string(agent::interrupted));
  EXPECT_EQ(recovered(yes()).going_on, std::vector<std::string>{run_}) << stage_.everything_shown();
  EXPECT_EQ(stage_.let_followers_end(), 0) << stage_.everything_shown();
  EXPECT_EQ(stage_.run().outcome, Outcome::succeeded);
  EXPECT_EQ(must(stage_.ledger().attempts(run_)).size(), 2U);
}

TEST_F(GoOnElsewhere, OneThatIsNotAgreedToIsLeftAsItIsForAnybodyElse) {
  lose_first_computer("half a model\n");
  stage_.process([&](fleet::Context& here) {
    const auto done = recover(here, options([](const std::string&) { return false; }));
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().kind, Kind::cancelled);
  });
  EXPECT_TRUE(must(stage_.ledger().runs(false)).empty());
  EXPECT_EQ(recovered(yes()).going_on, std::vector<std::string>{run_}) << "its lease was given back";
}

TEST_F(GoOnElsewhere, WithoutAQuestionItIsOverAndWhatItStoredIsKept) {
  lose_first_computer("half a model\n");
  const auto done = recovered({});
  EXPECT_TRUE(done.going_on.empty());
  EXPECT_EQ(done.stored, std::vector<std::string>{run_});
  EXPECT_EQ(stage_.run().outcome, Outcome::lost);
  EXPECT_EQ(stage_.followers(), 0U);
}

TEST_F(GoOnElsewhere, AKillAtAnyStepLeavesItToBeGoneOnWithOnce) {
  int steps = 0;
  const auto go_on_killed_at = [&](int step) {
    SCOPED_TRACE(fmt::format("step {}", step));
    Stage stage;
    stage.give_store();
    std::string run;
    stage.when("output : attempt 1", [&] {
      run = stage.run().name;
      stage.cloud.end(stage.machine_id());
      stage.put_stored(run, "half a model\n", false);
      throw Killed();
    });
    auto wanted = stage.request(resumable);
    wanted.task.resources.recovery = task::Recovery{};
    must(os::write_file(wanted.workdir / "code.txt", "as it was sent\n"));
    EXPECT_FALSE(stage.start(wanted));
    stage.lose_laptop();
    std::filesystem::current_path(stage.data());
    const RecoverOptions options{
        .names = {run}, .owner = {}, .store = stage.store()->uri(), .provider = "rehearsal", .may_go_on = yes()};
    stage.kill_at(step);
    stage.process([&](fleet::Context& here) { must(recover(here, options)); });
    steps = stage.steps();
    stage.kill_at(0);
    stage.recover_all();
    if (must(stage.ledger().runs(false)).empty()) {
      stage.process([&](fleet::Context& here) { must(recover(here, options)); });
      stage.recover_all();
    }
    EXPECT_EQ(stage.run().outcome, Outcome::succeeded) << stage.everything_shown();
    EXPECT_EQ(must(stage.ledger().attempts(run)).size(), 2U);
    EXPECT_EQ(stage.trouble(), "");
    std::filesystem::current_path(here_);
  };
  go_on_killed_at(0);
  // Most steps are looks at the lease of the computer that is gone. All of the others take minutes.
  const int all = steps, every = os::env("FERRY_CRASH_MATRIX") ? 1 : is_sanitized ? 12 : 4;
  ASSERT_GT(all, 60);
  for (int step = 1; step <= 8; step += every) go_on_killed_at(step);
  for (int step = all - 32; step <= all; step += every) go_on_killed_at(step);
}

TEST_F(GoOnElsewhere, WhatWouldMakeThisComputerDoSomethingIsNotGoneOnWith) {
  lose_first_computer("half a model\n");
  const auto key = store::history_key(run_);
  const auto good = parse_json(must(stage_.store()->get(key)).bytes);
  ASSERT_TRUE(good);
  const auto refused = [&](const std::function<void(Json & history)>& change) {
    auto bad = *good;
    change(bad);
    must(stage_.store()->put(key, dump_json(bad)));
    const auto read = read_history(*stage_.store(), run_);
    return !read || !*read || !may_go_on_here(**read);
  };
  EXPECT_FALSE(refused([](Json&) {})) << "as it was written";
  auto task = [](Json& history) -> Json& { return history["task"][kept_request]["task"]; };
  EXPECT_TRUE(refused([&](Json& it) { task(it)["aws"]["ssh_proxy"] = "sh -c 'touch /tmp/x'"; }));
  EXPECT_TRUE(refused([&](Json& it) { task(it)["aws"]["key_file"] = "~/.ssh/id_ed25519"; }));
  EXPECT_TRUE(refused([&](Json& it) { it["task"].erase("code"); })) << "then the current folder might be sent";
  EXPECT_TRUE(refused([&](Json& it) { it["task"].erase(kept_request); }));
  EXPECT_TRUE(refused([](Json& it) { it["run"] = "another"; }));
  EXPECT_TRUE(refused([](Json& it) { it["phase"] = "released"; }));
  EXPECT_TRUE(refused([](Json& it) { it["instances"][0]["hourly_micros"] = -5; }));
  EXPECT_TRUE(refused([](Json& it) { it["instances"][0]["provider"] = "ssh"; }));
  EXPECT_TRUE(refused([](Json& it) { it["instances"][0]["id"] = "i-1 i-2"; }));
  EXPECT_TRUE(refused([](Json& it) { it["attempts"][0]["n"] = 1'000'000; }));
  EXPECT_TRUE(refused([](Json& it) { it["attempts"] = "none"; }));
  auto commanded = *good;
  commanded["task"]["event_callback"] = "touch /tmp/x";
  must(stage_.store()->put(key, dump_json(commanded)));
  stage_.process([&](fleet::Context& here) {
    const auto taken = must(as_noted_here(here, ledger::Run{.name = run_}, *must(read_history(*stage_.store(), run_))));
    EXPECT_FALSE(taken.run.task.contains("event_callback"));
  });
}

TEST_F(GoOnElsewhere, APackThatIsNotWhatWasSentIsRefused) {
  lose_first_computer("half a model\n");
  const auto key = store::sent_key(run_);
  const auto good = must(stage_.store()->get(key)).bytes;
  const fleet::RunDir dir(stage_.data(), "other");
  const auto pack = stage_.data() / "pack";
  const auto unpacked = [&](const std::string& bytes) {
    must(os::write_file(pack, bytes));
    std::filesystem::remove_all(dir.path);
    return unpack_sent(dir, pack).has_value();
  };
  EXPECT_TRUE(unpacked(good));
  for (std::size_t cut = 0; cut < good.size(); cut += 7) EXPECT_FALSE(unpacked(good.substr(0, cut))) << cut;
  auto other = good;
  other.back() ^= 1;
  EXPECT_FALSE(unpacked(other)) << "a file's SHA-256";
  EXPECT_FALSE(sent_again(dir, stage_.data()));
  EXPECT_FALSE(unpacked("ferry sent 1 99999999999\n[]"));
  EXPECT_FALSE(unpacked("ferry sent 1 -1\n[]"));
  EXPECT_FALSE(unpacked("ferry sent 1 2\n{}"));
  const std::string out = "[{\"path\":\"../x\",\"type\":\"file\",\"mode\":420,\"mtime_ns\":0,\"size\":0,\"sha256\":\"" +
                          std::string(64, '0') + "\"}]";
  EXPECT_FALSE(unpacked(fmt::format("ferry sent 1 {}\n{}", out.size(), out)));
}

TEST_F(GoOnElsewhere, TheFirstComputerGoesOnFromWhatTheOtherOneDid) {
  // The first one sleeps: its process is killed, its ledger stays.
  stage_.when("output : attempt 1", [this] {
    run_ = stage_.run().name;
    stage_.cloud.end(stage_.machine_id());
    stage_.put_stored(run_, "half a model\n", false);
    throw Killed();
  });
  EXPECT_FALSE(stage_.start(request()));
  // The other one went on with it, to an attempt of its own that has ended well.
  stage_.process([&](fleet::Context& here) {
    auto history = *must(read_history(*stage_.store(), run_));
    auto second = history.tried.attempts.front();
    second.n = 2, second.phase = Phase::training, second.started_ms = stage_.clock.now_ms();
    history.tried.attempts.push_back(second);
    auto text = must(parse_json(must(stage_.store()->get(store::history_key(run_))).bytes));
    text["ledger"] = "anothers";
    auto next = text["attempts"][0];
    next["n"] = 2, next["phase"] = "launching";
    text["attempts"].push_back(next);
    auto machine = text["instances"][0];
    machine["token"] = "another-token", machine["id"] = "i-0123456789abcdef0", machine["state"] = "released";
    machine["released_ms"] = stage_.clock.now_ms();
    text["instances"].push_back(machine);
    must(stage_.store()->put(store::history_key(run_), dump_json(text)));
    (void)here;
  });
  stage_.put_stored(run_, "model\n", true, {}, 2);
  const auto rented = stage_.cloud.machines().size();
  stage_.recover_all();
  EXPECT_EQ(stage_.cloud.machines().size(), rented) << "nothing is rented for what is done\n"
                                                    << stage_.everything_shown();
  EXPECT_EQ(stage_.run().outcome, Outcome::succeeded) << stage_.everything_shown();
  EXPECT_EQ(stage_.model(), "");
  EXPECT_EQ(must(stage_.ledger().attempts(run_)).size(), 2U);
  EXPECT_EQ(must(stage_.ledger().instances(run_)).size(), 2U) << "what the other one rented is in the receipt";
}

}  // namespace
}  // namespace ferry::run
