// Giving back, by table: over every failure of every call, what is rented and what the ledger says of it.
#include <gtest/gtest.h>

#include "base/text.h"
#include "fleet/labels.h"
#include "fleet/machine.h"
#include "run/stage.h"

namespace ferry::run {
namespace {

using ledger::Phase;
using ledger::Rent;

Result<std::vector<std::string>> give_back(Stage& stage) {
  auto here = stage.context();
  return fleet::release_all(here, stage.run());
}

/// What the ledger calls released is gone. Empty if so.
std::string untrue(Stage& stage) {
  std::string found;
  const auto left = stage.cloud.left();
  const auto is_left = [&](const std::string& what) {
    return std::ranges::any_of(left, [&](const auto& one) { return one.find(what) != one.npos; });
  };
  const auto name = stage.run().name;
  const auto instances = stage.ledger().instances(name);
  for (const auto& one : *instances) {
    if (one.state == Rent::released && !one.id.empty() && is_left(one.id)) found += one.id + "; ";
  }
  const auto resources = stage.ledger().resources(name);
  for (const auto& one : *resources) {
    if (one.released && is_left((one.kind == "key-pair" ? "key " : "group ") + one.name)) found += one.kind + "; ";
  }
  return found;
}

const std::vector<std::string> calls_of_release = {"terminate",     "describe",   "find_by_tag",
                                                   "find_by_token", "delete_key", "delete_group"};

TEST(GivingBack, OneFailureThatMayPassIsWaitedFor) {
  for (const auto& call : calls_of_release) {
    for (const auto kind : {Kind::throttled, Kind::lost, Kind::timeout, Kind::io}) {
      for (const bool took_effect : {false, true}) {
        SCOPED_TRACE(fmt::format("{} {} {}", call, name(kind), took_effect));
        Stage stage;
        stage.leave_at(Phase::connecting);
        const auto id = stage.machine_id();
        stage.cloud.add({.call = call, .error = failure(kind), .times = 3, .took_effect = took_effect});
        const auto ended = give_back(stage);
        ASSERT_TRUE(ended) << describe(ended.error());
        EXPECT_EQ(*ended, std::vector<std::string>{id});
        EXPECT_EQ(join(stage.cloud.left(), ", "), "");
        EXPECT_EQ(untrue(stage), "");
      }
    }
  }
}

TEST(GivingBack, WhateverFailsForeverTheMachineIsEndedIfItCanBeAndTheLedgerStaysTrue) {
  for (const auto& call : calls_of_release) {
    for (const auto kind : {Kind::denied, Kind::throttled, Kind::lost, Kind::conflict, Kind::bad_input}) {
      SCOPED_TRACE(fmt::format("{} {}", call, name(kind)));
      Stage stage;
      stage.leave_at(Phase::connecting);
      const auto id = stage.machine_id();
      stage.cloud.add({.call = call, .error = failure(kind), .times = -1});
      const auto ended = give_back(stage);
      const bool is_rented = stage.cloud.machines().front().ended_ms == 0;
      EXPECT_EQ(is_rented, call == "terminate") << stage.everything_shown();
      EXPECT_EQ(ended.has_value(), call == "find_by_token") << "which is not asked when the id is known";
      EXPECT_EQ(untrue(stage), "");
      stage.cloud.heal();
      EXPECT_TRUE(give_back(stage));
      EXPECT_EQ(join(stage.cloud.left(), ", "), "");
      EXPECT_EQ(untrue(stage), "");
      EXPECT_EQ(stage.ledger().instances(stage.run().name)->front().state, Rent::released);
    }
  }
}

TEST(GivingBack, AWriteThatTheLedgerRefusesIsMadeTheNextTime) {
  for (int at = 1;; ++at) {
    ASSERT_LT(at, 20);
    Stage stage;
    stage.leave_at(Phase::connecting);
    int writes = 0;
    stage.refuse_write = [&](const std::string&) -> std::optional<Error> {
      return ++writes == at ? std::optional(failure(Kind::disk_full)) : std::nullopt;
    };
    const auto ended = give_back(stage);
    EXPECT_EQ(ended.has_value(), writes < at);
    EXPECT_NE(stage.cloud.machines().front().ended_ms, 0) << "the machine is ended all the same";
    EXPECT_EQ(untrue(stage), "");
    EXPECT_TRUE(give_back(stage));
    EXPECT_EQ(join(stage.cloud.left(), ", "), "");
    if (writes < at) return;
  }
}

TEST(GivingBack, WhatIsGoneAlreadyIsCalm) {
  for (const bool is_forgotten : {false, true}) {
    Stage stage;
    stage.leave_at(Phase::connecting);
    stage.cloud.end(stage.machine_id());
    stage.clock.sleep(is_forgotten ? stage.cloud.memory + Millis(60'000) : stage.cloud.ending);
    EXPECT_TRUE(give_back(stage));
    EXPECT_TRUE(give_back(stage)) << "and may be repeated";
    EXPECT_EQ(join(stage.cloud.left(), ", "), "");
    EXPECT_EQ(untrue(stage), "");
  }
}

TEST(GivingBack, AStoppedMachineIsEndedToo) {
  Stage stage;
  stage.leave_at(Phase::connecting);
  stage.cloud.stop(stage.machine_id());
  EXPECT_TRUE(give_back(stage));
  EXPECT_EQ(join(stage.cloud.left(), ", "), "");
}

TEST(GivingBack, AYoungMachineThatTheCloudDoesNotShowYetIsWaitedFor) {
  for (const auto invisible : {Millis(5'000), Millis(15'000), Millis(25'000)}) {
    Stage stage;
    stage.leave_at(Phase::connecting);
    stage.cloud.invisible = invisible;
    const auto ended = give_back(stage);
    ASSERT_TRUE(ended) << describe(ended.error());
    EXPECT_EQ(join(stage.cloud.left(), ", "), "") << stage.everything_shown();
    EXPECT_EQ(untrue(stage), "");
  }
}

TEST(GivingBack, ALaunchWhoseAnswerWasLostIsFoundByItsTokenHoweverLateItShows) {
  for (const auto invisible : {Millis(0), Millis(3'000), Millis(8'000)}) {
    Stage stage;
    stage.leave_at(Phase::launching);
    auto noted = stage.ledger().instances(stage.run().name)->front();
    const auto id = noted.id;
    noted.id.clear();
    noted.state = Rent::intent;
    ASSERT_TRUE(stage.ledger().record_instance(noted));
    stage.cloud.invisible = invisible;
    const auto ended = give_back(stage);
    ASSERT_TRUE(ended) << describe(ended.error());
    EXPECT_EQ(*ended, std::vector<std::string>{id});
    EXPECT_EQ(join(stage.cloud.left(), ", "), "");
    EXPECT_EQ(untrue(stage), "");
  }
}

TEST(GivingBack, ALaunchThatNeverBecameAMachineIsGivenUp) {
  Stage stage;
  stage.leave_at(Phase::launching);
  auto noted = stage.ledger().instances(stage.run().name)->front();
  noted.token += "-never";
  noted.id.clear();
  noted.state = Rent::intent;
  ASSERT_TRUE(stage.ledger().record_intent(noted));
  EXPECT_TRUE(give_back(stage));
  EXPECT_EQ(join(stage.cloud.left(), ", "), "");
  const auto instances = stage.ledger().instances(stage.run().name);
  for (const auto& one : *instances) EXPECT_EQ(one.state, Rent::released);
}

TEST(GivingBack, AMachineThatOnlyItsTagShowsIsEndedAsWell) {
  Stage stage;
  stage.leave_at(Phase::connecting);
  cloud::LaunchRequest second;
  second.offer.type.name = "t3.medium";
  second.client_token = "nobody noted this one";
  second.key_name = fleet::resource_name(stage.run());
  second.security_group = "sg-" + fleet::resource_name(stage.run());
  second.tags = fleet::tags_of(stage.run());
  ASSERT_TRUE(stage.cloud.open("us-east-1")->launch(second));
  const auto ended = give_back(stage);
  ASSERT_TRUE(ended);
  EXPECT_EQ(ended->size(), 2U);
  EXPECT_EQ(join(stage.cloud.left(), ", "), "");
}

TEST(GivingBack, AnotherAccountThatKnowsNoneOfItIsNotBelieved) {
  Stage stage;
  stage.leave_at(Phase::connecting);
  auto noted = stage.ledger().instances(stage.run().name)->front();
  noted.provider = "aws";
  noted.account = "999999999999";
  ASSERT_TRUE(stage.ledger().record_instance(noted));
  stage.cloud.invisible = Millis(std::int64_t{1} << 40);  // as another account sees it: not at all
  const auto ended = give_back(stage);
  ASSERT_FALSE(ended);
  EXPECT_EQ(stage.ledger().instances(stage.run().name)->front().state, Rent::live);
  EXPECT_EQ(stage.cloud.machines().front().ended_ms, 0);
}

TEST(GivingBack, AProcessThatIsKilledAnywhereIsFollowedByOneThatEndsIt) {
  for (int step = 1;; ++step) {
    ASSERT_LT(step, 200);
    Stage stage;
    stage.leave_at(Phase::connecting);
    stage.kill_at(step);
    const bool lived = stage.process([&](fleet::Context& here) { EXPECT_TRUE(fleet::release_all(here, stage.run())); });
    EXPECT_EQ(untrue(stage), "") << "step " << step;
    EXPECT_TRUE(give_back(stage)) << "step " << step;
    EXPECT_EQ(join(stage.cloud.left(), ", "), "") << "step " << step;
    if (lived) return;
  }
}

}  // namespace
}  // namespace ferry::run
