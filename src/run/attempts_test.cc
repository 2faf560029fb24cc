// Runs that are tried more than once: when another attempt begins, with what, and what it may cost.
#include <gtest/gtest.h>

#include <csignal>

#include "base/text.h"
#include "run/actions.h"
#include "run/kept.h"
#include "run/stage.h"

namespace ferry::run {
namespace {

using ledger::Outcome;
using ledger::Phase;

/// Saves a step, and trains on where there is none yet; with one it goes on from there to the model.
constexpr const char* resumable =
    "mkdir -p outputs; printf 'attempt %s resumed %s\n' \"$FERRY_ATTEMPT\" \"$FERRY_RESUMED\"; "
    "[ \"$FERRY_RESUMED\" = 1 ] || exec sleep 1000; "
    "printf 'had %s\n' \"$(cat outputs/model)\"; echo model >outputs/model";

class Attempts : public ::testing::Test {
 protected:
  Attempts() {
    stage_.cloud.refuse = [this](const cloud::LaunchRequest&) -> std::optional<Error> {
      for (const auto& one : stage_.cloud.machines()) {
        EXPECT_NE(one.now.state, cloud::State::running) << "a second machine beside " << one.now.id;
        EXPECT_NE(one.now.state, cloud::State::pending) << "a second machine beside " << one.now.id;
      }
      return std::nullopt;
    };
  }

  RunRequest request(const std::string& command = resumable) {
    auto request = stage_.request(command);
    request.task.resources.recovery = task::Recovery{};
    return request;
  }
  /// While it trains the cloud takes its machine, which had stored so much.
  void take_machine_that_stored(const std::string& model) {
    stage_.give_store();
    stage_.when("output : attempt 1", [this, model] {
      stage_.cloud.end(stage_.machine_id());
      stage_.put_stored(stage_.run().name, model, false);
    });
  }
  std::vector<ledger::Attempt> attempts() { return must(stage_.ledger().attempts(stage_.run().name)); }
  std::string log() { return os::read_file(stage_.home() / "train.log").value_or(""); }
  void expect_well(std::optional<int> code) {
    EXPECT_EQ(stage_.broken_promise(code), "");
    EXPECT_EQ(stage_.trouble(), "");
  }

  Stage stage_;
};

TEST_F(Attempts, ATrainingThatItsMachineIsTakenFromGoesOnOnAnotherFromWhatItHadSaved) {
  take_machine_that_stored("half a model\n");
  EXPECT_EQ(stage_.start(request()), 0) << stage_.everything_shown();
  EXPECT_EQ(stage_.run().outcome, Outcome::succeeded);
  EXPECT_EQ(stage_.model(), "");
  EXPECT_EQ(log(), "attempt 1 resumed 0\nattempt 2 resumed 1\nhad half a model\n");
  const auto all = attempts();
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].outcome, Outcome::lost);
  EXPECT_NE(all[0].reason.find("Server.SpotInstanceTermination"), std::string::npos) << all[0].reason;
  EXPECT_GT(all[0].ended_ms, 0);
  EXPECT_EQ(all[1].outcome, Outcome::succeeded);
  EXPECT_EQ(all[1].resumed_from, stage_.request().task.store);
  EXPECT_EQ(must(stage_.ledger().nodes(stage_.run().name)).size(), 2U);
  expect_well(0);
}

TEST_F(Attempts, WhatAnInterruptedOneHadStoredBeforeItEndedItselfIsGoneOnFrom) {
  for (const bool is_followed : {true, false}) {
    SCOPED_TRACE(is_followed);
    Stage stage;
    stage.give_store();
    auto wanted = stage.request(resumable);
    wanted.task.resources.recovery = task::Recovery{};
    const auto take = [&] {
      stage.cloud.end(stage.machine_id(), "Client.InstanceInitiatedShutdown: …");
      stage.put_stored(stage.run().name, "half a model\n", true, "interrupted");
    };
    wanted.detach = !is_followed;
    if (is_followed) stage.when("output : attempt 1", take);
    EXPECT_EQ(stage.start(wanted), 0) << stage.everything_shown();
    if (!is_followed) take();
    stage.recover_all();
    EXPECT_EQ(stage.run().outcome, Outcome::succeeded) << stage.everything_shown();
    const auto text = os::read_file(stage.home() / "train.log").value_or("");
    EXPECT_NE(text.find("attempt 2 resumed 1\nhad half a model\n"), text.npos) << stage.everything_shown();
    EXPECT_EQ(must(stage.ledger().attempts(stage.run().name)).size(), 2U);
    EXPECT_EQ(stage.trouble(), "");
  }
}

