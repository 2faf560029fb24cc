// Caps that all runs together keep, however many ferries come at once.
#include <gtest/gtest.h>

#include <barrier>
#include <random>
#include <thread>

#include "ledger/ledger.h"

namespace ferry::ledger::reservations_test {
namespace {

constexpr std::int64_t noon = 1'800'014'400'000;  // 2027-01-15, 12:00 UTC
constexpr std::int64_t hour_ms = 3'600'000;

class StandingClock final : public os::Clock {
 public:
  std::int64_t now = noon;
  std::int64_t now_ms() override { return now; }
  std::int64_t steady_ms() override { return now; }
  void sleep(Millis) override {}
};

Usd usd(double dollars) { return {static_cast<std::int64_t>(dollars * 1e6)}; }

class Caps : public testing::Test {
 protected:
  Caps() { ledger = open(); }
  std::unique_ptr<Ledger> open() {
    auto opened = Ledger::open(dir.path() / "ledger.db", clock);
    if (!opened) throw std::runtime_error(describe(opened.error()));
    return *std::move(opened);
  }
  void add(const std::string& name) { ASSERT_TRUE(ledger->add_run({.name = name, .task = Json::object()})); }
  /// A run that has reserved, without caps.
  void reserve(const std::string& name, double most, double hourly = 1) {
    add(name);
    ASSERT_TRUE(ledger->reserve(wish(name, most, hourly), {}));
  }
  static Reservation wish(const std::string& name, double most, double hourly = 1) {
    return {.run = name, .provider = "aws", .at_most = usd(most), .hourly = usd(hourly), .machine_hourly = usd(hourly)};
  }
  /// A machine of the run at a dollar an hour.
  Instance machine(const std::string& run, std::int64_t launched, std::int64_t released) {
    Instance one{.token = run + "-1", .run = run, .provider = "aws", .region = "us-east-1", .id = "i-" + run};
    one.hourly = usd(1);
    EXPECT_TRUE(ledger->record_intent(one));
    one.state = released ? Rent::released : Rent::live;
    one.launched_ms = launched;
    one.released_ms = released;
    EXPECT_TRUE(ledger->record_instance(one));
    return one;
  }
  void end(const std::string& run) {
    const auto machines = ledger->instances(run).value();
    for (auto one : machines) {
      one.state = Rent::released;
      EXPECT_TRUE(ledger->record_instance(one));
    }
    ASSERT_TRUE(ledger->move(run, Phase::released));
  }

  os::TempDir dir;
  StandingClock clock;
  std::unique_ptr<Ledger> ledger;
};

TEST_F(Caps, BeforeMidnightARunThatIsTooMuchForAWholeDayIsNotToldToWait) {
  reserve("one", 1);
  machine("one", noon + 11 * hour_ms, 0);
  clock.now = noon + 11 * hour_ms + hour_ms / 2;
  add("two");
  const auto refused = ledger->reserve(wish("two", 5), {.a_day = usd(1.5)});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, Kind::bad_input) << describe(refused.error());
  EXPECT_NE(refused.error().why.find("on a whole day"), std::string::npos) << describe(refused.error());
}

TEST_F(Caps, WhatARunMayStillCostCountsUntilItIsOverAndThenWhatItHasCost) {
  reserve("one", 8);
  add("two");
  const ferry::Caps caps{.a_day = usd(10)};
  const auto refused = ledger->reserve(wish("two", 5), caps);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, Kind::limit);
  EXPECT_EQ(refused.error().code, "usd_per_day");
  EXPECT_FALSE(*ledger->reservation("two")) << "a refusal changes nothing";
  machine("one", noon - hour_ms, 0);
  EXPECT_FALSE(ledger->reserve(wish("two", 5), caps));
  end("one");
  EXPECT_TRUE(ledger->reserve(wish("two", 5), caps)) << "it has cost a dollar of its eight";
  EXPECT_EQ(ledger->use("aws")->machines, 1);
}

TEST_F(Caps, ARunThatWaitsHoldsNothing) {
  reserve("one", 8);
  add("two");
  const ferry::Caps caps{.a_day = usd(10)};
  ASSERT_TRUE(ledger->let_go("one"));
  EXPECT_TRUE(ledger->reserve(wish("two", 5), caps));
  EXPECT_FALSE(ledger->reserve(wish("one", 8), caps)) << "nor has it a claim";
  EXPECT_TRUE(ledger->reserve(wish("one", 5), caps));
}

TEST_F(Caps, WhatIsTooMuchByItselfIsNoLimitThatPasses) {
  add("one");
  const auto refused = ledger->reserve(wish("one", 11), {.a_day = usd(10)});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, Kind::bad_input);
}

TEST_F(Caps, ALongRunCountsOnEachDayWithWhatThatDayMayCost) {
  add("one");
  EXPECT_TRUE(ledger->reserve(wish("one", 100), {.a_day = usd(25)})) << "a dollar an hour";
  EXPECT_FALSE(ledger->reserve(wish("one", 100, 2), {.a_day = usd(25)})) << "tomorrow it would cost 48";
  EXPECT_FALSE(ledger->reserve(wish("one", 100), {.a_month = usd(99)}));
  EXPECT_TRUE(ledger->reserve(wish("one", 100), {.a_month = usd(101)}));
}

