// How a run ends, by table: every phase × everything that can break there × every kind of error. Whatever
// happens, no machine that holds outputs is given back unless they are home or it is gone, and nothing else
// stays rented.
#include <gtest/gtest.h>

#include <csignal>

#include "base/text.h"
#include "run/actions.h"
#include "run/stage.h"

namespace ferry::run {
namespace {

using ledger::Outcome;
using ledger::Phase;

const std::vector<Kind> every_kind = {Kind::bad_input,   Kind::not_found,  Kind::exists,    Kind::denied,
                                      Kind::no_capacity, Kind::quota,      Kind::throttled, Kind::lost,
                                      Kind::timeout,     Kind::disk_full,  Kind::io,        Kind::corrupt,
                                      Kind::conflict,    Kind::unsupported};

/// When nothing breaks any more, the next commands bring everything to its end, whatever was left.
std::string cured(Stage& stage) {
  stage.cloud.heal();
  stage.refused.clear();
  stage.is_deaf = false;
  stage.refuse_write = nullptr;
  stage.process([](fleet::Context& here) { (void)recover_orphans(here); });
  stage.let_followers_end();
  if (stage.run().phase == Phase::released) return stage.trouble();
  stage.process([&](fleet::Context& here) {
    if (auto ended = down(here, stage.run().name, true); !ended) stage.progress.error(ended.error());
  });
  return stage.trouble();
}

/// The phase's beginning, as it is shown.
std::string beginning(Phase phase) {
  switch (phase) {
    case Phase::planning:
      return "begin plan";
    case Phase::launching:
      return "begin launch";
    case Phase::connecting:
      return "begin connect";
    case Phase::syncing:
      return "begin sync";
    case Phase::setup:
      return "begin setup: starting";
    case Phase::training:
      return "begin train";
    case Phase::fetching:
      return "begin fetch";
    default:
      return "begin release";
  }
}

/// Where a follower is when the phase begins for it: setup is one with the training.
std::string seen_by_follower(Phase phase) { return beginning(phase == Phase::setup ? Phase::training : phase); }

const std::vector<Phase> from_planning = {Phase::planning, Phase::launching, Phase::connecting, Phase::syncing,
                                          Phase::setup,    Phase::training,  Phase::fetching,   Phase::releasing};

TEST(Finish, TheTrainingsOwnCodeIsTheRunsAndWhatItSavedIsHome) {
  struct Row {
    const char* command;
    int code;
    Outcome outcome;
  };
  const std::vector<Row> rows = {
      {"true", 0, Outcome::succeeded}, {"exit 3", 3, Outcome::failed}, {"kill -9 $$", 137, Outcome::failed}};
  for (const auto& row : rows) {
    SCOPED_TRACE(row.command);
    Stage stage;
    stage.leave_at(Phase::training, std::string("mkdir outputs; echo model >outputs/model; ") + row.command);
    EXPECT_EQ(stage.follow(), row.code);
    EXPECT_EQ(stage.run().outcome, row.outcome);
    EXPECT_EQ(stage.run().exit_code, row.code);
    EXPECT_EQ(stage.model(), "");
    EXPECT_EQ(stage.trouble(), "");
  }
}

TEST(Finish, AMachineThatIsEndedInAnyPhaseIsLostAndNothingIsLeft) {
  for (const auto phase : {Phase::connecting, Phase::syncing, Phase::setup, Phase::training, Phase::releasing}) {
    SCOPED_TRACE(beginning(phase));
    Stage stage;
    stage.when(beginning(phase), [&] { stage.cloud.end(stage.machine_id(), "Client.UserInitiatedShutdown"); });
    const auto code = stage.start(stage.request());
    EXPECT_EQ(stage.broken_promise(code), "");
    stage.let_followers_end();
    const bool was_home = phase == Phase::releasing;
    EXPECT_EQ(code, was_home ? 0 : ferry_failed) << stage.everything_shown();
    const auto outcome = stage.run().outcome;
    // The job's start is asked for without waiting for the agent's word: it may have been heard.
    const bool may_have_started = phase == Phase::setup && outcome == Outcome::lost;
    EXPECT_EQ(outcome, was_home                                     ? Outcome::succeeded
                       : phase <= Phase::setup && !may_have_started ? Outcome::not_started
                                                                    : Outcome::lost);
    EXPECT_EQ(stage.model().empty(), was_home);
    EXPECT_EQ(stage.trouble(), "");
  }
}

TEST(Finish, AMachineThatTheCloudTakesBeforeTheTrainingIsReplaced) {
  for (const auto phase : {Phase::connecting, Phase::syncing, Phase::setup}) {
    SCOPED_TRACE(beginning(phase));
    Stage stage;
    stage.when(beginning(phase), [&] { stage.cloud.end(stage.machine_id(), "Server.InternalError"); });
    const auto code = stage.start(stage.request());
    EXPECT_EQ(stage.broken_promise(code), "");
    EXPECT_EQ(code, 0) << stage.everything_shown();
    EXPECT_EQ(stage.model(), "");
    EXPECT_EQ(must(stage.ledger().attempts(stage.run().name)).size(), 2U);
    EXPECT_EQ(stage.trouble(), "");
  }
}

TEST(Finish, ACloudThatRefusesEverythingBeforeTheTrainingLeavesNothingOnceItAnswersAgain) {
  for (const auto phase : {Phase::launching, Phase::connecting}) {
    for (const auto kind : every_kind) {
      SCOPED_TRACE(beginning(phase) + " " + std::string(name(kind)));
      Stage stage;
      stage.is_deaf = true;
      stage.when(beginning(phase), [&] { stage.cloud.add({.error = failure(kind), .times = -1}); });
      const auto code = stage.start(stage.request());
      EXPECT_EQ(code, ferry_failed);
      EXPECT_EQ(stage.broken_promise(code), "");
      EXPECT_EQ(cured(stage), "");
    }
  }
}

TEST(Finish, ACloudThatRefusesToReleaseIsAskedAgainByTheNextCommandAndTheModelIsHome) {
  for (const auto kind : every_kind) {
    SCOPED_TRACE(name(kind));
    Stage stage;
    stage.leave_at(Phase::fetching);
    stage.when("begin release", [&] {
      stage.cloud.add({.call = "terminate", .error = failure(kind), .times = -1});
      stage.cloud.add({.call = "describe", .error = failure(kind), .times = -1});
      stage.cloud.add({.call = "find_by_tag", .error = failure(kind), .times = -1});
    });
    EXPECT_EQ(stage.follow(), ferry_failed);
    EXPECT_EQ(stage.broken_promise(ferry_failed), "");
    EXPECT_EQ(stage.model(), "");
    EXPECT_NE(stage.run().phase, Phase::released);
    EXPECT_EQ(cured(stage), "");
  }
}

TEST(Finish, WhoLogsInWritesAndLeavesWhileTheFollowerFetchesLosesNothing) {
  Stage stage;
  stage.leave_at(Phase::fetching);
  auto run = stage.run();
  run.outcome = Outcome::succeeded;
  run.exit_code = 0;
  run.train_end_ms = stage.clock.now_ms();
  ASSERT_TRUE(stage.ledger().update(run));
  stage.when("done fetch", [&] {
    const auto name = stage.run().name;
    for (const auto& file : std::filesystem::recursive_directory_iterator(stage.machine().home())) {
      if (file.path().filename() != "model") continue;
      ASSERT_TRUE(os::write_file(file.path().parent_path() / "late", "written meanwhile\n"));
      break;
    }
    ASSERT_TRUE(os::write_file(fleet::RunDir(stage.data(), name).path / "visits.log", "1\n"));
  });
  EXPECT_EQ(stage.follow(), 0) << stage.everything_shown();
  EXPECT_EQ(os::read_file(stage.home() / "outputs/late").value_or(""), "written meanwhile\n")
      << stage.everything_shown();
  EXPECT_EQ(stage.trouble(), "");
}

TEST(Finish, ACloudThatRefusesEverythingWhileItTrainsLosesNoModel) {
  for (const auto phase : {Phase::training, Phase::fetching}) {
    for (const auto kind : {Kind::denied, Kind::throttled, Kind::lost}) {
      SCOPED_TRACE(beginning(phase) + " " + std::string(name(kind)));
      Stage stage;
      stage.leave_at(phase);
      stage.when(beginning(phase), [&] { stage.cloud.add({.error = failure(kind), .times = -1}); });
      const auto code = stage.follow();
      EXPECT_EQ(code, ferry_failed) << stage.everything_shown();
      EXPECT_EQ(stage.broken_promise(code), "");
      EXPECT_EQ(cured(stage), "");
      EXPECT_EQ(stage.model(), "");
    }
  }
}

TEST(Finish, AMachineThatCannotBeEnteredForWhateverReasonIsNotGivenBack) {
  for (const auto phase : {Phase::setup, Phase::training, Phase::fetching}) {
    for (const auto kind : every_kind) {
      SCOPED_TRACE(beginning(phase) + " " + std::string(name(kind)));
      Stage stage;
      stage.leave_at(phase, "");
      stage.refused.assign(2'000, failure(kind));
      const auto code = stage.follow();
      EXPECT_EQ(code, ferry_failed);
      EXPECT_EQ(stage.broken_promise(code), "");
      EXPECT_FALSE(stage.cloud.machines().front().by_ferry);
    }
  }
}

TEST(Finish, AMachineThatCouldNotBeEnteredForAWhileGivesItsModelWhenItCan) {
  for (const auto phase : {Phase::setup, Phase::training, Phase::fetching}) {
    SCOPED_TRACE(beginning(phase));
    Stage stage;
    stage.leave_at(phase);
    stage.refused.assign(30, failure(Kind::denied));
    EXPECT_EQ(stage.follow(), ferry_failed);
    EXPECT_EQ(stage.broken_promise(ferry_failed), "");
    EXPECT_EQ(cured(stage), "");
    EXPECT_EQ(stage.model(), "");
  }
}

TEST(Finish, ALedgerThatRefusesEverythingFromAnyPhaseOnLosesNoModelAndNoMachine) {
  for (const auto phase : from_planning) {
    for (const auto kind : {Kind::disk_full, Kind::timeout, Kind::denied, Kind::corrupt}) {
      if (phase < Phase::setup && kind != Kind::disk_full) continue;
      SCOPED_TRACE(beginning(phase) + " " + std::string(name(kind)));
      Stage stage;
      const auto refuse = [&] { stage.refuse_write = [kind](const std::string&) { return failure(kind); }; };
      if (phase < Phase::setup) {
        stage.when(beginning(phase), refuse);
        EXPECT_EQ(stage.start(stage.request()), ferry_failed);
      } else {
        stage.leave_at(phase == Phase::releasing ? Phase::fetching : phase);
        stage.when(seen_by_follower(phase), refuse);
        EXPECT_EQ(stage.follow(), ferry_failed);
      }
      EXPECT_EQ(stage.broken_promise(ferry_failed), "");
      EXPECT_EQ(cured(stage), "");
    }
  }
}

TEST(Finish, AMachineThatTheCloudShowsLateIsUsedAllTheSame) {
  Stage stage;
  stage.cloud.invisible = Millis(5'000);
  EXPECT_EQ(stage.start(stage.request()), 0) << stage.everything_shown();
  EXPECT_EQ(stage.cloud.machines().size(), 1U);
  EXPECT_EQ(stage.trouble(), "");
}

TEST(Finish, OutputsThatCannotBeStoredHereKeepTheMachineUntilTheyCan) {
  Stage stage;
  stage.leave_at(Phase::training);
  const auto home = stage.home();
  ASSERT_TRUE(os::make_dirs(home.parent_path()));
  ASSERT_TRUE(os::write_file(home, "a file where the folder should be"));
  EXPECT_EQ(stage.follow(), ferry_failed) << stage.everything_shown();
  EXPECT_EQ(stage.broken_promise(ferry_failed), "");
  EXPECT_EQ(stage.cloud.machines().front().ended_ms, 0);
  EXPECT_NE(stage.run().phase, Phase::released);
  std::filesystem::remove(home);
  EXPECT_EQ(cured(stage), "");
  EXPECT_EQ(stage.model(), "");
}

TEST(Finish, ARunToBeKeptIsKeptWithItsModelHomeAndEndedByDown) {
  Stage stage;
  auto request = stage.request();
  request.keep = true;
  EXPECT_EQ(stage.start(request), 0) << stage.everything_shown();
  EXPECT_EQ(stage.model(), "");
  EXPECT_EQ(stage.cloud.machines().front().ended_ms, 0);
  stage.process([](fleet::Context& here) { EXPECT_TRUE(recover_orphans(here)); });
  EXPECT_EQ(stage.cloud.machines().front().ended_ms, 0) << "no other command ends it";
  stage.process([&](fleet::Context& here) { EXPECT_TRUE(down(here, stage.run().name, true)); });
  EXPECT_EQ(stage.trouble(), "");
  EXPECT_EQ(stage.run().outcome, Outcome::succeeded);
}

TEST(Finish, ASetupThatFailsEndsTheRunWithItsCodeAndNoTraining) {
  Stage stage;
  auto request = stage.request("echo never >outputs/model");
  request.task.setup = "exit 7";
  EXPECT_EQ(stage.start(request), 7) << stage.everything_shown();
  EXPECT_EQ(stage.run().outcome, Outcome::failed);
  EXPECT_NE(stage.model(), "");
  EXPECT_EQ(stage.trouble(), "");
}

TEST(Finish, ASignalBeforeTheTrainingReleasesAtOnce) {
  for (const auto phase : {Phase::launching, Phase::connecting, Phase::syncing}) {
    SCOPED_TRACE(beginning(phase));
    Stage stage;
    stage.is_deaf = phase == Phase::connecting;
    stage.when(beginning(phase), [] { ::raise(SIGTERM); });
    EXPECT_EQ(stage.start(stage.request()), 130) << stage.everything_shown();
    EXPECT_EQ(stage.run().outcome, Outcome::cancelled);
    EXPECT_EQ(stage.trouble(), "");
  }
}

TEST(Finish, AHangUpDuringTheTrainingLeavesAFollowerThatEndsIt) {
  Stage stage;
  stage.when("output : go", [] { ::raise(SIGHUP); });
  EXPECT_EQ(stage.start(stage.request("echo go; mkdir outputs; echo model >outputs/model")), 0)
      << stage.everything_shown();
  if (stage.followers() > 0) stage.let_followers_end();
  EXPECT_EQ(stage.model(), "");
  EXPECT_EQ(stage.trouble(), "");
}

}  // namespace
}  // namespace ferry::run
