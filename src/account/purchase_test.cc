// Buying a capacity block: once, whatever breaks on the way, and whenever ferry is killed.
#include "account/purchase.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "base/text.h"
#include "os/file.h"

namespace ferry::account::purchase_test {
namespace {

using ledger::Bought;
using testing::HasSubstr;

/// What kill -9 is to the process.
struct Killed {};

class TurnedClock final : public os::Clock {
 public:
  std::int64_t now_ms() override { return now; }
  std::int64_t steady_ms() override { return now; }
  void sleep(Millis time) override { now += time.count(); }
  std::int64_t now = 1'800'000'000'000;
};

class NoHttp final : public os::HttpClient {
 public:
  Result<os::HttpResponse> send(const os::HttpRequest&) override { return fail(Kind::lost, "no network here"); }
};

/// What EC2 has, and how it misbehaves.
struct Ec2 {
  std::vector<aws::CapacityReservationRecord> sold;
  std::string account = "123456789012";
  std::optional<Error> refuses;  ///< instead of selling
  std::optional<Error> answers;  ///< having sold
  std::optional<Error> looks;    ///< in place of what it has
  std::optional<Usd> fee;        ///< as it lists the offer; nothing: it does not
  std::int64_t shown_from_ms = 0;
  int calls = 0;    ///< to sell
  int kill_at = 0;  ///< that step of the process, from 1; 0: none
  int steps = 0;
  void step() {
    if (++steps == kill_at) throw Killed{};
  }
};

class FakeSeller final : public BlockSeller {
 public:
  FakeSeller(Ec2& ec2, os::Clock& clock) : ec2_(ec2), clock_(clock) {}
  Result<std::string> account() override {
    ec2_.step();
    return ec2_.account;
  }
  Result<std::optional<Usd>> fee_of(const BlockOffer&) override {
    ec2_.step();
    return ec2_.fee;
  }
  Result<aws::CapacityReservationRecord> buy(const std::string&,
                                             const std::map<std::string, std::string>& tags) override {
    ec2_.step();
    ++ec2_.calls;
    if (ec2_.refuses) return tl::unexpected<Error>(*ec2_.refuses);
    aws::CapacityReservationRecord made;
    made.id = fmt::format("cr-{}", ec2_.sold.size() + 1);
    made.is_block = true;
    made.tags = tags;
    ec2_.sold.push_back(made);
    ec2_.step();
    if (ec2_.answers) return tl::unexpected<Error>(*ec2_.answers);
    return made;
  }
  Result<std::vector<aws::CapacityReservationRecord>> reservations() override {
    ec2_.step();
    if (ec2_.looks) return tl::unexpected<Error>(*ec2_.looks);
    ec2_.step();
    return clock_.now_ms() >= ec2_.shown_from_ms ? ec2_.sold : std::vector<aws::CapacityReservationRecord>();
  }

 private:
  Ec2& ec2_;
  os::Clock& clock_;
};

const Error lost{Kind::lost, "the answer to PurchaseCapacityBlock was lost", "", "", ""};

struct Buying : testing::Test {
  os::TempDir dir{"ferry-buy"};
  TurnedClock clock;
  NoHttp http;
  os::SignalQueue signals{SIGUSR2};
  os::Fd nowhere = os::open_file("/dev/null", O_WRONLY).value();
  std::unique_ptr<watch::Progress> progress =
      watch::make_progress(watch::Renderer::quiet, nowhere.get(), nowhere.get());
  std::unique_ptr<ledger::Ledger> ledger = open_ledger();
  Ec2 ec2;
  Caps caps;
  int asked = 0;

