// Caps across runs, kept by whole runs: those that are refused, that wait, that are killed, that begin again.
#include <gtest/gtest.h>

#include "run/stage.h"

namespace ferry::run::caps_test {
namespace {

constexpr const char* provider = "rehearsal";

/// Another run that holds so much, as another ferry reserved it.
void hold(Stage& stage, double dollars, double hourly) {
  ASSERT_TRUE(stage.ledger().add_run({.name = "other-abc", .task = Json::object(), .phase = ledger::Phase::planning}));
  const auto usd = [](double money) { return Usd{static_cast<std::int64_t>(money * 1e6)}; };
  ASSERT_TRUE(stage.ledger().reserve({.run = "other-abc",
                                      .provider = provider,
                                      .at_most = usd(dollars),
                                      .hourly = usd(hourly),
                                      .machine_hourly = usd(hourly)},
                                     {}));
}

TEST(CapsOfRuns, OneThatDoesNotKeepThemIsRefusedBeforeAnythingIsRented) {
  Stage stage;
  stage.caps = Caps{.machines = 1};
  hold(stage, 1, 1);
  EXPECT_EQ(stage.start(stage.request()), try_later) << stage.everything_shown();
  EXPECT_TRUE(stage.was_shown("error limit: your limit of one machine")) << stage.everything_shown();
  EXPECT_EQ(stage.cloud.count("launch"), 0);
}

TEST(CapsOfRuns, OneThatWaitsIsRentedForOnceTheOtherIsOver) {
  Stage stage;
  stage.caps = Caps{.machines = 1};
  hold(stage, 1, 1);
  stage.clock.in(Millis(3'600'000), [&] { ASSERT_TRUE(stage.ledger().let_go("other-abc")); });
  auto request = stage.request();
  request.wait = Seconds(6 * 3600);
  const auto began = stage.clock.now_ms();
  EXPECT_EQ(stage.start(request), 0) << stage.everything_shown();
  EXPECT_GE(stage.clock.now_ms() - began, 3'600'000);
  EXPECT_EQ(stage.cloud.machines().size(), 1U);
  EXPECT_EQ(stage.model(), "");
}

TEST(CapsOfRuns, WhatAKilledFerryReservedIsFreeOnceTheNextCommandHasGivenBackWhatItHad) {
  for (int step = 1;; ++step) {
    ASSERT_LT(step, 300);
    SCOPED_TRACE(fmt::format("step {}", step));
    Stage stage;
    stage.caps = Caps{.a_day = Usd{1'000'000'000}, .machines = 1};
    stage.refused.assign(1, failure(Kind::denied));  // so that it ends before anything runs there
    stage.kill_at(step);
    const auto code = stage.start(stage.request());
    stage.kill_at(0);
    if (!code) {
      // Until then it counts wherever it may have rented.
      const auto use = must(stage.ledger().use(provider));
      if (!must(stage.ledger().unreleased()).empty()) {
        EXPECT_EQ(use.machines, 1);
      }
    }
    stage.recover_all();
    const auto use = must(stage.ledger().use(provider));
    EXPECT_EQ(use.machines, 0) << stage.everything_shown();
    EXPECT_EQ(use.hour, Usd{});
    Usd spent;
    for (const auto& run : must(stage.ledger().runs(false))) {
      for (const auto& one : must(stage.ledger().instances(run.name)))
        spent = spent + ledger::spent(one, stage.clock.now_ms()).value_or(Usd{});
    }
    EXPECT_EQ(use.day, spent);
    if (code) return;
  }
}

TEST(CapsOfRuns, ARunThatBeginsAgainIsHeldToWhatItReserved) {
  Stage stage;
  auto request =
      stage.request("[ \"$FERRY_ATTEMPT\" = 2 ] || exec sleep 1000; mkdir -p outputs; echo model >outputs/model");
  request.task.resources.recovery.emplace();
  stage.caps = Caps{.machines = 1};
  stage.when("begin train", [&] { stage.cloud.end(stage.machine_id()); });
  EXPECT_EQ(stage.start(request), 0) << stage.everything_shown();
  EXPECT_EQ(stage.cloud.machines().size(), 2U);
  const auto run = stage.run();
  Usd spent;
  for (const auto& one : must(stage.ledger().instances(run.name)))
    spent = spent + ledger::spent(one, stage.clock.now_ms()).value_or(Usd{});
  EXPECT_LE(spent, must(stage.ledger().reservation(run.name))->at_most);
  EXPECT_EQ(must(stage.ledger().use(provider)).machines, 0);
}

}  // namespace
}  // namespace ferry::run::caps_test
