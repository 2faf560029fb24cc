#include "plan/plan.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "plan/small_catalog.h"

namespace ferry::plan::plan_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

constexpr const char* region = "us-east-1";

task::Task asking(std::string_view resources) {
  auto task = task::parse_task(fmt::format("resources: {{{}}}\n", resources), "task.yaml");
  if (!task) ADD_FAILURE() << describe(task.error());
  return task.value_or(task::Task{});
}

Result<Ranking> ranked(std::string_view yaml, const RankOptions& options = {.home_region = region},
                       const Catalog& catalog = small_catalog()) {
  auto task = task::parse_task(yaml, "task.yaml");
  if (!task) ADD_FAILURE() << yaml << describe(task.error());
  return rank(task.value_or(task::Task{}), catalog, options);
}

/// "gpu us-east-1 $0.8000" for each offer.
std::vector<std::string> lines(const Result<Ranking>& ranking) {
  if (!ranking) ADD_FAILURE() << describe(ranking.error());
  std::vector<std::string> out;
  if (!ranking) return out;
  for (const auto& offer : ranking->offers) {
    out.push_back(fmt::format("{} {} {}{}", offer.type.name, offer.zone.empty() ? offer.region : offer.zone,
                              offer.hourly ? show(*offer.hourly) : "?", offer.market == Market::spot ? " spot" : ""));
  }
  return out;
}

std::vector<std::string> reasons(const Result<Ranking>& ranking) {
  std::vector<std::string> out;
  if (!ranking) return out;
  for (const auto& offer : ranking->offers) out.push_back(offer.reason);
  return out;
}

std::vector<Offer> offers(std::string_view resources) {
  auto ranked = rank(asking(resources), Catalog::builtin(), {.home_region = region});
  if (!ranked) ADD_FAILURE() << resources << ": " << describe(ranked.error());
  return ranked ? ranked->offers : std::vector<Offer>{};
}

std::string first(std::string_view resources) {
  const auto all = offers(resources);
  return all.empty() ? "" : all[0].type.name;
}

Error refused(std::string_view resources) {
  auto ranked = rank(asking(resources), Catalog::builtin(), {.home_region = region});
  if (ranked) ADD_FAILURE() << resources << " gave " << ranked->offers.at(0).type.name;
  return ranked ? Error{} : ranked.error();
}

TEST(Rank, OffersOfEveryKnownZoneStandBesideEachOther) {
  EXPECT_THAT(lines(ranked("resources: {accelerators: T4}\n")),
              ElementsAre("gpu us-east-1a $0.8000", "gpu us-east-1b $0.8000", "gpu us-east-1c $0.8000",
                          "big.gpu us-east-1 $1.80"));
  EXPECT_THAT(lines(ranked("resources: {accelerators: T4, infra: aws/us-east-1/us-east-1b}\n")),
              ElementsAre("gpu us-east-1b $0.8000", "big.gpu us-east-1b $1.80"));
  const auto error = ranked("resources: {instance_type: gpu, infra: aws/us-east-1/us-east-1f}\n").error();
  EXPECT_EQ(error.what, "task.yaml:1:40: us-east-1 has no zone us-east-1f");
  EXPECT_EQ(error.advice, "its zones are us-east-1a, us-east-1b, us-east-1c");
}

TEST(Rank, APriceIsCalledOldOnTheDayThatItIsGiven) {
  for (const auto& [today, old] :
       {std::pair("2030-04-30", false), std::pair("2030-05-02", true), std::pair("", false)}) {
    const auto ranking = ranked("resources: {instance_type: gpu}", {.home_region = region, .today = today});
    ASSERT_TRUE(ranking);
    EXPECT_EQ(ranking->offers.front().price_is_old, old) << today;
  }
}