  Buying() { keep_offer("cb-1"); }
  std::unique_ptr<ledger::Ledger> open_ledger() {
    return ledger::Ledger::open(dir.path() / "ledger.db", clock).value();
  }
  void keep_offer(const std::string& id) const {
    const Json json = {{id,
                        {{"type", "p5.48xlarge"},
                         {"region", "us-east-1"},
                         {"zone", "us-east-1a"},
                         {"machines", 1},
                         {"hours", 24},
                         {"gpus", 8},
                         {"start_ms", clock.now + 3'600'000},
                         {"end_ms", clock.now + 90'000'000},
                         {"fee_micros", 755'160'000},
                         {"found_ms", clock.now}}}};
    ASSERT_TRUE(os::write_file(dir.path() / "block-offers.json", json.dump()));
  }
  OpenSeller opener() {
    return [this](fleet::Context&, ledger::Purchase&) -> Result<std::unique_ptr<BlockSeller>> {
      return std::make_unique<FakeSeller>(ec2, clock);
    };
  }
  template <class Act>
  auto with_process(const Act& act) {
    fleet::Context context{clock, http, *ledger, *progress, signals, dir.path(), {}, {}, {}};
    context.caps = [this]() -> Result<Caps> { return caps; };
    return act(context);
  }
  Result<BuyDone> buy() {
    return with_process([&](fleet::Context& context) {
      BuyOptions options;
      options.open = opener();
      options.confirm = [&](const BlockOffer&) -> Status {
        ++asked;
        return {};
      };
      return buy_block(context, "cb-1", options);
    });
  }
  void next_command() {
    with_process([&](fleet::Context& context) { settle_purchases(context, opener()); });
  }
  std::vector<ledger::Purchase> purchases() { return ledger->purchases().value(); }
};

TEST_F(Buying, IsDoneOnceAndSaidAgainWithoutAQuestion) {
  const auto done = buy();
  ASSERT_TRUE(done) << describe(done.error());
  EXPECT_EQ(done->purchase.reservation, "cr-1");
  EXPECT_EQ(purchases().at(0).state, Bought::yes);
  EXPECT_EQ(purchases().at(0).account, "123456789012");
  EXPECT_EQ(ec2.sold.at(0).tags.at(purchase_tag), purchases().at(0).tag);
  const auto again = buy();
  ASSERT_TRUE(again);
  EXPECT_TRUE(again->was_bought_before);
  EXPECT_EQ(ec2.calls, 1);
  EXPECT_EQ(asked, 1);
}

TEST_F(Buying, AnAnswerThatIsLostIsLookedForAndNothingIsBoughtTwice) {
  ec2.answers = lost;
  ec2.shown_from_ms = clock.now + 40'000;  // eventual consistency
  const auto done = buy();
  ASSERT_TRUE(done) << describe(done.error());
  EXPECT_EQ(done->purchase.reservation, "cr-1");
  EXPECT_GE(clock.now, ec2.shown_from_ms);
  EXPECT_EQ(ec2.calls, 1);
}

TEST_F(Buying, ThrottlingIsNoReasonToBuyAgainBeforeItIsSureThatNothingWasBought) {
  ec2.refuses = Error{Kind::throttled, "asked too often", "", "", "RequestLimitExceeded"};
  const auto began = clock.now;
  const auto done = buy();
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().kind, Kind::throttled);
  EXPECT_THAT(done.error().advice, HasSubstr("surely not"));
  EXPECT_GE(clock.now - began, 300'000);
  EXPECT_EQ(ec2.calls, 1);
  EXPECT_EQ(purchases().at(0).state, Bought::no);
  ec2.refuses.reset();
  ASSERT_TRUE(buy());
  EXPECT_EQ(asked, 2) << "a person says so again";
  EXPECT_EQ(purchases().at(1).state, Bought::yes);
}

TEST_F(Buying, WhatCannotBeLookedAtStaysUnknownAndIsSettledByTheNextCommand) {
  ec2.answers = lost;
  ec2.looks = Error{Kind::lost, "no network", "", "", ""};
  const auto done = buy();
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, unsettled_code);
  EXPECT_EQ(purchases().at(0).state, Bought::intent);
  const auto again = buy();
  ASSERT_FALSE(again);
  EXPECT_EQ(ec2.calls, 1) << "before it is known, nothing is bought";
  EXPECT_EQ(asked, 1);
  ec2.looks.reset();
  next_command();
  EXPECT_EQ(purchases().at(0).state, Bought::yes);
  EXPECT_EQ(purchases().at(0).reservation, "cr-1");
}

TEST_F(Buying, ARefusalIsFinalAndAnOfferThatIsGoneIsSaid) {
  ec2.refuses = Error{Kind::not_found, "cb-1 cannot be found", "", "", "InvalidCapacityBlockOfferingIdNotFound"};
  const auto began = clock.now;
  const auto done = buy();
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().kind, Kind::not_found);
  EXPECT_EQ(clock.now, began) << "nobody waits for what was refused";
  EXPECT_EQ(purchases().at(0).state, Bought::no);
  EXPECT_EQ(ledger->use("aws").value().day.micros, 0);
}

