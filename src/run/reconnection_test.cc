// Broken connections: the training goes on, nothing of its log is lost or shown twice, and the model comes
// home.
#include <gtest/gtest.h>

#include "base/text.h"
#include "fleet/access.h"
#include "fleet/machine.h"
#include "run/actions.h"
#include "run/stage.h"

namespace ferry::run {
namespace {

using ledger::Outcome;
using ledger::Phase;

/// A training that says 1 to 9, waits at each number until the file go-NUMBER is there, and saves a model.
constexpr const char* stepwise =
    "mkdir outputs; for i in 1 2 3 4 5 6 7 8 9; do echo step-$i; "
    "while ! [ -e \"$HOME/go-$i\" ]; do sleep 0.01; done; done; echo model >outputs/model";

/// What the training wrote, as it was shown.
std::string output(const Stage& stage) {
  std::string all;
  for (const auto& line : stage.progress.lines) {
    if (line.starts_with("output : ")) all += line.substr(9);
  }
  return all;
}

std::string whole_output() {
  std::string all;
  for (int i = 1; i <= 9; ++i) all += fmt::format("step-{}\n", i);
  return all;
}

void let_go(Stage& stage, int from, int to) {
  const auto home = stage.machine().home();
  for (int i = from; i <= to; ++i) EXPECT_TRUE(os::write_file(home / fmt::format("go-{}", i), ""));
}

TEST(Reconnection, AConnectionThatBreaksManyTimesLosesNothing) {
  Stage stage;
  stage.leave_at(Phase::training, stepwise);
  for (int i = 1; i <= 9; ++i) {
    stage.when(fmt::format("step-{}", i), [&stage, i] {
      if (i % 2 == 0) {
        stage.refused.assign(static_cast<std::size_t>(i), failure(Kind::lost));
        stage.machine().cut();
      }
      let_go(stage, i, i);
    });
  }
  EXPECT_EQ(stage.follow(), 0) << stage.everything_shown();
  EXPECT_EQ(output(stage), whole_output());
  EXPECT_EQ(stage.model(), "");
  EXPECT_EQ(stage.trouble(), "");
  EXPECT_GE(stage.connects, 5 + 2 + 4 + 6 + 8);
}

TEST(Reconnection, AMachineThatEndsWhileTheConnectionIsBrokenIsLost) {
  Stage stage;
  stage.leave_at(Phase::training, stepwise);
  stage.when("step-1", [&] {
    stage.is_deaf = true;
    stage.machine().cut();
    stage.clock.in(Millis(20'000), [&] { stage.cloud.end(stage.machine_id()); });
  });
  const auto code = stage.follow();
  EXPECT_EQ(code, ferry_failed);
  EXPECT_EQ(stage.broken_promise(code), "");
  EXPECT_EQ(stage.run().outcome, Outcome::lost);
  EXPECT_EQ(stage.trouble(), "");
}

TEST(Reconnection, AnAddressThatChangedMeanwhileIsFound) {
  Stage stage;
  stage.leave_at(Phase::training, "mkdir outputs; echo model >outputs/model; echo saved");
  stage.when("output : saved", [&] {
    const auto id = stage.machine_id();
    stage.machine().cut();
    stage.is_deaf = true;
    stage.clock.in(Millis(5'000), [&stage, id] {
      stage.cloud.move(id);
      stage.is_deaf = false;
    });
  });
  EXPECT_EQ(stage.follow(), 0) << stage.everything_shown();
  EXPECT_EQ(stage.model(), "");
  EXPECT_EQ(stage.trouble(), "");
}

TEST(Reconnection, AnotherMachineThatAnswersGetsNothingAndTheRealOneIsKept) {
  Stage stage;
  stage.leave_at(Phase::training, stepwise);
  stage.when("step-1", [&] {
    stage.refused.assign(100, failure(Kind::denied));
    stage.machine().cut();
  });
  const auto code = stage.follow();
  EXPECT_EQ(code, ferry_failed);
  EXPECT_EQ(stage.broken_promise(code), "");
  EXPECT_EQ(stage.cloud.machines().front().ended_ms, 0);
  EXPECT_EQ(stage.run().outcome, Outcome::none);
}

TEST(Reconnection, AFetchWhoseConnectionBreaksIsMadeAgain) {
  Stage stage;
  stage.leave_at(Phase::training);
  stage.when("begin fetch", [&] {
    stage.refused.assign(3, failure(Kind::timeout));
    stage.machine().cut();
  });
  EXPECT_EQ(stage.follow(), 0) << stage.everything_shown();
  EXPECT_EQ(stage.model(), "");
  EXPECT_EQ(stage.trouble(), "");
}

TEST(Reconnection, AFollowerThatIsKilledIsSucceededByOneThatGoesOnWhereTheLogEnds) {
  Stage stage;
  stage.leave_at(Phase::training, stepwise);
  stage.when("step-4", [] { throw Killed(); });
  stage.when("step-1", [&] { let_go(stage, 1, 3); });
  EXPECT_EQ(stage.follow(), std::nullopt);
  EXPECT_EQ(stage.cloud.machines().front().ended_ms, 0);
  stage.process([](fleet::Context& here) { EXPECT_TRUE(recover_orphans(here)); });
  EXPECT_EQ(stage.followers(), 1U);
  let_go(stage, 4, 9);
  EXPECT_EQ(stage.let_followers_end(), 0) << stage.everything_shown();
  EXPECT_EQ(output(stage), whole_output());
  EXPECT_EQ(stage.model(), "");
  EXPECT_EQ(stage.trouble(), "");
}

TEST(RenewedKey, OfAnotherProcessIsTakenAndNoneIsMadeBesideIt) {
  Stage stage;
  stage.leave_at(ledger::Phase::training, "sleep 1000");
  stage.process([&](fleet::Context& here) {
    const auto run = stage.run();
    const fleet::RunDir dir(here.data, run.name);
    const auto key = must(os::read_file(dir.identity()));
    std::filesystem::remove(dir.identity());
    stage.when("is gone from this computer", [&] { must(os::write_file(dir.identity(), key, 0600)); });
    auto instance = must(here.ledger.instances(run.name)).front();
    auto place = fleet::location_of(instance);
    const auto cloud = must(fleet::open_cloud(here, place));
    must(fleet::renew_key(here, *cloud, dir, instance));
    EXPECT_EQ(must(os::read_file(dir.identity())), key);
    EXPECT_EQ(stage.cloud.count("send_key"), 0);
  });
}

}  // namespace
}  // namespace ferry::run
