// What a chaotic world did to runs once: each is mended for good here.
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>

#include "base/text.h"
#include "fleet/labels.h"
#include "run/actions.h"
#include "run/bring_home.h"
#include "run/stage.h"

namespace ferry::run {
namespace {

using ledger::Outcome;
using ledger::Phase;

TEST(Mended, NoAdviceIsGivenAboutAStoppedMachineThatIsReleasedAtOnce) {
  Stage stage;
  stage.is_deaf = true;
  stage.when("begin connect", [&] { stage.cloud.stop(stage.machine_id()); });
  EXPECT_EQ(stage.start(stage.request()), ferry_failed);
  EXPECT_TRUE(stage.was_shown("was stopped from outside")) << stage.everything_shown();
  EXPECT_FALSE(stage.was_shown("ferry fetch")) << stage.everything_shown();
  EXPECT_FALSE(stage.was_shown("no timer ends it")) << stage.everything_shown();
  EXPECT_EQ(stage.run().error.find("timer"), std::string::npos) << stage.run().error;
  EXPECT_EQ(stage.trouble(), "");
}

TEST(Mended, DownOfATrainingThatNobodyFollowsLetsItSaveFirst) {
  Stage stage;
  stage.leave_at(Phase::training,
                 "trap 'mkdir outputs; echo model >outputs/model; exit 0' TERM; echo go; while :; do sleep 0.05; done");
  while (!os::exists(stage.machine().home() / "ferry" / stage.run().name)) std::this_thread::yield();
  stage.process([&](fleet::Context& here) {
    const auto ended = down(here, stage.run().name, true);
    EXPECT_TRUE(ended) << describe(ended.error());
  });
  EXPECT_EQ(stage.model(), "") << stage.everything_shown();
  EXPECT_EQ(stage.run().outcome, Outcome::cancelled);
  EXPECT_EQ(stage.trouble(), "");
}

TEST(Mended, DownOfATrainingThatEndedMeanwhileSaysHowItEnded) {
  struct Row {
    const char* command;
    bool with_outputs;
    Outcome outcome;
    std::optional<int> code;
  };
  const std::string makes_model = "mkdir -p outputs; echo model >outputs/model";
  const Row rows[] = {{"", true, Outcome::succeeded, 0},
                      {"; exit 3", true, Outcome::failed, 3},
                      {"", false, Outcome::cancelled, std::nullopt}};
  for (const auto& row : rows) {
    for (const bool is_noted : {false, true}) {
      SCOPED_TRACE(fmt::format("{} {} {}", row.command, row.with_outputs, is_noted));
      Stage stage;
      stage.leave_at(Phase::fetching, makes_model + row.command);
      if (is_noted && row.outcome != Outcome::failed) {
        auto run = stage.run();
        run.train_end_ms = stage.clock.now_ms();
        run.exit_code = 0;
        ASSERT_TRUE(stage.ledger().update(run));
      }
      stage.process([&](fleet::Context& here) { EXPECT_TRUE(down(here, stage.run().name, row.with_outputs)); });
      EXPECT_EQ(stage.run().outcome, row.outcome) << stage.everything_shown();
      EXPECT_EQ(stage.run().exit_code, row.code);
      EXPECT_EQ(stage.model().empty(), row.with_outputs);
      EXPECT_EQ(stage.trouble(), "");
    }
  }
}

TEST(Mended, AMachineThatIsStoppedAfterItsTrainingEndedWellSucceedsWhenItIsFetchedFrom) {
  Stage stage;
  stage.leave_at(Phase::fetching);
  stage.cloud.stop(stage.machine_id());
  stage.process([](fleet::Context& here) { (void)recover_orphans(here); });
  EXPECT_EQ(stage.run().outcome, Outcome::lost);
  stage.process([&](fleet::Context& here) { EXPECT_TRUE(down(here, stage.run().name, true)); });
  EXPECT_EQ(stage.run().outcome, Outcome::succeeded) << stage.everything_shown();
  EXPECT_EQ(stage.run().error, "");
  EXPECT_EQ(stage.model(), "");
  EXPECT_EQ(stage.trouble(), "");
}

/// `ferry down --all`, given in the folder of data: outputs of runs that are found again come home below it.
Sweep sweep(Stage& stage, const SweepOptions& options = {}) {
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(stage.data());
  Sweep done;
  stage.process([&](fleet::Context& here) { done = must(down_all(here, options)); });
  std::filesystem::current_path(before);
  return done;
}

TEST(Mended, AMachineOnWhichNothingWasEverPutIsReleasedThoughTheLedgerWasLost) {
  for (const bool was_reached_before : {false, true}) {
    Stage stage;
    stage.leave_at(Phase::connecting, "");
    const auto id = stage.machine_id();
    stage.lose_ledger();
    if (was_reached_before) {
      stage.refused.assign(1'000, failure(Kind::timeout));
      EXPECT_TRUE(sweep(stage).failed);
      stage.refused.clear();
    }
    const auto done = sweep(stage);
    EXPECT_FALSE(done.failed) << stage.everything_shown();
    EXPECT_EQ(done.ended, std::vector<std::string>{id});
    EXPECT_EQ(stage.run().outcome, Outcome::not_started);
    EXPECT_EQ(stage.trouble(), "");
  }
}

TEST(Mended, WhatIsOnAMachineComesHomeThoughTheLedgerWasLost) {
  Stage stage;
  stage.leave_at(Phase::training);
  while (!os::exists(stage.machine().home() / "ferry/t-left/outputs/model")) std::this_thread::yield();
  stage.lose_ledger();
  EXPECT_FALSE(sweep(stage).failed) << stage.everything_shown();
  EXPECT_EQ(stage.model(), "") << stage.everything_shown();
  EXPECT_EQ(stage.run().outcome, Outcome::succeeded);
  EXPECT_EQ(stage.trouble(), "");
}

/// A ferry was killed when its machine was gone, and its key pair and group were not; then the ledger was lost.
void leave_key_and_group(Stage& stage) {
  stage.leave_at(Phase::releasing);
  stage.cloud.end(stage.machine_id());
  stage.clock.sleep(stage.cloud.ending);
  stage.lose_ledger();
  ASSERT_EQ(stage.cloud.left().size(), 2U);
}

TEST(Mended, AKeyPairAndAGroupWhoseMachineIsGoneAreRemovedThoughTheLedgerWasLost) {
  Stage stage;
  leave_key_and_group(stage);
  const auto done = sweep(stage);
  ASSERT_EQ(done.removed.size(), 2U) << stage.everything_shown();
  EXPECT_TRUE(done.removed[0].starts_with("key pair ferry-t-left-")) << done.removed[0];
  EXPECT_TRUE(done.removed[1].starts_with("security group ferry-t-left-")) << done.removed[1];
  EXPECT_FALSE(done.failed);
  EXPECT_EQ(join(stage.cloud.left(), ", "), "");
  EXPECT_EQ(sweep(stage).removed.size(), 0U);
}

TEST(Mended, WhatAFerryIsAtWorkWithIsNotRemoved) {
  Stage stage;
  leave_key_and_group(stage);
  const auto owner = must(RunLock::try_take(fleet::RunDir(stage.data(), "t-left")));
  EXPECT_EQ(sweep(stage, {.every_ledger = true}).removed.size(), 0U);
  EXPECT_EQ(stage.cloud.left().size(), 2U);
}

TEST(Mended, WhatAnotherLedgerLeftIsRemovedWhenThePersonSaysSo) {
  for (const auto* answer : {"none", "no", "yes", "every"}) {
    SCOPED_TRACE(answer);
    Stage stage;
    leave_key_and_group(stage);
    ASSERT_TRUE(os::write_file(stage.data() / "ledger-id", "0123456789abcdef\n", 0600));
    const std::string_view said = answer;
    SweepOptions options;
    options.every_ledger = said == "every";
    std::size_t asked = 0;
    if (said == "no" || said == "yes") {
      options.ask = [&](const std::vector<std::string>& lines) {
        asked = lines.size();
        return said == "yes";
      };
    }
    const auto done = sweep(stage, options);
    const bool removes = said == "yes" || said == "every";
    EXPECT_EQ(done.removed.size(), removes ? 2U : 0U) << stage.everything_shown();
    EXPECT_EQ(done.of_other_ledgers.size(), removes ? 0U : 2U);
    EXPECT_EQ(asked, options.ask ? 2U : 0U);
    EXPECT_EQ(stage.cloud.left().size(), removes ? 0U : 2U);
  }
}

TEST(Mended, WhatAnotherLedgersMachineUsesOrIsJustBeingLaunchedWithIsNobodysBusiness) {
  Stage stage;
  stage.leave_at(Phase::training, "");
  stage.lose_ledger();
  ASSERT_TRUE(os::write_file(stage.data() / "ledger-id", "0123456789abcdef\n", 0600));
  const auto region = stage.cloud.open("us-east-1");
  cloud::Tags tags = {
      {"ferry:run", "b-1"}, {fleet::launch_tag, "00112233445566ff"}, {fleet::owner_tag, fleet::owner_name()}};
  tags[fleet::made_tag] = os::iso_time(stage.clock.now_ms());
  ASSERT_TRUE(region->import_key(fleet::resource_name("b-1", tags[fleet::launch_tag]), "", tags));
  tags["ferry:run"] = "c-1";
  ASSERT_TRUE(region->import_key("the-persons-own", "", tags));
  const auto done = sweep(stage);
  EXPECT_EQ(done.of_other_ledgers.size(), 1U) << "the machine: " << join(done.of_other_ledgers, "\n");
  EXPECT_EQ(stage.cloud.left().size(), 5U);
  stage.clock.sleep(Millis(3'900'000));  // and the machine's timer has not ended it
  EXPECT_EQ(sweep(stage, {.every_ledger = true}).removed.size(), 1U) << stage.everything_shown();
  EXPECT_EQ(stage.cloud.left(), std::vector<std::string>{"key the-persons-own in us-east-1"});
}

TEST(Mended, APolicyThatDoesNotShowKeyPairsIsToldOnceAndFailsNothing) {
  Stage stage;
  leave_key_and_group(stage);
  stage.cloud.add({.call = "find_made", .error = failure(Kind::denied), .times = -1});
  SweepOptions options;
  const auto done = sweep(stage, options);
  EXPECT_FALSE(done.failed);
  EXPECT_TRUE(stage.was_shown("key pairs and security groups were not looked at"));
}

TEST(Mended, AMachineThatIsStoppedInTheTrainingIsToldOnceAndGetsNoFollowers) {
  Stage stage;
  stage.leave_at(Phase::training);
  stage.cloud.stop(stage.machine_id());
  for (int i = 0; i < 3; ++i) stage.process([](fleet::Context& here) { (void)recover_orphans(here); });
  EXPECT_EQ(stage.followers(), 0U);
  EXPECT_EQ(stage.run().outcome, Outcome::lost);
  const auto shown = stage.everything_shown();
  const auto first = shown.find("was left behind");
  ASSERT_NE(first, std::string::npos) << shown;
  const auto told_again = [&] {
    return stage.everything_shown().find("was left behind", first + 1) != std::string::npos;
  };
  EXPECT_FALSE(told_again()) << shown;
  stage.clock.sleep(Millis(25 * 3'600'000));
  stage.process([](fleet::Context& here) { (void)recover_orphans(here); });
  EXPECT_TRUE(told_again()) << "once a day";
  EXPECT_EQ(stage.followers(), 0U);
  EXPECT_TRUE(stage.was_shown("ferry fetch " + stage.run().name)) << shown;
}

/// What `ferry down RUN --no-fetch` sends to the ferry that follows it.
void ask_to_let_go() {
  sigval word{};
  word.sival_int = fleet::give_up_word;
  ::sigqueue(::getpid(), SIGTERM, word);
}

TEST(Mended, AFerryWhoseRunIsGivenUpByAnotherLetsGoAtOnceAndSaysWhy) {
  for (const char* moment : {"begin connect", "output : ready", "begin fetch", "begin release"}) {
    SCOPED_TRACE(moment);
    Stage stage;
    stage.when(moment, ask_to_let_go);
    const bool ends = std::string_view(moment) != "output : ready";
    const auto code = stage.start(stage.request(std::string("mkdir -p outputs; echo model >outputs/model; echo ready") +
                                                (ends ? "" : "; exec sleep 1000")));
    EXPECT_EQ(stage.followers(), 0U) << "nobody takes it over";
    if (stage.run().phase == Phase::released) {
      EXPECT_EQ(code, 0) << "it was all but over";
    } else {
      EXPECT_EQ(code, 130) << stage.everything_shown();
      EXPECT_TRUE(stage.was_shown("is given up: another ferry releases it now")) << stage.everything_shown();
      EXPECT_FALSE(stage.was_shown("Come back to it")) << stage.everything_shown();
      stage.process([&](fleet::Context& here) { EXPECT_TRUE(down(here, stage.run().name, false)); });
    }
    EXPECT_EQ(stage.trouble(), "");
  }
}

TEST(Mended, OfAFailedTrainingThatIsGivenUpWhileItsOutputsMoveTheOwnCodeStays) {
  Stage stage;
  stage.when("begin fetch", ask_to_let_go);
  const auto code = stage.start(stage.request("mkdir -p outputs; echo model >outputs/model; exit 7"));
  EXPECT_EQ(code, 7) << stage.everything_shown();
  EXPECT_TRUE(stage.was_shown("is given up: another ferry releases it now")) << stage.everything_shown();
  stage.process([&](fleet::Context& here) { EXPECT_TRUE(down(here, stage.run().name, false)); });
  EXPECT_EQ(stage.run().outcome, Outcome::failed);
  EXPECT_EQ(stage.trouble(), "");
}

TEST(Mended, AKnownHostsThatWasDamagedUnderSshIsNoOtherMachine) {
  Stage stage;
  stage.leave_at(Phase::training);
  const Error denial{Kind::denied, "another machine answers", {}, {}, ssh::host_key_code};
  stage.refused = {denial};
  EXPECT_EQ(stage.follow(), 0) << stage.everything_shown();
  EXPECT_EQ(stage.model(), "");

  Stage other;
  other.leave_at(Phase::training);
  other.refused = {denial, denial};
  EXPECT_EQ(other.follow(), ferry_failed);
  EXPECT_TRUE(other.was_shown("another machine answers")) << other.everything_shown();
}

TEST(Mended, ATrainLogThatCouldNotBeWrittenIsWrittenByALaterCommand) {
  Stage stage;
  stage.leave_at(Phase::training, "mkdir -p outputs; echo model >outputs/model; echo one; echo two");
  // A folder in its place: as if the disk of the results could not be written.
  stage.when("begin fetch", [&] { ASSERT_TRUE(os::make_dirs(stage.home() / "train.log/in-the-way", 0700)); });
  EXPECT_EQ(stage.follow(), 0) << stage.everything_shown();
  EXPECT_EQ(stage.run().phase, Phase::released);
  EXPECT_TRUE(stage.was_shown("later ferry commands try again")) << stage.everything_shown();
  std::filesystem::remove_all(stage.home() / "train.log");
  stage.process([](fleet::Context& here) { (void)recover_orphans(here); });
  EXPECT_EQ(os::read_file(stage.home() / "train.log").value_or(""), "one\ntwo\n");
  EXPECT_TRUE(stage.was_shown("could be written now")) << stage.everything_shown();
}

TEST(Mended, ALogIsNotWaitedForWhereNobodyFollowsTheRunAndNobodyCan) {
  Stage stage;
  stage.leave_at(Phase::training, "echo one; exec sleep 1000");
  stage.cloud.stop(stage.machine_id());
  stage.process([&](fleet::Context& here) {
    EXPECT_TRUE(logs(here, stage.run().name, true, [](std::string_view, bool, std::int64_t) { return Status(); }));
  });
  EXPECT_EQ(stage.followers(), 0U);
  EXPECT_TRUE(stage.was_shown("what the machine wrote since is out of reach")) << stage.everything_shown();
}

TEST(Mended, WhereThereIsNoRoomForTheCopyOfTheLogItIsWrittenBesideTheOutputsAndStillShown) {
  Stage stage;
  stage.leave_at(Phase::training, "mkdir -p outputs; echo model >outputs/model; echo one; echo two");
  const auto log = fleet::RunDir(stage.data(), stage.run().name).log();
  std::filesystem::remove_all(log);
  ASSERT_TRUE(os::make_dirs(log, 0700));  // it cannot be opened for writing
  EXPECT_EQ(stage.follow(), 0) << stage.everything_shown();
  EXPECT_EQ(os::read_file(stage.home() / "train.log").value_or(""), "one\ntwo\n") << stage.everything_shown();
  std::filesystem::remove_all(log);
  std::string shown;
  stage.process([&](fleet::Context& here) {
    EXPECT_TRUE(logs(here, stage.run().name, false, [&](std::string_view bytes, bool, std::int64_t) {
      shown += bytes;
      return Status();
    }));
    write_log_home(here, stage.run());  // from a copy that is gone
  });
  EXPECT_EQ(shown, "one\ntwo\n");
  EXPECT_EQ(os::read_file(stage.home() / "train.log").value_or(""), "one\ntwo\n");
}

TEST(Mended, ACopyOfTheLogThatIsGoneWhenItIsToBeWrittenHomeIsReadFromTheMachine) {
  Stage stage;
  stage.leave_at(Phase::training, "echo one; echo two");
  const fleet::RunDir run_dir(stage.data(), stage.run().name);
  stage.ask = [&](bool) {
    std::filesystem::remove_all(run_dir.path);
    return fleet::Interrupt::go_on;
  };
  stage.process([&](fleet::Context& here) {
    auto reached = must(reach(here, stage.run()));
    while (must(must(reached.connection.agent()).client.status()).state != agent::JobState::done) continue;
    ::kill(::getpid(), SIGINT);  // asks, once a part of the log was read
    EXPECT_TRUE(bring_log_home(here, reached.connection, run_dir, stage.run()));
  });
  EXPECT_FALSE(os::is_directory(run_dir.path));
  EXPECT_EQ(os::read_file(stage.home() / "train.log").value_or(""), "one\ntwo\n") << stage.everything_shown();
}

TEST(Mended, WhatTheTrainingBroughtUnderANameOfFerrysStaysThoughTheRunsFolderIsGone) {
  struct Row {
    const char* command;
    const char* brought;
    const char* log;
    const char* record;
  };
  const Row rows[] = {
      {"echo its own >train.log", "train.log", ".ferry/train.log", "run.json"},
      {"mkdir train.log; echo its own >train.log/1", "train.log/1", ".ferry/train.log", "run.json"},
      {"mkdir logs; echo its own >logs/1; ln -s logs/1 train.log", "train.log", ".ferry/train.log", "run.json"},
      {"echo its own >run.json", "run.json", "train.log", ".ferry/run.json"},
      {"echo its own >train.log; echo its own >.ferry", ".ferry", ".ferry-/train.log", "run.json"},
      {"echo its own >run.json; mkdir .ferry; echo its own >.ferry/run.json", ".ferry/run.json", "train.log",
       ".ferry-/run.json"}};
  for (const auto& row : rows) {
    for (const std::string moment : {"before the fetch is noted", "before the release"}) {
      SCOPED_TRACE(fmt::format("{} {}", row.command, moment));
      Stage stage;
      stage.leave_at(Phase::training,
                     fmt::format("echo one; mkdir -p outputs; echo model >outputs/model; {}", row.command));
      auto run = stage.run();
      run.task["outputs"] = {"outputs/", "train.log", "logs", "run.json", ".ferry"};
      ASSERT_TRUE(stage.ledger().update(run));
      const auto lose = [&] { std::filesystem::remove_all(fleet::RunDir(stage.data(), run.name).path); };
      stage.when("begin release", [&] { lose(); });
      if (moment == "before the fetch is noted") {
        stage.refuse_write = [&](const std::string& write) -> std::optional<Error> {
          if (write == "record_objects") lose();
          return std::nullopt;
        };
      }
      EXPECT_EQ(stage.follow(), 0) << stage.everything_shown();
      EXPECT_EQ(stage.model(), "");
      EXPECT_EQ(os::read_file(stage.home() / row.brought).value_or(""), "its own\n");
      EXPECT_EQ(os::read_file(stage.home() / row.log).value_or(""), "one\n");
      EXPECT_TRUE(parse_json(os::read_file(stage.home() / row.record).value_or("")));
      std::string shown;
      stage.process([&](fleet::Context& here) {
        EXPECT_TRUE(logs(here, run.name, false, [&](std::string_view bytes, bool, std::int64_t) {
          shown += bytes;
          return Status();
        }));
      });
      EXPECT_EQ(shown, "one\n");
    }
  }
}

}  // namespace
}  // namespace ferry::run