TEST_F(Buying, CountsInTheLimitsOfTheDayAndMonthInOneStepWithTheLook) {
  caps.a_day = Usd{1'000'000'000};
  ASSERT_TRUE(buy());
  keep_offer("cb-1");
  EXPECT_EQ(ledger->use("aws").value().day.micros, 755'160'000);
  EXPECT_EQ(ledger->use("aws").value().month.micros, 755'160'000);
  ledger::Purchase second{.tag = "buy-x", .provider = "aws", .fee = Usd{300'000'000}};
  const auto refused = ledger->reserve_purchase(second, caps);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, Kind::limit);
  EXPECT_EQ(refused.error().code, "usd_per_day");
  const auto run = ledger->reserve({.run = "r",
                                    .provider = "aws",
                                    .at_most = Usd{300'000'000},
                                    .hourly = Usd{300'000'000},
                                    .machine_hourly = Usd{300'000'000}},
                                   caps);
  EXPECT_FALSE(run) << "a run, too, finds less left";
  clock.now += 86'400'000;
  EXPECT_EQ(ledger->use("aws").value().day.micros, 0) << "the next day has paid nothing";
  EXPECT_TRUE(ledger->reserve_purchase(second, caps));
}

TEST_F(Buying, AFeeThatALimitDoesNotHoldIsNotEvenNoted) {
  caps.a_month = Usd{500'000'000};
  const auto done = buy();
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().kind, Kind::limit);
  EXPECT_TRUE(purchases().empty());
  EXPECT_EQ(ec2.calls, 0);
}

TEST_F(Buying, APriceThatIsAnotherOneByNowIsNotPaid) {
  ec2.fee = Usd{800'000'000};
  EXPECT_EQ(buy().error().kind, Kind::conflict);
  EXPECT_EQ(ec2.calls, 0);
  EXPECT_TRUE(purchases().empty());
  ec2.fee = Usd{755'160'000};
  EXPECT_TRUE(buy());
}

TEST_F(Buying, ASecondFerryBuysNothingMeanwhile) {
  const auto held = os::FileLock::try_take(dir.path() / "buying.lock").value();
  ASSERT_TRUE(held);
  EXPECT_EQ(buy().error().kind, Kind::conflict);
  EXPECT_EQ(ec2.calls, 0);
}

TEST_F(Buying, IsAskedWithTheAccountThatPaid) {
  ec2.answers = lost;
  ec2.looks = lost;
  ASSERT_FALSE(buy());
  ec2.looks.reset();
  ec2.account = "999999999999";
  clock.now += 600'000;
  next_command();
  EXPECT_EQ(purchases().at(0).state, Bought::intent) << "another account cannot know";
  EXPECT_EQ(buy().error().kind, Kind::denied);
  EXPECT_EQ(ec2.calls, 1);
}

/// Whatever is sold is known to the ledger after the next commands, and was sold once.
TEST_F(Buying, KilledAtAnyStepNothingIsBoughtOrTheNextCommandKnowsIt) {
  int kills = 0;
  for (int answer = 0; answer < 2; ++answer) {
    for (int step = 1;; ++step) {
      ASSERT_LT(step, 50);
      SCOPED_TRACE(fmt::format("step {}, answer lost: {}", step, answer));
      std::filesystem::remove_all(dir.path());
      std::filesystem::create_directory(dir.path());
      ledger = open_ledger();
      keep_offer("cb-1");
      ec2 = {};
      if (answer == 1) ec2.answers = lost;
      ec2.shown_from_ms = clock.now + 30'000;
      ec2.kill_at = step;
      bool lived = true;
      try {
        (void)buy();
      } catch (const Killed&) {
        lived = false;
        ++kills;
      }
      ec2.kill_at = 0;
      ledger = open_ledger();
      next_command();
      ASSERT_LE(ec2.sold.size(), 1U);
      clock.now += 400'000;
      next_command();
      const auto known = purchases();
      EXPECT_EQ(std::ranges::count(known, Bought::intent, &ledger::Purchase::state), 0);
      EXPECT_EQ(static_cast<std::size_t>(std::ranges::count(known, Bought::yes, &ledger::Purchase::state)),
                ec2.sold.size());
      ec2.answers.reset();
      const auto done = buy();
      ASSERT_TRUE(done) << describe(done.error());
      EXPECT_EQ(ec2.sold.size(), 1U) << "what was bought is not bought again";
      if (lived) break;
    }
  }
  EXPECT_GE(kills, 6);
}

}  // namespace
}  // namespace ferry::account::purchase_test
