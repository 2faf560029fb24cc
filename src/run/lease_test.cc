#include "run/lease.h"

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <random>
#include <thread>

#include "fleet/labels.h"
#include "run/actions.h"
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
    return Lease::take(store_register(store(), "r-1"), "r-1", {ledger, "ann@" + ledger}, clock_, waiting);
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

/// Threads that take turns on one clock which is turned by hand: each goes on when its sleep is over, one at a time,
/// and always in the same order.
class Turns {
 public:
  class Clock final : public os::Clock {
   public:
    Clock(Turns& turns, int who) : turns_(turns), who_(who) {}
    std::int64_t now_ms() override { return turns_.now_; }
    std::int64_t steady_ms() override { return turns_.now_; }
    void sleep(Millis time) override { turns_.wait(who_, turns_.now_ + std::max<std::int64_t>(0, time.count())); }

   private:
    Turns& turns_;
    int who_;
  };

  /// Each of `acts` in a thread of its own, until all have ended.
  void play(const std::vector<std::function<void(Clock&)>>& acts) {
    std::vector<std::thread> threads;
    for (int i = 0; i < static_cast<int>(acts.size()); ++i) due_[i] = now_;
    turn_ = 0;
    for (int i = 0; i < static_cast<int>(acts.size()); ++i) {
      threads.emplace_back([&, i] {
        Clock clock(*this, i);
        {
          std::unique_lock held(mutex_);
          moved_[i].wait(held, [&] { return turn_ == i; });
        }
        acts[static_cast<std::size_t>(i)](clock);
        const std::lock_guard held(mutex_);
        due_.erase(i);
        pass_on();
      });
    }
    for (auto& one : threads) one.join();
  }
  std::int64_t now() const { return now_; }

 private:
  void wait(int who, std::int64_t until) {
    std::unique_lock held(mutex_);
    due_[who] = until;
    pass_on();
    moved_[who].wait(held, [&] { return turn_ == who; });
  }
  void pass_on() {
    turn_ = -1;
    for (const auto& [who, due] : due_) {
      if (turn_ < 0 || due < due_[turn_]) turn_ = who;
    }
    if (turn_ < 0) return;
    now_ = std::max(now_, due_[turn_]);
    moved_[turn_].notify_one();
  }

  std::mutex mutex_;
  std::map<int, std::condition_variable> moved_ = [] {
    std::map<int, std::condition_variable> all;
    for (int i = 0; i < 8; ++i) all[i];
    return all;
  }();
  std::map<int, std::int64_t> due_;
  std::int64_t now_ = 1'000'000;
  int turn_ = -1;
};

/// What all see, and how long it takes each of them: a call may be slow, fail, or do what it should and say that it
/// failed.
struct Shared {
  Register::Value value;
  int writes = 0;
  bool has_conditions = true;
};
class SlowRegister final : public Register {
 public:
  SlowRegister(Shared& shared, os::Clock& clock, std::mt19937& chance, const bool& is_offline)
      : shared_(shared), clock_(clock), chance_(chance), is_offline_(is_offline) {}
  Result<Value> read() override {
    if (!travel()) return fail(Kind::lost, "no answer");
    const auto seen = shared_.value;
    if (!travel()) return fail(Kind::lost, "no answer");
    return seen;
  }
  Result<std::string> write(const std::string& text, const std::string& expected) override {
    if (!travel()) return fail(Kind::lost, "no answer");
    if (shared_.has_conditions && shared_.value.version != expected) return fail(Kind::conflict, "changed");
    shared_.value = {text, std::to_string(++shared_.writes)};
    const auto version = shared_.value.version;
    if (!travel()) return fail(Kind::lost, "no answer");
    return version;
  }
  bool is_conditional() const override { return shared_.has_conditions; }

