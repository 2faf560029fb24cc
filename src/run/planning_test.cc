#include "run/planning.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ledger/ledger.h"

namespace ferry::run {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

/// What may be rented for a task in us-east-1, of the built-in catalog.
Result<Planned> terms(const std::string& yaml, Seconds time = Seconds(24 * 3600)) {
  TRY_SET(task, "", task::parse_task(yaml, "task.yaml"));
  const plan::RankOptions options{.home_region = "us-east-1",
                                  .disk_gib_month = ledger::gp3_gib_month,
                                  .address_hour = ledger::public_ipv4_hour};
  Planned planned;
  TRY_SET(ranking, "", plan::rank(task, plan::Catalog::builtin(), options));
  planned.ranking = std::move(ranking);
  TRY("", set_terms(task, Lifetime{time}, planned));
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
  const auto planned = terms("resources: {cpus: 2, disk_size: 64TB}\nbudget: 1\n", Seconds(20 * 3600));
  ASSERT_TRUE(planned) << describe(planned.error());
  const auto& best = planned->ranking.offers.front();
  EXPECT_GT(best.beside, Usd{6'000'000});
  const auto& lifetime = planned->lifetime;
  EXPECT_LT(lifetime.max_duration, Seconds(600));
  EXPECT_LE(cost(*best.rate(), lifetime.max_duration + lifetime.linger()), Usd{1'000'000});
  EXPECT_GT(cost(*best.rate(), lifetime.max_duration + lifetime.linger() + Seconds(5)), Usd{1'000'000});
  EXPECT_THAT(describe_offer(best, lifetime), HasSubstr("at most " + show(*at_most(best, lifetime))));
  EXPECT_THAT(planned->ranking.notes, ElementsAre(HasSubstr("the budget of $1.00 lasts 0")));
}

TEST(Terms, ABudgetThatDoesNotBindCutsNothingAndLeavesOutWhatWouldBreakIt) {
  const auto planned = terms("resources: {accelerators: T4}\nbudget: 5\n", Seconds(8 * 3600));
  ASSERT_TRUE(planned) << describe(planned.error());
  EXPECT_EQ(planned->lifetime.max_duration, Seconds(8 * 3600));
  EXPECT_TRUE(planned->ranking.notes.empty());
  EXPECT_EQ(planned->ranking.offers.front().type.name, "g4dn.xlarge");
  for (const auto& offer : planned->ranking.offers)
    EXPECT_LE(cost(*offer.rate(), Seconds(8 * 3600 + 900)), Usd{5'000'000}) << offer.type.name;
  EXPECT_EQ(*planned->ceiling, *planned->ranking.offers.back().hourly);
}

TEST(Terms, TheBestOfferDecidesHowLongTheBudgetLasts) {
  const auto planned = terms("resources: {accelerators: A10G}\nbudget: 5\n");
  ASSERT_TRUE(planned) << describe(planned.error());
  EXPECT_GT(planned->lifetime.max_duration, Seconds(4 * 3600 + 1800));
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
  EXPECT_THAT(
      types(
          terms("resources: {instance_type: g4dn.xlarge, any_of: [{use_spot: true}, {use_spot: false}]}\n")),
      ElementsAre("g4dn.xlarge spot", "g4dn.xlarge"));
  EXPECT_THAT(types(terms("resources: {max_hourly_cost: 1.1, accelerators: {A10G: 1, T4: 4}}\n")),
              testing::Not(testing::Contains("g4dn.12xlarge")));
}

TEST(Terms, AreFoundAnewWhenTheAccountMayNotHaveTheBest) {
  auto planned = terms("resources: {accelerators: A10G}\nbudget: 5\n");
  ASSERT_TRUE(planned) << describe(planned.error());
  const auto task = *task::parse_task("resources: {accelerators: A10G}\nbudget: 5\n", "task.yaml");
  const auto before = planned->lifetime.max_duration;
  ASSERT_TRUE(set_terms(task, Lifetime{}, *planned));
  EXPECT_EQ(planned->lifetime.max_duration, before);
  EXPECT_EQ(planned->ranking.notes.size(), 1U) << "the budget is told once";
}

}  // namespace
}  // namespace ferry::run