TEST(Rank, SpotIsOnlyForATaskThatAsksAndThenNothingElse) {
  EXPECT_THAT(lines(ranked("resources: {accelerators: T4, use_spot: true}\n")),
              ElementsAre("gpu us-east-1b $0.3500 spot", "gpu us-east-1c $0.3500 spot", "gpu us-east-1a $0.4000 spot"));
  EXPECT_THAT(lines(ranked("resources: {accelerators: T4, any_of: [{use_spot: true}, {use_spot: false}]}\n")),
              ElementsAre("gpu us-east-1b $0.3500 spot", "gpu us-east-1c $0.3500 spot", "gpu us-east-1a $0.4000 spot",
                          "gpu us-east-1a $0.8000", "gpu us-east-1b $0.8000", "gpu us-east-1c $0.8000",
                          "big.gpu us-east-1 $1.80"));
  const auto error = ranked("resources: {accelerators: T4, cpus: 16, use_spot: true}\n").error();
  EXPECT_EQ(error.what, "task.yaml:1:51: no spot price is known for T4 ×1, 16 vCPU in us-east-1");
  EXPECT_THAT(error.advice, StartsWith("use_spot: false costs $1.80/h in us-east-1"));
}

TEST(Rank, EveryRegionIsLookedAtWhereTheTaskOrTheCallerSaysSo) {
  const std::vector<std::string> everywhere = {"big.gpu us-east-1 $1.80", "big.gpu eu-west-1 $2.00"};
  EXPECT_EQ(lines(ranked("resources: {instance_type: big.gpu, infra: aws/*}\n")), everywhere);
  EXPECT_EQ(lines(ranked("resources: {instance_type: big.gpu}\n", {.home_region = region, .all_regions = true})),
            everywhere);
  EXPECT_EQ(lines(ranked("resources: {instance_type: big.gpu}\n", {})), everywhere);
  EXPECT_THAT(lines(ranked("resources: {instance_type: big.gpu, infra: aws/eu-west-1}\n", {.all_regions = true})),
              ElementsAre("big.gpu eu-west-1 $2.00"));
}

TEST(Rank, OrderedCandidatesAndListsKeepTheirOrderAndSetsGoByPrice) {
  const auto ranking = ranked(
      "resources: {ordered: [{instance_type: big.gpu}, {instance_type: plain}, {accelerators: T4, cpus: "
      "4}]}\n");
  EXPECT_THAT(lines(ranking),
              ElementsAre("big.gpu us-east-1 $1.80", "plain us-east-1 $0.0500", "gpu us-east-1a $0.8000",
                          "gpu us-east-1b $0.8000", "gpu us-east-1c $0.8000"));
  EXPECT_EQ(ranking->offers[2].candidate, 2U);
  EXPECT_EQ(ranking->offers[0].reason, "the task names big.gpu for the task's 1st choice");
  EXPECT_EQ(ranking->offers[2].reason, "cheapest with T4 ×1, 4 vCPU for the task's 3rd choice");
  EXPECT_EQ(first("accelerators: ['L4:1', 'T4:1']"), "g6.xlarge");
  EXPECT_EQ(first("accelerators: {L4: 1, T4: 1}"), "g4dn.xlarge");
  EXPECT_EQ(first("any_of: [{accelerators: 'L4:1'}, {accelerators: 'T4:1'}]"), "g4dn.xlarge");
}

TEST(Rank, TheSameOfferIsThereOnce) {
  EXPECT_EQ(lines(ranked("resources: {any_of: [{instance_type: plain}, {cpus: 2}, {memory: 8}]}\n")).size(), 1U);
}

TEST(Rank, EachOfferSaysWhyItStandsWhereItStands) {
  const RankOptions everywhere{.all_regions = true};
  EXPECT_THAT(reasons(ranked("resources: {accelerators: T4, cpus: 4+}\n", everywhere)),
              ElementsAre("cheapest with T4 ×1, 4+ vCPU", "2nd: the same price", "3rd: the same price",
                          "4th: +$0.2000/h", "5th: +$1.00/h", "6th: +$1.20/h"));
  EXPECT_EQ(offers("")[0].reason, "the small general machine: the task asks for nothing else");
  EXPECT_EQ(offers("accelerators: A10G, use_spot: true")[0].reason, "cheapest spot with A10G ×1");
}