 private:
  bool travel() {
    if (is_offline_) {
      clock_.sleep(Millis(3'000));
      return false;
    }
    // Mostly soon; now and then longer than anybody waits for.
    clock_.sleep(Millis(chance_() % 40 == 0 ? chance_() % 60'000 : chance_() % 2'000));
    return !is_offline_;
  }

  Shared& shared_;
  os::Clock& clock_;
  std::mt19937& chance_;
  const bool& is_offline_;
};

/// Computers that want one lease, keep it, are killed, sleep, lose their network and come back.
class Race {
 public:
  Race(unsigned seed, bool has_conditions) : chance_(seed) { shared_.has_conditions = has_conditions; }

  void play() {
    std::vector<std::function<void(Turns::Clock&)>> acts;
    for (int i = 0; i < computers; ++i) acts.emplace_back([this, i](Turns::Clock& clock) { live(i, clock); });
    turns_.play(acts);
  }
  int taken = 0;       ///< how often it was had
  int taken_over = 0;  ///< of these, from another ledger that did not give it back
  std::string trouble;

 private:
  static constexpr int computers = 3;
  static constexpr std::int64_t ten_minutes = 600'000;

  void live(int who, Turns::Clock& clock) {
    clock.sleep(Millis(chance_() % 4 == 0 ? 0 : chance_() % 120'000));
    const auto end = turns_.now() + ten_minutes;
    bool is_offline = false;
    while (turns_.now() < end) {
      const auto me = "ledger-" + std::to_string(who);
      auto lease = Lease::take(
          std::make_unique<SlowRegister>(shared_, clock, chance_, is_offline), "r", {me, me}, clock,
          [&](const LeaseHolder&) { return turns_.now() < end; }, times_);
      if (lease) work(who, *lease, clock, is_offline, turns_.now() + static_cast<std::int64_t>(chance_() % 400'000));
      is_offline = false;
      clock.sleep(Millis(chance_() % 30'000));
    }
  }

  void work(int who, Lease& lease, Turns::Clock& clock, bool& is_offline, std::int64_t end) {
    ++taken;
    if (last_ >= 0 && last_ != who) ++taken_over;
    last_ = who;
    const auto asleep_at = chance_() % 3 == 0 ? turns_.now() + static_cast<std::int64_t>(chance_() % 100'000) : 0;
    const auto offline_at = chance_() % 3 == 0 ? turns_.now() + static_cast<std::int64_t>(chance_() % 100'000) : 0;
    bool has_slept = false, was_offline = false;
    while (turns_.now() < end) {
      owner_ = owner_ == who ? -1 : owner_;  // asleep, or in keep(), it does nothing else
      if (asleep_at > 0 && turns_.now() > asleep_at && !std::exchange(has_slept, true))
        clock.sleep(Millis(chance_() % 400'000));
      if (offline_at > 0 && turns_.now() > offline_at && !std::exchange(was_offline, true)) is_offline = true;
      if (was_offline && chance_() % 20 == 0) is_offline = false;
      if (!lease.keep()) return;
      if (lease.is_sure() && !is_offline) {
        // At work, from now until it looks again.
        if (owner_ >= 0 && owner_ != who)
          trouble += std::to_string(owner_) + " and " + std::to_string(who) + " at once; ";
        owner_ = who;
      }
      clock.sleep(Millis(5'000));
    }
    owner_ = owner_ == who ? -1 : owner_;
    // Killed, or at its end.
    if (chance_() % 3 == 0 && shared_.has_conditions) {
      lease.give_back();
      last_ = -1;
    }
  }

  std::mt19937 chance_;
  Turns turns_;
  Shared shared_;
  LeaseTimes times_;
  int owner_ = -1, last_ = -1;
};

void race(bool has_conditions) {
  constexpr unsigned seeds = 1000;
  int taken = 0, taken_over = 0;
  for (unsigned seed = 1; seed <= seeds; ++seed) {
    Race one(seed, has_conditions);
    one.play();
    EXPECT_EQ(one.trouble, "") << "seed " << seed;
    taken += one.taken;
    taken_over += one.taken_over;
  }
  EXPECT_GT(taken, 2000);
  EXPECT_GT(taken_over, 500) << "somebody takes it over when it has run out";
  ::testing::Test::RecordProperty("taken", taken);
  ::testing::Test::RecordProperty("taken_over", taken_over);
}

TEST(LeaseRaces, InAThousandOverAStoreNoTwoComputersWorkAtOnce) { race(true); }
TEST(LeaseRaces, InAThousandOverATagNoTwoComputersWorkAtOnce) { race(false); }

/// A machine of another laptop's ledger, that is gone; the current folder is one of this laptop's.
class LeaseOnAMachine : public ::testing::Test {
 protected:
  LeaseOnAMachine() : before_(std::filesystem::current_path()) {
    stage_.leave_at(ledger::Phase::training);
    first_ = must(fleet::ledger_id(stage_.data()));
    id_ = must(stage_.ledger().instances("t-left")).front().id;
    region_ = must(stage_.ledger().instances("t-left")).front().region;
    must(stage_.cloud.open(region_)->tag(id_, fleet::tags_for_recovery(stage_.run(), "ssh-ed25519 AAAA")));
  }
  ~LeaseOnAMachine() override { std::filesystem::current_path(before_); }
  Result<Lease> take_for_first() {
    return Lease::take(tag_register(stage_.cloud.open(region_), id_), "t-left", {first_, "ann@first"}, stage_.clock,
                       never);
  }
  Result<Recovered> recover_elsewhere() {
    std::filesystem::current_path(stage_.data().parent_path());
    Result<Recovered> done = fail(Kind::bug, "killed");
    stage_.process([&](fleet::Context& here) { done = recover(here, {.names = {"t-left"}}); });
    return done;
  }

  Stage stage_;
  std::string first_, id_, region_;

 private:
  os::Path before_;
};

TEST_F(LeaseOnAMachine, AFerryThatShowsItselfIsLeftAloneAndOneThatIsGoneIsTakenOver) {
  auto first = take_for_first();
  ASSERT_TRUE(first) << describe(first.error());
  stage_.lose_laptop();
  for (int i = 1; i < 20; ++i) stage_.clock.in(Millis(i * 10'000), [&] { EXPECT_TRUE(first->keep()); });
  const auto refused = recover_elsewhere();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, Kind::conflict);
  EXPECT_NE(refused.error().what.find("ann@first works on t-left"), std::string::npos) << describe(refused.error());
  EXPECT_TRUE(must(stage_.ledger().runs(false)).empty());

  stage_.clock.sleep(Millis(200'000));  // its last plans are over: it is gone
  const auto begun = stage_.clock.steady_ms();
  const auto taken = recover_elsewhere();
  ASSERT_TRUE(taken) << describe(taken.error());
  EXPECT_GE(stage_.clock.steady_ms() - begun, 90'000);
  EXPECT_LE(stage_.clock.steady_ms() - begun, 150'000);
  EXPECT_FALSE(first->keep()) << "should it live all the same, it finds out";
  stage_.let_followers_end();
  EXPECT_EQ(stage_.model(), "") << stage_.everything_shown();
  EXPECT_EQ(stage_.trouble(), "");
}

TEST_F(LeaseOnAMachine, WhereTagsMayNotBeChangedTheRunGoesOnWithoutAndSaysSoOnce) {
  stage_.cloud.add({"tag", failure(Kind::denied), -1});
  EXPECT_EQ(stage_.follow(), 0) << stage_.everything_shown();
  EXPECT_TRUE(stage_.was_shown("it is not known whether another computer works on the run"))
      << stage_.everything_shown();
  EXPECT_EQ(stage_.cloud.count("tag"), 2);
  EXPECT_EQ(stage_.trouble(), "");
}

TEST_F(LeaseOnAMachine, WhoeverFollowsTakesItWithOneCallAndKeepsIt) {
  EXPECT_EQ(stage_.follow(), 0) << stage_.everything_shown();
  EXPECT_EQ(stage_.cloud.count("tag"), 2) << "the first is this test's own";
  EXPECT_EQ(stage_.trouble(), "");
}

TEST_F(Leases, ThatManyWantAtOnceAreHadByOne) {
  constexpr int rounds = 100;
  for (int round = 0; round < rounds; ++round) {
    const auto run = "r-" + std::to_string(round);
    std::atomic<int> owners{0}, ready{0};
    std::vector<std::thread> computers;
    for (int i = 0; i < 4; ++i) {
      computers.emplace_back([&, i] {
        auto mine = store();
        ++ready;
        while (ready < 4) std::this_thread::yield();
        const auto lease = Lease::take(store_register(std::move(mine), run), run, {"ledger-" + std::to_string(i), "x"},
                                       os::system_clock(), never);
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
  constexpr int seeds = 50;
  for (int seed = 0; seed < seeds; ++seed) {
    std::mt19937 random(static_cast<unsigned>(seed));
    const auto run = "s-" + std::to_string(seed);
    LeaseTimes times{Millis(1), Millis(3)};
    must(Lease::take(store_register(store(), run), run, {"dead", "x"}, os::system_clock(), never, times));
    std::atomic<int> owners{0};
    std::vector<std::thread> computers;
    for (int i = 0; i < 3; ++i) {
      const auto wait = std::chrono::microseconds(random() % 3000);
      computers.emplace_back([&, i, wait] {
        std::this_thread::sleep_for(wait);
        HandClock clock;
        const LeaseTimes mine{Millis(20'000), Millis(90'000)};
        const auto lease = Lease::take(
            store_register(store(), run), run, {"ledger-" + std::to_string(i), "x"}, clock,
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
