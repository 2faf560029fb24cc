#include "fleet/planning.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "ledger/ledger.h"

namespace ferry::fleet {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

/// What may be rented for a task in us-east-1, of the built-in catalog.
Result<Planned> terms(const std::string& yaml, Seconds time = Seconds(24 * 3600)) {
  TRY_SET(task, "", task::parse_task(yaml, "task.yaml"));
  const plan::RankOptions options{.home_region = "us-east-1"};
  Planned planned;
  TRY_SET(ranking, "", plan::rank(task, plan::Catalog::builtin(), options));
  planned.ranking = std::move(ranking);
  TRY("", set_terms(task, TimeLimits{time}, planned));
  return planned;
}

std::vector<std::string> types(const Result<Planned>& planned) {
  std::vector<std::string> out;
  if (!planned) ADD_FAILURE() << describe(planned.error());
  if (!planned) return out;
  for (const auto& offer : planned->ranking.offers)
    out.push_back(offer.type.name + (offer.market == plan::Market::spot ? " spot" : ""));
  return out;
}

TEST(Terms, ABudgetPaysForDiskAndAddressToo) {
  const auto planned = terms("resources: {cpus: 2, disk_size: 64TB}\nbudget: 4\n", Seconds(20 * 3600));
  ASSERT_TRUE(planned) << describe(planned.error());
  const auto& best = planned->ranking.offers.front();
  EXPECT_GT(best.beside(), Usd{6'000'000});
  const auto& lifetime = planned->lifetime;
  EXPECT_LT(lifetime.max_duration, Seconds(1200));
  EXPECT_LE(*plan::most(best, lifetime.until_power_off()), Usd{4'000'000});
  EXPECT_GT(*plan::most(best, lifetime.until_power_off() + Seconds(15)), Usd{4'000'000});
  EXPECT_THAT(describe_plan(best, lifetime, planned->most), HasSubstr("at most " + show_at_most(*planned->most)));
  EXPECT_THAT(planned->ranking.notes, ElementsAre(HasSubstr("the budget of $4.00 lasts 0")));
}

TEST(Terms, ABudgetThatDoesNotBindCutsNothingAndLeavesOutWhatWouldBreakIt) {
  const auto planned = terms("resources: {accelerators: T4}\nbudget: 5\n", Seconds(8 * 3600));
  ASSERT_TRUE(planned) << describe(planned.error());
  EXPECT_EQ(planned->lifetime.max_duration, Seconds(8 * 3600));
  EXPECT_TRUE(planned->ranking.notes.empty());
  EXPECT_EQ(planned->ranking.offers.front().type.name, "g4dn.xlarge");
  for (const auto& offer : planned->ranking.offers)
    EXPECT_LE(*plan::most(offer, planned->lifetime.until_power_off()), Usd{5'000'000}) << offer.type.name;
  EXPECT_EQ(*planned->ceiling, *planned->ranking.offers.back().hourly);
}

TEST(Terms, TheBestOfferDecidesHowLongTheBudgetLasts) {
  const auto planned = terms("resources: {accelerators: A10G}\nbudget: 5\n");
  ASSERT_TRUE(planned) << describe(planned.error());
  EXPECT_GT(planned->lifetime.max_duration, Seconds(4 * 3600 + 900));
  EXPECT_THAT(types(planned), ElementsAre("g5.xlarge"));
}

TEST(Terms, OtherTypesForTheSameWishAreTakenWithinTwiceThePrice) {
  const auto planned = terms("resources: {accelerators: A10G}\n");
  EXPECT_THAT(types(planned), ElementsAre("g5.xlarge", "g5.2xlarge", "g5.4xlarge"));
}

TEST(Terms, WhatTheTaskItselfListsIsTakenWhateverTheOthersCost) {
  const auto gpus = terms("resources: {ordered: [{accelerators: T4}, {accelerators: L40S}]}\n");
  EXPECT_THAT(types(gpus), testing::IsSupersetOf({"g4dn.xlarge", "g4dn.2xlarge", "g6e.xlarge"}));
  EXPECT_THAT(types(gpus), testing::Not(testing::Contains("g4dn.16xlarge")));
  EXPECT_GE(*gpus->ceiling, Usd{1'861'000});
  EXPECT_THAT(types(terms("resources: {accelerators: {A10G: 1, T4: 4}}\n")),
              testing::IsSupersetOf({"g5.xlarge", "g4dn.12xlarge"}));
  EXPECT_THAT(types(terms("resources: {instance_type: g4dn.xlarge, any_of: [{use_spot: true}, {use_spot: false}]}\n")),
              ElementsAre("g4dn.xlarge spot", "g4dn.xlarge"));
  EXPECT_THAT(types(terms("resources: {max_hourly_cost: 1.1, accelerators: {A10G: 1, T4: 4}}\n")),
              testing::Not(testing::Contains("g4dn.12xlarge")));
}

/// As the ledger notes a machine that was rented for the offer, became as dear as it may, and lived that
/// long.
ledger::Instance lived(const plan::Offer& offer, const task::Task& task, Seconds time) {
  const auto& candidate = task.all_candidates()[offer.candidate];
  ledger::Instance instance;
  instance.provider = "aws";
  instance.region = offer.region;
  instance.type = offer.type.name;
  instance.hourly = *offer.dearest;
  instance.disk = plan::disk_of(candidate.disk_tier, candidate.disk_gib);
  instance.public_address = task.aws.public_address != false;
  instance.state = ledger::Rent::released;
  instance.launched_ms = 1;
  instance.released_ms = 1 + Millis(time).count();
  return instance;
}

TEST(Terms, NoRunCostsMoreThanWasSaidAndNoneMoreThanItsBudget) {
  std::mt19937 random(20261128);
  const auto among = [&](std::initializer_list<const char*> words) {
    return *(words.begin() + random() % words.size());
  };
  int planned_runs = 0, cut = 0;
  for (int trial = 0; trial < 400; ++trial) {
    const auto budget = std::pow(10.0, -1.7 + static_cast<double>(random() % 1000) / 250);
    const auto seconds = static_cast<std::int64_t>(std::pow(10.0, static_cast<double>(random() % 1000) / 180));
    auto yaml = fmt::format(
        "resources: {{{}, disk_size: {}, disk_tier: {}, use_spot: {}}}\n",
        among({"cpus: 2", "cpus: 8+", "accelerators: T4", "accelerators: {A10G: 1, T4: 4}", "instance_type: t3.xlarge",
               "accelerators: H100:8", "instance_type: c5.metal", "memory: 64+"}),
        1 + random() % 16'000, among({"low", "medium", "high", "ultra", "best"}), among({"true", "false"}));
    if (random() % 2) yaml += fmt::format("budget: {:.4f}\n", budget);
    if (random() % 4 == 0) yaml += "aws: {public_address: false, subnet_id: subnet-12345678}\n";
    const auto planned = terms(yaml, Seconds(1 + seconds));
    if (!planned || !planned->ranking.offers.front().hourly) continue;  // no spot price, or too small a budget
    ++planned_runs;
    const auto task = *task::parse_task(yaml, "task.yaml");
    const auto& lifetime = planned->lifetime;
    cut += lifetime.max_duration < Seconds(1 + seconds);
    ASSERT_TRUE(planned->most) << yaml;
    EXPECT_LE(*planned->most, task.budget.value_or(*planned->most)) << yaml;
    for (const auto& offer : planned->ranking.offers) {
      // The agent's limit, the boot timer, and a minute for booting and for powering off.
      for (const auto time :
           {Seconds(1), lifetime.max_duration + lifetime.retention(), lifetime.until_power_off() + Seconds(120)})
        EXPECT_LE(*spent(lived(offer, task, time), 0), *planned->most) << yaml << offer.type.name;
    }
  }
  EXPECT_GT(planned_runs, 200);
  EXPECT_GT(cut, 5);  // which tasks these are differs by compiler: arguments are evaluated in any order
}

TEST(Terms, WhatStandsInWhenTheBestIsNotToBeHadIsInTheMost) {
  const auto planned = terms("resources: {accelerators: A10G}\n");
  const auto& offers = planned->ranking.offers;
  ASSERT_GT(offers.size(), 1U);
  EXPECT_EQ(*planned->most, *plan::most(offers.back(), planned->lifetime.until_power_off()));
}

TEST(Terms, ASpotPriceMayRiseAndCpuCreditsArePaid) {
  const auto spot = terms("resources: {instance_type: g5.xlarge, use_spot: true}\n");
  EXPECT_EQ(*spot->ranking.offers.front().dearest, Usd{1'006'000});
  const auto capped = terms("resources: {instance_type: g5.xlarge, use_spot: true, max_hourly_cost: 0.9}\n");
  EXPECT_EQ(*capped->ranking.offers.front().dearest, Usd{900'000});
  const auto burstable = terms("resources: {instance_type: t3.medium}\n");
  EXPECT_EQ(*burstable->ranking.offers.front().dearest, Usd{41'600 + 2 * 50'000});
}

TEST(Terms, AnImagesLargerDiskIsPaidForToo) {
  auto planned = terms("resources: {accelerators: T4, disk_size: 10}\nbudget: 5\n");
  const auto task = *task::parse_task("resources: {accelerators: T4, disk_size: 10}\nbudget: 5\n", "task.yaml");
  const auto before = planned->lifetime.max_duration;
  enlarge_disks(task, 900, planned->ranking);
  ASSERT_TRUE(set_terms(task, TimeLimits{}, *planned));
  EXPECT_LT(planned->lifetime.max_duration, before);
  EXPECT_LE(*planned->most, Usd{5'000'000});
  const auto& best = planned->ranking.offers.front();
  EXPECT_TRUE(keeps_budget(task.budget, best, "", 900, planned->lifetime));
  EXPECT_FALSE(keeps_budget(task.budget, best, "", 2000, planned->lifetime));
}

TEST(Terms, AreFoundAnewWhenTheAccountMayNotHaveTheBest) {
  auto planned = terms("resources: {accelerators: A10G}\nbudget: 5\n");
  ASSERT_TRUE(planned) << describe(planned.error());
  const auto task = *task::parse_task("resources: {accelerators: A10G}\nbudget: 5\n", "task.yaml");
  const auto before = planned->lifetime.max_duration;
  ASSERT_TRUE(set_terms(task, TimeLimits{}, *planned));
  EXPECT_EQ(planned->lifetime.max_duration, before);
  EXPECT_EQ(planned->ranking.notes.size(), 1U) << "the budget is told once";
}

}  // namespace
}  // namespace ferry::fleet