TEST(Rank, WhatIsToBeAvoidedGoesBehindAllOthers) {
  RankOptions options{.home_region = region};
  options.avoid = [](const Offer& offer) { return offer.type.name == "gpu" && offer.zone != "us-east-1b"; };
  const auto ranking = ranked("resources: {accelerators: T4}\n", options);
  EXPECT_THAT(lines(ranking), ElementsAre("gpu us-east-1b $0.8000", "big.gpu us-east-1 $1.80", "gpu us-east-1a $0.8000",
                                          "gpu us-east-1c $0.8000"));
  EXPECT_EQ(ranking->offers[2].reason, "no capacity there lately, so behind the others");
}

TEST(Rank, ACapOnThePriceAnHourLeavesOutWhatCostsMore) {
  EXPECT_THAT(lines(ranked("resources: {accelerators: T4, infra: aws/*, max_hourly_cost: 0.9, cpus: 4}\n")).size(), 3);
  EXPECT_THAT(lines(ranked("resources: {accelerators: T4, use_spot: true, max_hourly_cost: 0.35}\n")),
              ElementsAre("gpu us-east-1b $0.3500 spot", "gpu us-east-1c $0.3500 spot"));
  auto error = ranked("resources: {accelerators: T4, max_hourly_cost: 0.5}\n").error();
  EXPECT_EQ(error.kind, Kind::not_found);
  EXPECT_EQ(error.what, "task.yaml:1:48: T4 ×1 exists only at $0.8000/h and more; max_hourly_cost is $0.5000");
  EXPECT_EQ(error.why, "the cheapest is gpu in us-east-1");
  EXPECT_EQ(error.advice, "use_spot: true is $0.3500/h; or max_hourly_cost: 0.8000");
  error = ranked("resources: {accelerators: T4, max_hourly_cost: 0.32}\n").error();
  EXPECT_EQ(error.advice, "use_spot: true with infra: aws/eu-west-1 is $0.3000/h; or max_hourly_cost: 0.8000");
  error = ranked("resources: {accelerators: T4, infra: aws/eu-west-1, max_hourly_cost: 0.85}\n").error();
  EXPECT_THAT(error.advice, StartsWith("infra: aws/us-east-1 has it at $0.8000/h"));
  error = refused("accelerators: 'A100:8', max_hourly_cost: 10");
  EXPECT_THAT(error.what, HasSubstr("A100 ×8 exists only at $"));
  EXPECT_THAT(error.what, HasSubstr("max_hourly_cost is $10"));
  EXPECT_THAT(refused("instance_type: p6-b300.48xlarge, max_hourly_cost: 10").advice,
              HasSubstr("leave out max_hourly_cost"));
}