TEST_F(Attempts, TheLogOfAllAttemptsIsShownOneBehindTheOther) {
  take_machine_that_stored("half a model\n");
  EXPECT_EQ(stage_.start(request()), 0);
  std::string shown;
  stage_.process([&](fleet::Context& here) {
    const auto take = [&](std::string_view bytes, bool, std::int64_t) {
      shown += bytes;
      return Status();
    };
    EXPECT_TRUE(logs(here, stage_.run().name, false, take, {}));
  });
  EXPECT_EQ(shown, "attempt 1 resumed 0\nattempt 2 resumed 1\nhad half a model\n");
}

TEST_F(Attempts, WithoutRecoveryATrainingThatItsMachineIsTakenFromIsLost) {
  for (const bool is_said : {false, true}) {
    SCOPED_TRACE(is_said);
    Stage stage;
    stage.when("begin train", [&] { stage.cloud.end(stage.machine_id()); });
    auto request = stage.request("exec sleep 1000");
    if (is_said) request.task.resources = {.infra = request.task.resources.infra, .use_spot = true};
    if (is_said) request.task.resources.recovery = task::Recovery{.is_wanted = false};
    EXPECT_EQ(stage.start(request), ferry_failed);
    EXPECT_EQ(stage.run().outcome, Outcome::lost);
    EXPECT_EQ(stage.cloud.machines().size(), 1U);
    EXPECT_EQ(stage.trouble(), "");
  }
}

TEST_F(Attempts, ASpotMachinesTrainingRecoversWhereNothingElseIsSaid) {
  take_machine_that_stored("half a model\n");
  auto spot = stage_.request(resumable);
  spot.task.resources.use_spot = true;
  EXPECT_EQ(stage_.start(spot), 0) << stage_.everything_shown();
  EXPECT_EQ(attempts().size(), 2U);
  expect_well(0);
}

TEST_F(Attempts, WhereNothingWasSavedTheNextOneBeginsFromItsStart) {
  stage_.when("output : 1 0", [&] { stage_.cloud.end(stage_.machine_id()); });
  const auto code = stage_.start(
      request("mkdir -p outputs; echo \"$FERRY_ATTEMPT $FERRY_RESUMED\"; [ $FERRY_ATTEMPT = 2 ] || exec sleep 1000; "
              "echo model >outputs/model"));
  EXPECT_EQ(code, 0) << stage_.everything_shown();
  EXPECT_EQ(log(), "1 0\n2 0\n");
  expect_well(0);
}

TEST_F(Attempts, AMachineThatSomebodyEndedIsNotReplaced) {
  for (const char* reason : {"Client.UserInitiatedShutdown: …", "Client.InstanceInitiatedShutdown: …", ""}) {
    SCOPED_TRACE(reason);
    Stage stage;
    stage.when("begin train", [&] { stage.cloud.end(stage.machine_id(), reason); });
    auto request = stage.request("exec sleep 1000");
    request.task.resources.recovery = task::Recovery{};
    EXPECT_EQ(stage.start(request), ferry_failed);
    EXPECT_EQ(stage.cloud.machines().size(), 1U);
    EXPECT_EQ(stage.trouble(), "");
  }
}

TEST_F(Attempts, ATrainingThatFailsBeginsAgainAsOftenAsTheTaskSays) {
  struct Row {
    task::Recovery recovery;
    std::string command;
    int code;
    std::size_t attempts;
  };
  const std::string third = "mkdir -p outputs; echo model >outputs/model; [ $FERRY_ATTEMPT = 3 ] || exit 33";
  const Row rows[] = {{{}, third, 33, 1},
                      {{.restarts_on_errors = 1}, third, 33, 2},
                      {{.restarts_on_errors = 2}, third, 0, 3},
                      {{.exit_codes = {33}}, third, 0, 3},
                      {{.exit_codes = {34}}, third, 33, 1},
                      {{.is_wanted = false, .restarts_on_errors = 5}, third, 33, 1},
                      {{.restarts_on_errors = 5}, "mkdir outputs; echo model >outputs/model", 0, 1}};
  for (const auto& row : rows) {
    SCOPED_TRACE(fmt::format("{} restarts, {} codes", row.recovery.restarts_on_errors, row.recovery.exit_codes.size()));
    Stage stage;
    auto request = stage.request(row.command);
    request.task.resources.recovery = row.recovery;
    EXPECT_EQ(stage.start(request), row.code) << stage.everything_shown();
    EXPECT_EQ(must(stage.ledger().attempts(stage.run().name)).size(), row.attempts);
    EXPECT_EQ(stage.model(), "");
    EXPECT_EQ(stage.broken_promise(row.code), "");
    EXPECT_EQ(stage.trouble(), "");
  }
}