TEST_F(Caps, WhatWasSpentYesterdayCountsThisMonthAndNotToday) {
  add("one");
  machine("one", noon - 20 * hour_ms, noon - 14 * hour_ms);  // six hours, all before midnight
  end("one");
  add("over-midnight");
  machine("over-midnight", noon - 16 * hour_ms, noon - 10 * hour_ms);  // two of its six today
  end("over-midnight");
  const auto use = *ledger->use("aws");
  EXPECT_EQ(use.day, usd(2));
  EXPECT_EQ(use.month, usd(12));
  EXPECT_EQ(use.hour, usd(0));
}

TEST_F(Caps, MachinesAndTheirPriceAnHourAreCounted) {
  reserve("one", 8, 3);
  add("two");
  EXPECT_EQ(ledger->reserve(wish("two", 1, 3), {.an_hour = usd(5)}).error().code, "usd_per_hour");
  EXPECT_EQ(ledger->reserve(wish("two", 1, 3), {.machines = 1}).error().code, "machines");
  EXPECT_TRUE(ledger->reserve(wish("two", 1, 2), {.an_hour = usd(5), .machines = 2}));
}

TEST_F(Caps, AMachineWithoutAReservationCountsAsLongAsItIsThere) {
  add("found");
  machine("found", noon - hour_ms, 0);
  add("two");
  EXPECT_FALSE(ledger->reserve(wish("two", 10), {.a_day = usd(20)})) << "12 hours of today are left to it";
  EXPECT_TRUE(ledger->reserve(wish("two", 2), {.a_month = usd(1000)}));
  end("found");
  EXPECT_TRUE(ledger->reserve(wish("two", 10), {.a_day = usd(20)}));
}

TEST_F(Caps, RehearsalsAndRunsDoNotCountForEachOther) {
  reserve("one", 8);
  add("two");
  auto rehearsal = wish("two", 9);
  rehearsal.provider = "rehearsal";
  EXPECT_TRUE(ledger->reserve(rehearsal, {.a_day = usd(10), .machines = 1}));
}

TEST_F(Caps, AnUnknownPriceKeepsNoLimitInDollars) {
  add("one");
  EXPECT_EQ(ledger->reserve(wish("one", 0), {.a_day = usd(10)}).error().kind, Kind::bad_input);
  EXPECT_TRUE(ledger->reserve(wish("one", 0), {.machines = 1}));
}

TEST_F(Caps, AFurtherAttemptIsHeldToWhatItsRunHasLeft) {
  reserve("one", 8);
  machine("one", noon - 3 * hour_ms, noon);
  add("two");
  EXPECT_TRUE(ledger->reserve(wish("one", 8), {.a_day = usd(8)})) << "three spent, five left";
  EXPECT_TRUE(ledger->reserve(wish("two", 2), {.a_day = usd(10)}));
  EXPECT_FALSE(ledger->reserve(wish("one", 8.5), {.a_day = usd(10)}));
}

/// Two ferries, each with a ledger of its own, that begin at the same moment.
TEST_F(Caps, AThousandRacesOfTwoFerriesNeverBreakADailyCap) {
  for (const auto* name : {"before", "a", "b"}) add(name);
  std::mt19937 random(20261129);
  const auto amount = [&](int most) { return 0.01 * static_cast<double>(1 + random() % static_cast<unsigned>(most)); };
  constexpr int races = 1000;
  struct Race {
    double before, cap;
    std::array<double, 2> wanted;
    std::array<bool, 2> had{};
  };
  std::vector<Race> all;
  for (int i = 0; i < races; ++i) {
    const double before = amount(500), cap = before + amount(1000);
    all.push_back({before, cap, {amount(800), amount(800)}, {}});
  }
  std::barrier gate(3);
  const auto ferry = [&](std::size_t which) {
    const auto own = open();
    for (auto& race : all) {
      gate.arrive_and_wait();
      race.had[which] =
          own->reserve(wish(which == 0 ? "a" : "b", race.wanted[which], 100), {.a_day = usd(race.cap)}).has_value();
      gate.arrive_and_wait();
    }
  };
  std::thread first(ferry, 0), second(ferry, 1);
  int both = 0, one = 0, none = 0;
  for (auto& race : all) {
    for (const auto* name : {"a", "b"}) EXPECT_TRUE(ledger->let_go(name));
    EXPECT_TRUE(ledger->reserve(wish("before", race.before, 100), {}));
    gate.arrive_and_wait();
    gate.arrive_and_wait();
    const auto cap = usd(race.cap).micros, before = usd(race.before).micros;
    std::int64_t held = before;
    int taken = 0;
    for (std::size_t i = 0; i < 2; ++i) {
      held += race.had[i] ? usd(race.wanted[i]).micros : 0;
      taken += race.had[i];
    }
    EXPECT_LE(held, cap);
    EXPECT_LE(ledger->use("aws")->day.micros, cap);
    const auto low = std::min(usd(race.wanted[0]).micros, usd(race.wanted[1]).micros);
    const bool room_for_both = before + usd(race.wanted[0]).micros + usd(race.wanted[1]).micros <= cap;
    EXPECT_GE(taken, room_for_both ? 2 : before + low <= cap ? 1 : 0) << "refused without need";
    ++(taken == 2 ? both : taken == 1 ? one : none);
  }
  first.join();
  second.join();
  EXPECT_GT(both, 100);
  EXPECT_GT(one, 100);
  EXPECT_GT(none, 10);
}

}  // namespace
}  // namespace ferry::ledger::reservations_test