TEST(Rank, ABudgetLeavesOutWhatCostsMoreInTheKnownTime) {
  auto ranking = ranked("resources: {accelerators: T4}\nbudget: 2\nduration: 2h\n");
  EXPECT_EQ(lines(ranking).size(), 3U);
  EXPECT_EQ(show(*ranking->offers[0].total), "$1.61");
  EXPECT_THAT(ranking->notes, ElementsAre("1 offer left out: more than the budget of $2 in 2:00:00"));
  ranking = ranked("resources: {accelerators: T4}\nbudget: 2\n");
  EXPECT_EQ(lines(ranking).size(), 4U);
  EXPECT_FALSE(ranking->offers[0].total);
  EXPECT_THAT(ranking->notes, testing::IsEmpty());
  EXPECT_THAT(ranked("resources: {accelerators: T4, max_hourly_cost: 1}\nbudget: 2\nduration: 9h\n").error().what,
              HasSubstr("T4 ×1 costs $7.25 and more"));
  const auto error =
      ranked("resources: {accelerators: T4}\nbudget: 2\n", {.home_region = region, .duration = Seconds(36'000)})
          .error();
  EXPECT_EQ(error.what, "task.yaml:1:27: T4 ×1 costs $8.05 and more for 10:00:00; the budget is $2");
  EXPECT_THAT(error.advice, HasSubstr("budget: 8.05"));
}

TEST(Rank, WhatIsBilledBesideTheMachineCountsAgainstTheBudget) {
  const RankOptions options{.home_region = region};
  auto ranking = ranked("resources: {accelerators: T4, disk_size: 1000}\nduration: 2h\n", options);
  EXPECT_EQ(show(ranking->offers.at(0).beside()), "$0.1146");
  EXPECT_EQ(show(*ranking->offers.at(0).rate()), "$0.9146");
  EXPECT_EQ(show(*ranking->offers.at(0).total), "$1.83");
  const auto error =
      ranked("resources: {accelerators: T4, disk_size: 1000}\nduration: 2h\nbudget: 1.8\n", options).error();
  EXPECT_THAT(error.what, HasSubstr("T4 ×1 costs $1.83 and more for 2:00:00; the budget is $1.80"));
  ranking = ranked("resources: {accelerators: T4, disk_tier: ultra, disk_size: 1000}\n", options);
  EXPECT_GT(ranking->offers.at(0).beside(), Usd{1'000'000});
  ranking =
      ranked("resources: {accelerators: T4}\naws: {public_address: false, subnet_id: subnet-12345678}\n", options);
  EXPECT_EQ(ranking->offers.at(0).beside(), Usd{});
}

TEST(Rank, OffersOfOneWishWithOneAcceleratorBelongTogether) {
  const auto ranking =
      ranked("resources: {any_of: [{accelerators: T4, cpus: 4}, {cpus: 2}, {accelerators: T4, cpus: 16}]}\n");
  std::set<std::size_t> asks;
  for (const auto& offer : ranking->offers) {
    asks.insert(offer.ask);
    EXPECT_EQ(offer.ask, offer.candidate);
  }
  EXPECT_EQ(asks.size(), 3U);
}

TEST(Rank, AnImageOfOneRegionBringsTheMachineThere) {
  EXPECT_THAT(lines(ranked("resources: {instance_type: gpu, image_id: {eu-west-1: ami-01234567}}\n")),
              ElementsAre("gpu eu-west-1 $1.00"));
  EXPECT_THAT(ranked("resources: {instance_type: gpu, infra: aws/us-east-1, image_id: {eu-west-1: ami-01234567}}\n")
                  .error()
                  .what,
              HasSubstr("image_id names no AMI in us-east-1"));
}

TEST(Rank, ARehearsalTakesAnyMachineWhateverItsPrice) {
  const auto ranking = ranked("resources: {infra: rehearsal, accelerators: 'B300:8', max_hourly_cost: 1}\n",
                              {.home_region = region}, Catalog::builtin());
  ASSERT_TRUE(ranking) << describe(ranking.error());
  EXPECT_FALSE(ranking->offers[0].hourly);
  EXPECT_THAT(lines(ranked("resources: {infra: rehearsal, accelerators: T4}\n")),
              ElementsAre("gpu us-east-1 $0.8000", "big.gpu us-east-1 $1.80"));
}

TEST(Rank, WhatOnlyOtherCloudsHaveIsRefusedWithTheNearestOnAws) {
  const auto error = refused("accelerators: tpu-v5litepod-8");
  EXPECT_EQ(error.what, "task.yaml:1:27: AWS has no tpu-v5litepod-8");
  EXPECT_THAT(error.why, HasSubstr("EC2 has"));
  EXPECT_THAT(error.advice, HasSubstr("Trainium"));
  EXPECT_THAT(refused("accelerators: 'RTX4090:1'").advice, HasSubstr("L40S:1 (48 GB, "));
  EXPECT_THAT(refused("accelerators: MI300X").advice, HasSubstr("B200:8 (8 × 180 GB, "));
  EXPECT_THAT(refused("instance_type: a2-highgpu-1g").why, HasSubstr("Google"));
  EXPECT_THAT(refused("instance_type: Standard_NC24ads_A100_v4").why, HasSubstr("Azure"));
  const auto ranking = ranked("resources: {accelerators: {tpu-v4-8: 1, T4: 1}}\n");
  EXPECT_EQ(lines(ranking).size(), 4U);
  EXPECT_THAT(ranking->notes, ElementsAre("left out: task.yaml:1:28: AWS has no tpu-v4-8"));
}

TEST(Rank, TheArchitectureAndTheDisksInsideAreHonoured) {
  EXPECT_EQ(first("accelerators: T4g, arch: arm64"), "g5g.xlarge");
  EXPECT_THAT(refused("accelerators: T4, arch: arm64").what, HasSubstr("no instance type has T4 ×1, arch arm64"));
  EXPECT_EQ(first("accelerators: T4, local_disk: 'nvme:500+'"), "g4dn.8xlarge");
  EXPECT_THAT(refused("local_disk: nvme").advice, HasSubstr("disk_size"));
}

TEST(Rank, AMachineThatIsThereAlreadyNeedsNoPlan) {
  EXPECT_EQ(refused("infra: ssh/box").what, "task.yaml:1:20: a machine that is there already needs no plan");
  EXPECT_THAT(refused("arch: arm64, cpus: 2").why, HasSubstr("none with arm64"));
}

TEST(Rank, NoMoreThanAskedForComesBackAndTheRestIsCounted) {
  const auto ranking = ranked("resources: {cpus: 2+}\n", {.all_regions = true, .most = 5}, Catalog::builtin());
  EXPECT_EQ(lines(ranking).size(), 5U);
  EXPECT_GT(ranking->considered, 200U);
}

TEST(GpuTable, NamesAGpuAFamilyOrAType) {
  const auto& catalog = Catalog::builtin();
  const std::vector<std::string> regions = {"us-east-1", "us-west-2"};
  const auto types = [&](std::string_view name, GpuSort sort = GpuSort::price) {
    std::vector<std::string> out;
    const auto table = gpu_table(catalog, name, regions, sort);
    if (!table) ADD_FAILURE() << describe(table.error());
    if (table)
      for (const auto& row : *table) out.push_back(row.type);
    return out;
  };
  EXPECT_THAT(types("A100"), testing::UnorderedElementsAre("p4d.24xlarge", "p4de.24xlarge"));
  EXPECT_THAT(types("a100-80gb"), ElementsAre("p4de.24xlarge"));
  EXPECT_THAT(types("g4ad").size(), 5);
  EXPECT_THAT(types("p5.48xlarge"), ElementsAre("p5.48xlarge"));
  EXPECT_EQ(types("").size(), 84U);  // those that are retired are not offered
  EXPECT_EQ(types("all"), types(""));
  EXPECT_EQ(types("", GpuSort::gpu).front(), "p4d.24xlarge");
  EXPECT_EQ(types("T4").front(), "g4dn.xlarge");
  EXPECT_EQ(types("L4").front(), "g6.xlarge");
  const auto table = gpu_table(catalog, "T4", regions);
  EXPECT_EQ(show(*table->front().per_gpu_hour), "$0.5260");
  EXPECT_EQ(table->front().prices.at(1).region, "us-west-2");
  EXPECT_EQ(gpu_table(catalog, "T4", {})->front().prices.size(), 15U);
  EXPECT_EQ(gpu_table(catalog, "A10H", regions).error().advice, "did you mean 'A10G'?");
  EXPECT_THAT(types("H100:8"), ElementsAre("p5.48xlarge"));
  EXPECT_THAT(types("A100-40GB"), ElementsAre("p4d.24xlarge"));
  EXPECT_THAT(types("H100-80GB-SXM5:1"), ElementsAre("p5.4xlarge"));
  EXPECT_THAT(types("100GB+:8"), testing::Contains("p5en.48xlarge"));
  EXPECT_THAT(types("g5:4"), testing::UnorderedElementsAre("g5.12xlarge", "g5.24xlarge"));
  EXPECT_EQ(gpu_table(catalog, "A100:1", regions).error().why, "AWS sells A100 by eight only");
  EXPECT_EQ(gpu_table(catalog, "m5", regions).error().what, "m5 has no GPU");
  EXPECT_EQ(gpu_table(catalog, "900GB+", regions).error().what, "no instance type has 900GB+");
}

TEST(Rank, WithoutAnyWishTheSmallGeneralMachineComesFirst) {
  const auto all = offers("");
  ASSERT_GT(all.size(), 5U);
  EXPECT_EQ(all[0].type.name, "t3.medium");
  EXPECT_EQ(all[0].region, region);
  EXPECT_EQ(all[0].market, Market::on_demand);
  for (const auto& offer : all) {
    EXPECT_TRUE(offer.type.accelerator.empty());
    EXPECT_GE(offer.type.memory_mib, 4096);
  }
}

TEST(Rank, OffersAreCheapestFirstAndAllHaveAPrice) {
  for (const char* resources : {"cpus: 4+", "memory: 32+", "accelerators: A10G", "accelerators: 'T4:8'"}) {
    const auto all = offers(resources);
    for (std::size_t i = 0; i < all.size(); ++i) {
      ASSERT_TRUE(all[i].hourly) << all[i].type.name;
      EXPECT_LE(*all[i ? i - 1 : 0].hourly, *all[i].hourly);
    }
  }
}

TEST(Rank, AnAcceleratorIsFoundByEveryNamePeopleWrite) {
  EXPECT_EQ(first("accelerators: 'A10G:1'"), "g5.xlarge");
  EXPECT_EQ(first("accelerators: a10g"), "g5.xlarge");
  EXPECT_EQ(first("accelerators: nvidia-tesla-t4"), "g4dn.xlarge");
  EXPECT_EQ(first("accelerators: 'A100:8'"), "p4d.24xlarge");
  EXPECT_EQ(first("accelerators: 'A100-40GB:8'"), "p4d.24xlarge");
  EXPECT_EQ(first("accelerators: 'A100-80GB:8'"), "p4de.24xlarge");
  EXPECT_EQ(first("accelerators: 'a100_80gb:8'"), "p4de.24xlarge");
  EXPECT_EQ(first("accelerators: 'H100-80GB:8'"), "p5.48xlarge");
  EXPECT_EQ(first("infra: rehearsal, accelerators: 'V100-32GB:8'"), "p3dn.24xlarge");
  EXPECT_EQ(first("infra: rehearsal, accelerators: 'V100-16GB:8'"), "p3.16xlarge");
  EXPECT_EQ(first("accelerators: A10G-24GB"), "g5.xlarge");
  EXPECT_EQ(first("accelerators: 'trn1:16'"), "trn1.32xlarge");
}

TEST(Rank, AMemorySizeMeansAnyGpuOfNvidiasThatHasIt) {
  EXPECT_EQ(first("accelerators: 16GB+"), "g4dn.xlarge");
  EXPECT_EQ(first("accelerators: '24GB:1'"), "g6.xlarge");
  EXPECT_EQ(first("accelerators: '40GB:8'"), "p4d.24xlarge");
  EXPECT_EQ(first("accelerators: {'NVIDIA:80GB': 8}"), "p4de.24xlarge");
  EXPECT_EQ(first("accelerators: 'AMD:8GB+:1'"), "g4ad.xlarge");
  for (const auto& offer : offers("accelerators: 16gb+")) {
    EXPECT_GE(offer.type.accelerator_memory_mib, 16'000) << offer.type.name;
    EXPECT_EQ(offer.type.arch, "x86_64") << offer.type.name;
    EXPECT_EQ(offer.type.accelerator_count, 1) << offer.type.name;
  }
  EXPECT_EQ(refused("accelerators: '900GB+'").why, "none has that much memory");
  EXPECT_EQ(refused("accelerators: '16GB+:3'").advice, "ask for 16GB+:1, 16GB+:2, 16GB+:4, 16GB+:8");
  EXPECT_EQ(refused("accelerators: '16GB+:3'").why, "AWS sells 16GB+ by 1, 2, 4 and 8 only");
  EXPECT_THAT(refused("accelerators: 'intel:16GB'").what, HasSubstr("AWS has no GPUs of 'intel'"));
}

TEST(Rank, AnUnknownAcceleratorIsRefusedWithTheNearest) {
  const auto error = refused("accelerators: A10H");
  EXPECT_EQ(error.kind, Kind::bad_input);
  EXPECT_EQ(error.what, "task.yaml:1:27: unknown accelerator 'A10H'");
  EXPECT_EQ(error.advice, "did you mean 'A10G'?");
}

TEST(Rank, ACountThatNoMachineHasIsRefusedWithThoseThereAre) {
  const auto error = refused("accelerators: 'T4:2'");
  EXPECT_EQ(error.kind, Kind::not_found);
  EXPECT_EQ(error.why, "AWS sells T4 by 1, 4 and 8 only");
  EXPECT_THAT(error.advice, StartsWith("nearest: L40S:1 (48 GB, $1.861/h), "));
  EXPECT_THAT(error.advice, HasSubstr(", T4:4 (4 × 16 GB, $3.912/h); --nearest takes the first"));
  EXPECT_THAT(refused("accelerators: 'T4-80GB:1'").why, HasSubstr("memory"));
}

TEST(Rank, ANumberIsExactAndAPlusMeansAtLeast) {
  for (const auto& offer : offers("cpus: 4")) EXPECT_EQ(offer.type.vcpus, 4);
  for (const auto& offer : offers("cpus: 4+, memory: 16")) {
    EXPECT_GE(offer.type.vcpus, 4);
    EXPECT_EQ(offer.type.memory_mib, 16384);
  }
  EXPECT_EQ(first("memory: 1GB, cpus: 2"), "t3.micro");
  EXPECT_EQ(first("accelerators: T4, cpus: 16+"), "g4dn.4xlarge");
  const auto error = refused("cpus: 5");
  EXPECT_EQ(error.kind, Kind::not_found);
  EXPECT_THAT(error.why, HasSubstr("8 vCPU"));
  EXPECT_THAT(refused("cpus: 5000+").why, HasSubstr("no type is that large"));
}

TEST(Rank, WithoutAWordOnMemoryTinyMachinesAreLeftOut) {
  for (const auto& offer : offers("cpus: 2")) EXPECT_GE(offer.type.memory_mib, 4096) << offer.type.name;
}

TEST(Rank, ArmAndSlicesOfGpusComeOnlyWhenNamed) {
  for (const auto& offer : offers("accelerators: L4")) EXPECT_FALSE(offer.type.name.starts_with("g6f"));
  EXPECT_EQ(first("accelerators: T4g"), "g5g.xlarge");
  EXPECT_EQ(first("instance_type: g5g.xlarge"), "g5g.xlarge");
  EXPECT_EQ(first("instance_type: g6f.large"), "g6f.large");
}

TEST(Rank, ANamedTypeIsTheOnlyOfferEvenWithoutAPrice) {
  const auto all = offers("instance_type: c7i.large");
  ASSERT_EQ(all.size(), 1U);
  EXPECT_FALSE(all[0].hourly);
  EXPECT_THAT(ranked("resources: {instance_type: c7i.large}\n", {.home_region = region}, Catalog::builtin())->notes,
              ElementsAre(StartsWith("the on-demand price of c7i.large in us-east-1 is not known")));
  const auto error = refused("instance_type: g5.xlrge");
  EXPECT_EQ(error.kind, Kind::bad_input);
  EXPECT_EQ(error.advice, "did you mean 'g5.xlarge'?");
  EXPECT_EQ(refused("instance_type: g5.xlarge, accelerators: T4").what,
            "task.yaml:1:53: g5.xlarge does not have T4 ×1");
}

TEST(Rank, TheTasksRegionAndZoneGoBeforeTheCallers) {
  const auto all = offers("infra: aws/eu-west-1/eu-west-1b");
  EXPECT_EQ(all[0].region, "eu-west-1");
  EXPECT_EQ(all[0].zone, "eu-west-1b");
  EXPECT_EQ(show(*all[0].hourly), "$0.0456");
}

TEST(Rank, WhereNoPriceIsKnownTheWayOutIsNamed) {
  const auto error = refused("accelerators: 'B300:8'");
  EXPECT_EQ(error.kind, Kind::not_found);
  EXPECT_THAT(error.advice, HasSubstr("instance_type: p6-b300.48xlarge"));
  EXPECT_THAT(refused("infra: aws/us-east-9").advice, HasSubstr("did you mean 'us-east-"));
}

}  // namespace
}  // namespace ferry::plan::plan_test
