// The most that a run can cost, beside what the ledger's bill says of whatever becomes of it.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "fleet/planning.h"
#include "ledger/ledger.h"

namespace ferry::fleet::most_test {
namespace {

using Random = std::mt19937;

std::int64_t below(Random& random, std::int64_t end) { return static_cast<std::int64_t>(random() % end); }

std::string among(Random& random, std::initializer_list<const char*> words) {
  return *(words.begin() + below(random, static_cast<std::int64_t>(words.size())));
}

std::string random_task(Random& random) {
  const auto wish =
      among(random, {"cpus: 2", "cpus: 8+", "accelerators: T4", "accelerators: {A10G: 1, T4: 4}", "memory: 64+",
                     "instance_type: t3.xlarge", "accelerators: H100:8", "instance_type: c5.metal"});
  const auto gib = 1 + below(random, 4'000);
  const auto tier = among(random, {"low", "medium", "high", "ultra", "best"});
  const auto spot = among(random, {"true", "false"});
  auto yaml = fmt::format("resources: {{{}, disk_size: {}, disk_tier: {}, use_spot: {}}}\n", wish, gib, tier, spot);
  const auto budget = std::pow(10.0, -1.0 + static_cast<double>(below(random, 1000)) / 330);
  if (below(random, 2) == 0) yaml += fmt::format("budget: {:.4f}\n", budget);
  if (below(random, 4) == 0) yaml += "aws: {public_address: false, subnet_id: subnet-12345678}\n";
  return yaml;
}

Result<Planned> terms_of(const task::Task& task, Seconds time) {
  Planned planned;
  TRY_SET(ranking, "", plan::rank(task, plan::Catalog::builtin(), {.home_region = "us-east-1"}));
  planned.ranking = std::move(ranking);
  TRY("", set_terms(task, TimeLimits{time}, planned));
  return planned;
}

/// A run on its way through its attempts, as the ledger notes its machines, each as dear as it may become.
class Walk {
 public:
  Walk(Random& random, task::Task task, Seconds time) : random_(random), task_(std::move(task)), left_(time) {}

  std::optional<Usd> asked;
  Usd receipt;
  int attempts = 0, for_nothing = 0;

  /// Until nothing more can be rented. False where not even the first attempt can be.
  bool run() {
    while (attempts < 8 && left_ >= Seconds(60)) {
      auto task = task_;
      if (asked) task.budget = Usd{asked->micros - receipt.micros};
      const auto planned = terms_of(task, left_);
      if (!planned || !planned->most) break;
      if (!asked) asked = planned->most;
      if (!attempt(*planned, Usd{asked->micros - receipt.micros})) break;
    }
    return asked.has_value();
  }

 private:
  /// False where no offer is rented: launches before it had cost too much.
  bool attempt(const Planned& planned, Usd budget) {
    const auto& offers = planned.ranking.offers;
    Usd wasted;
    for (std::size_t i = 0; i < 60; ++i) {
      const auto& offer = offers[std::min(i, offers.size() - 1)];
      const auto& candidate = task_.all_candidates()[offer.candidate];
      if (!keeps_budget(budget, offer, candidate.disk_tier, candidate.disk_gib, planned.lifetime, wasted)) continue;
      if (below(random_, 3) > 0) {
        const auto cost = lived(offer, planned, true);
        wasted = wasted + cost;
        receipt = receipt + cost;
        ++for_nothing;
        continue;
      }
      ++attempts;
      receipt = receipt + lived(offer, planned, false);
      return true;
    }
    return false;
  }

  Usd lived(const plan::Offer& offer, const Planned& planned, bool in_vain) {
    const auto& candidate = task_.all_candidates()[offer.candidate];
    ledger::Instance one;
    one.provider = "aws";
    one.region = offer.region;
    one.type = offer.type.name;
    one.hourly = *offer.dearest;
    one.disk = plan::disk_of(candidate.disk_tier, candidate.disk_gib);
    one.public_address = task_.aws.public_address != false;
    one.state = ledger::Rent::released;
    one.launched_ms = 1'000;
    const auto& lifetime = planned.lifetime;
    // What comes to nothing never runs; what runs is ended by its own timer at the latest, whose machine has taken its
    // time to boot and to go.
    const auto slack = Seconds(plan::is_metal(offer.type.name) ? 1440 : 240);
    const auto longest = in_vain ? Seconds(50) : lifetime.until_power_off() + slack;
    const auto time = below(random_, 4) == 0 ? longest : Seconds(below(random_, longest.count()));
    one.released_ms = one.launched_ms + Millis(time).count() + below(random_, 1000);
    if (in_vain) one.running_ms = one.released_ms;
    if (!in_vain) left_ = std::max(Seconds(0), left_ - std::min(time, lifetime.max_duration));
    return *ledger::spent(one, 0);
  }

  Random& random_;
  task::Task task_;
  Seconds left_;
};

TEST(Most, NoReceiptIsHigherThanWhatWasAskedOverAThousandTasks) {
  Random random(20261129);
  int walked = 0, again = 0, in_vain = 0;
  for (int trial = 0; walked < 1000; ++trial) {
    ASSERT_LT(trial, 5000);
    const auto yaml = random_task(random);
    const auto seconds = 60 + static_cast<std::int64_t>(std::pow(10.0, static_cast<double>(below(random, 1000)) / 180));
    const auto task = task::parse_task(yaml, "task.yaml");
    ASSERT_TRUE(task) << yaml;
    Walk walk(random, *task, Seconds(seconds));
    if (!walk.run()) continue;  // no spot price, or too small a budget
    ++walked;
    again += walk.attempts > 1;
    in_vain += walk.for_nothing > 0;
    ASSERT_LE(walk.receipt.micros, walk.asked->micros) << yaml << seconds << " s, " << walk.attempts << " attempts";
    ASSERT_LE(walk.asked->micros, task->budget.value_or(*walk.asked).micros) << yaml;
    ASSERT_EQ(walk.asked->micros % 10'000, 0) << "whole cents";
  }
  EXPECT_GT(again, 100);
  EXPECT_GT(in_vain, 300);
}

TEST(Most, LaunchesThatComeToNothingAreStoppedBeforeTheyCostMoreThanWasAsked) {
  const auto task = *task::parse_task("resources: {accelerators: T4, disk_size: 1000}\n", "task.yaml");
  const auto planned = *terms_of(task, Seconds(3600));
  const auto& best = planned.ranking.offers.front();
  const auto share = launch_allowance(*plan::dearest_rates(best));
  const auto keeps = [&](Usd wasted) {
    return keeps_budget(plan::most(best, planned.lifetime.until_power_off()), best, "", 1000, planned.lifetime, wasted);
  };
  EXPECT_TRUE(keeps({}));
  EXPECT_TRUE(keeps(share));
  EXPECT_FALSE(keeps(share + Usd{10'000}));
}

}  // namespace
}  // namespace ferry::fleet::most_test