TEST_F(Attempts, ASetupThatFailsDoesNotBeginAgain) {
  auto failing = request("true");
  failing.task.setup = "exit 7";
  failing.task.resources.recovery->restarts_on_errors = 3;
  EXPECT_EQ(stage_.start(failing), 7);
  EXPECT_EQ(attempts().size(), 1U);
  EXPECT_EQ(stage_.trouble(), "");
}

TEST_F(Attempts, EachRunsWhatTheFirstOneRanWhateverBecameOfTheWorkdirMeanwhile) {
  auto wanted = request(
      "said=$(cat data; ls); echo \"$said\"; [ $FERRY_ATTEMPT = 2 ] || exec sleep 1000; "
      "mkdir outputs; echo model >outputs/model");
  must(os::write_file(wanted.workdir / "data", "1\n"));
  stage_.when("data\n", [&] {
    must(os::write_file(wanted.workdir / "data", "2\n"));
    must(os::write_file(wanted.workdir / "new", "\n"));
    stage_.cloud.end(stage_.machine_id());
  });
  EXPECT_EQ(stage_.start(wanted), 0) << stage_.everything_shown();
  EXPECT_EQ(log(), "1\ndata\n1\ndata\n");
  EXPECT_FALSE(os::exists(stage_.data() / "runs" / stage_.run().name / "sent"));
  expect_well(0);
}

TEST_F(Attempts, AFileTooLargeToKeepThatChangedMeanwhileEndsTheRunBeforeAnythingIsRented) {
  auto wanted = request("exec sleep 1000");
  must(os::write_file(wanted.workdir / "large", std::string(most_kept_file + 1, 'a')));
  stage_.when("begin train", [&] {
    must(os::write_file(wanted.workdir / "large", std::string(most_kept_file + 1, 'b')));
    stage_.cloud.end(stage_.machine_id());
  });
  EXPECT_EQ(stage_.start(wanted), ferry_failed);
  EXPECT_EQ(stage_.cloud.machines().size(), 1U);
  EXPECT_TRUE(stage_.was_shown("the workdir is not what it was when the run began: large"))
      << stage_.everything_shown();
  EXPECT_EQ(stage_.run().outcome, Outcome::lost);
  EXPECT_EQ(stage_.trouble(), "");
}

TEST_F(Attempts, AFollowerBeginsThemToo) {
  auto wanted = request();
  wanted.detach = true;
  stage_.give_store();
  wanted.task.store = stage_.request().task.store;
  EXPECT_EQ(stage_.start(wanted), 0);
  take_machine_that_stored("half a model\n");
  EXPECT_EQ(stage_.let_followers_end(), 0) << stage_.everything_shown();
  EXPECT_EQ(stage_.run().outcome, Outcome::succeeded);
  EXPECT_EQ(stage_.model(), "");
  EXPECT_EQ(log(), "attempt 1 resumed 0\nattempt 2 resumed 1\nhad half a model\n");
  expect_well(0);
}

TEST_F(Attempts, ARunWhoseMachineWasTakenWhileNoFerryWasThereGoesOnWithTheNextCommand) {
  stage_.give_store();
  stage_.when("output : attempt 1", [] { throw Killed(); });
  EXPECT_EQ(stage_.start(request()), std::nullopt);
  stage_.cloud.end(stage_.machine_id());
  stage_.put_stored(stage_.run().name, "half a model\n", false);
  stage_.recover_all();
  EXPECT_EQ(stage_.run().outcome, Outcome::succeeded) << stage_.everything_shown();
  EXPECT_EQ(log(), "attempt 1 resumed 0\nattempt 2 resumed 1\nhad half a model\n");
  expect_well(std::nullopt);
}

TEST_F(Attempts, WhatIsSecretIsWantedOfWhoeverBeginsTheNextOneAndTheRunWaitsForIt) {
  constexpr const char* name = "FERRY_TEST_TOKEN";
  ::unsetenv(name);
  auto wanted = request(
      "echo \"$FERRY_ATTEMPT $FERRY_TEST_TOKEN\"; [ $FERRY_ATTEMPT -gt 1 ] || exec sleep 1000; "
      "mkdir outputs; echo model >outputs/model");
  wanted.task.secrets[name] = "hush";
  stage_.when("output : 1 hush", [] { throw Killed(); });
  EXPECT_EQ(stage_.start(wanted), std::nullopt);
  EXPECT_EQ(dump_json(stage_.run().task).find("hush"), std::string::npos);
  stage_.cloud.end(stage_.machine_id());
  stage_.recover_all();
  stage_.recover_all();
  EXPECT_TRUE(stage_.was_shown("waits: its next attempt needs FERRY_TEST_TOKEN")) << stage_.everything_shown();
  EXPECT_NE(stage_.run().phase, Phase::released);
  EXPECT_EQ(stage_.cloud.left(), std::vector<std::string>());
  ::setenv(name, "hush", 1);
  stage_.recover_all();
  ::unsetenv(name);
  EXPECT_EQ(stage_.run().outcome, Outcome::succeeded) << stage_.everything_shown();
  EXPECT_EQ(stage_.model(), "");
  expect_well(std::nullopt);
}

