#include "run/lease.h"

#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>

#include "run/stage.h"
#include "store/folder.h"

namespace ferry::run {
namespace {

bool never(const LeaseHolder&) { return false; }
bool always(const LeaseHolder&) { return true; }

class Leases : public ::testing::Test {
 protected:
  std::unique_ptr<store::Store> store() { return must(store::open_folder(dir_.path() / "store")); }
  Result<Lease> take(const std::string& ledger, const std::function<bool(const LeaseHolder&)>& waiting = never) {
    return Lease::take(store(), "r-1", {ledger, "ann@" + ledger}, clock_, waiting);
  }
  os::TempDir dir_;
  HandClock clock_;
};

TEST_F(Leases, AreHadByOneLedgerAtATime) {
  auto first = take("one");
  ASSERT_TRUE(first);
  EXPECT_EQ(first->epoch(), 1);
  const auto second = take("two");
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().kind, Kind::conflict);
  EXPECT_NE(second.error().what.find("ann@one"), std::string::npos);
  first->give_back();
  EXPECT_FALSE(first->keep());
  auto third = take("two");
  ASSERT_TRUE(third);
  EXPECT_EQ(third->epoch(), 2);
}

TEST_F(Leases, OfOnesOwnLedgerAreTakenAtOnce) {
  auto killed = take("one");
  auto next = take("one");
  ASSERT_TRUE(killed && next);
  EXPECT_EQ(next->epoch(), 2);
  clock_.sleep(Millis(30'000));
  EXPECT_FALSE(killed->keep()) << "should it live all the same, it finds out";
  EXPECT_TRUE(next->keep());
}

TEST_F(Leases, ThatNobodyKeepsRunOutByTheWatchersClock) {
  auto first = take("one");
  const auto begun = clock_.steady_ms();
  auto second = take("two", always);
  ASSERT_TRUE(second);
  EXPECT_GE(clock_.steady_ms() - begun, 90'000);
  EXPECT_LT(clock_.steady_ms() - begun, 95'000);
  EXPECT_FALSE(first->keep()) << "who slept finds out at the next pulse";
  EXPECT_TRUE(second->keep());
}

TEST_F(Leases, ThatAreKeptAreNeverTaken) {
  auto first = take("one");
  int looks = 0;
  const auto second = take("two", [&](const LeaseHolder& holder) {
    EXPECT_EQ(holder.ledger, "one");
    EXPECT_TRUE(first->keep());
    return ++looks < 1000;
  });
  EXPECT_FALSE(second);
  EXPECT_EQ(looks, 1000);
}

TEST_F(Leases, AreGivenUpInTimeWhereTheStoreIsOutOfReach) {
  auto first = take("one");
  ASSERT_TRUE(first);
  const auto place = dir_.path() / "store";
  std::filesystem::rename(place, dir_.path() / "away");
  must(os::write_file(place, "no folder"));
  const auto begun = clock_.steady_ms();
  while (first->keep()) clock_.sleep(Millis(1'000));
  EXPECT_GT(clock_.steady_ms() - begun, 60'000);
  EXPECT_LT(clock_.steady_ms() - begun, 90'000) << "nobody can have taken it yet";
}

TEST_F(Leases, ThatManyWantAtOnceAreHadByOne) {
  constexpr int rounds = 200;
  for (int round = 0; round < rounds; ++round) {
    const auto run = "r-" + std::to_string(round);
    std::atomic<int> owners{0}, ready{0};
    std::vector<std::thread> computers;
    for (int i = 0; i < 4; ++i) {
      computers.emplace_back([&, i] {
        auto mine = store();
        ++ready;
        while (ready < 4) std::this_thread::yield();
        const auto lease =
            Lease::take(std::move(mine), run, {"ledger-" + std::to_string(i), "x"}, os::system_clock(), never);
        if (lease)
          ++owners;
        else
          EXPECT_EQ(lease.error().kind, Kind::conflict);
      });
    }
    for (auto& one : computers) one.join();
    ASSERT_EQ(owners, 1) << run;
  }
}

TEST_F(Leases, ThatRanOutAreTakenByOneOfManyWhoWatch) {
  constexpr int seeds = 100;
  for (int seed = 0; seed < seeds; ++seed) {
    std::mt19937 random(static_cast<unsigned>(seed));
    const auto run = "s-" + std::to_string(seed);
    LeaseTimes times{Millis(1), Millis(3)};
    must(Lease::take(store(), run, {"dead", "x"}, os::system_clock(), never, times));
    std::atomic<int> owners{0};
    std::vector<std::thread> computers;
    for (int i = 0; i < 3; ++i) {
      const auto wait = std::chrono::microseconds(random() % 3000);
      computers.emplace_back([&, i, wait] {
        std::this_thread::sleep_for(wait);
        HandClock clock;
        const LeaseTimes mine{Millis(20'000), Millis(90'000)};
        const auto lease = Lease::take(
            store(), run, {"ledger-" + std::to_string(i), "x"}, clock,
            [](const LeaseHolder& holder) { return holder.ledger == "dead"; }, mine);
        if (lease)
          ++owners;
        else
          EXPECT_EQ(lease.error().kind, Kind::conflict);
      });
    }
    for (auto& one : computers) one.join();
    ASSERT_EQ(owners, 1) << seed;
  }
}

}  // namespace
}  // namespace ferry::run