TEST_F(Attempts, ARunThatWaitsIsEndedByCancelAndByDown) {
  for (const bool by_cancel : {true, false}) {
    SCOPED_TRACE(by_cancel);
    Stage stage;
    auto wanted = stage.request("echo \"$FERRY_ATTEMPT\"; exec sleep 1000");
    wanted.task.resources.recovery = task::Recovery{};
    wanted.task.secrets["FERRY_TEST_TOKEN"] = "hush";
    stage.when("output : 1", [] { throw Killed(); });
    EXPECT_EQ(stage.start(wanted), std::nullopt);
    stage.cloud.end(stage.machine_id());
    stage.recover_all();
    EXPECT_NE(stage.run().phase, Phase::released);
    stage.process([&](fleet::Context& here) {
      if (by_cancel)
        EXPECT_TRUE(cancel(here, stage.run().name));
      else
        EXPECT_TRUE(down(here, stage.run().name, true));
    });
    EXPECT_EQ(stage.run().phase, Phase::released) << stage.everything_shown();
    EXPECT_EQ(stage.trouble(), "");
  }
}

TEST_F(Attempts, AllOfThemTogetherKeepToTheTimeAndMoneyThatWereAgreedTo) {
  // Each is taken after twenty minutes of the hour that the training may take.
  int taken = 0;
  const std::function<void()> take = [&] {
    stage_.when("begin train", take);
    stage_.clock.sleep(Millis(20 * 60'000));
    ++taken;
    stage_.cloud.end(stage_.machine_id());
  };
  stage_.when("begin train", take);
  const auto code = stage_.start(request("exec sleep 1000"));
  EXPECT_NE(code, 0);
  EXPECT_GE(taken, 2);
  EXPECT_LE(stage_.cloud.machines().size(), 4U) << stage_.everything_shown();
  EXPECT_LE(stage_.cloud.cost().micros, int_at(stage_.run().task, "at_most_micros"));
  EXPECT_EQ(stage_.trouble(), "");
}

TEST_F(Attempts, AnInterruptedUserGetsNoFurtherAttempt) {
  stage_.when("begin train", [&] {
    ::raise(SIGTERM);
    stage_.cloud.end(stage_.machine_id());
  });
  stage_.start(request("exec sleep 1000"));
  EXPECT_EQ(stage_.cloud.machines().size(), 1U) << stage_.everything_shown();
  EXPECT_EQ(stage_.trouble(), "");
}

TEST_F(Attempts, AFerryThatIsKilledBetweenOrInThemIsGoneOnFrom) {
  int walked = 0;
  for (int step = 1; walked == 0; step += is_sanitized ? 11 : 3) {
    ASSERT_LT(step, 400);
    SCOPED_TRACE(fmt::format("step {} of the second attempt", step));
    Stage stage;
    stage.give_store();
    stage.when("output : attempt 1", [&] {
      stage.cloud.end(stage.machine_id());
      stage.put_stored(stage.run().name, "half a model\n", false);
      stage.kill_at(stage.steps() + step);
    });
    stage.cloud.refuse = [&](const cloud::LaunchRequest&) -> std::optional<Error> {
      for (const auto& one : stage.cloud.machines()) EXPECT_NE(one.ended_ms, 0) << "a second machine";
      return std::nullopt;
    };
    auto request = stage.request(resumable);
    request.task.resources.recovery = task::Recovery{};
    const auto code = stage.start(request);
    EXPECT_EQ(stage.broken_promise(code), "");
    stage.recover_all();
    EXPECT_EQ(stage.trouble(), "") << stage.everything_shown();
    EXPECT_EQ(stage.model(), "") << stage.everything_shown();
    EXPECT_EQ(stage.run().outcome, Outcome::succeeded) << stage.everything_shown();
    if (code) walked = *code == 0 ? 1 : -1;
  }
  EXPECT_EQ(walked, 1);
}

}  // namespace
}  // namespace ferry::run
