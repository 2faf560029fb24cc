#include "plan/plan.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ferry::plan {
namespace {

using testing::HasSubstr;

constexpr const char* region = "us-east-1";

task::Task asking(std::string_view resources) {
  auto task = task::parse_task(fmt::format("resources: {{{}}}\n", resources), "task.yaml");
  if (!task) ADD_FAILURE() << describe(task.error());
  return task.value_or(task::Task{});
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

TEST(Catalog, TheBuiltInOneIsWholeAndDated) {
  const auto& catalog = Catalog::builtin();
  EXPECT_EQ(catalog.types().size(), 151U);
  EXPECT_EQ(catalog.date(), "2025-10");
  EXPECT_EQ(catalog.regions().size(), 15U);
  ASSERT_TRUE(catalog.find("g5.xlarge"));
  EXPECT_EQ(catalog.find("g5.xlarge")->accelerator, "A10G");
  EXPECT_EQ(catalog.find("g5.xlarge")->accelerator_memory_mib, 22888);
  EXPECT_EQ(catalog.find("nothing"), nullptr);
  EXPECT_EQ(show(*catalog.on_demand("t3.medium", region)), "$0.0416");
  EXPECT_FALSE(catalog.on_demand("c7i.large", region));
  EXPECT_FALSE(catalog.on_demand("t3.medium", "mars-1"));
}

TEST(Catalog, WrongTextIsRefusedWithItsLine) {
  const std::string types =
      "instance_type,accelerator_name,accelerator_count,accelerator_memory_mib,vcpus,memory_mib,arch\n";
  const std::string prices = "instance_type,region,on_demand_usd_per_hour\n";
  const auto why = [&](const std::string& type_rows, const std::string& price_rows) {
    const auto catalog = Catalog::parse(types + type_rows, prices + price_rows, "2020-01");
    if (catalog) return std::string("accepted");
    EXPECT_EQ(catalog.error().kind, Kind::corrupt);
    return catalog.error().what;
  };
  EXPECT_EQ(why("a.b,,0,,2,4096,x86_64\n", "a.b,r,1.5\n"), "accepted");
  EXPECT_THAT(why("a.b,,0,,two,4096,x86_64\n", ""), HasSubstr("instances, line 2"));
  EXPECT_THAT(why("a.b,,0,,2,4096,vax\n", ""), HasSubstr("line 2"));
  EXPECT_THAT(why("a.b,T4,0,,2,4096,x86_64\n", ""), HasSubstr("line 2"));
  EXPECT_THAT(why("a.b\n", ""), HasSubstr("line 2"));
  EXPECT_THAT(why("a.b,,0,,2,4096,x86_64\na.b,,0,,2,4096,x86_64\n", ""), HasSubstr("a.b is there twice"));
  EXPECT_THAT(why("a.b,,0,,2,4096,x86_64\n", "a.b,r,0\n"),
              HasSubstr("prices, line 2: the price must be above zero"));
  EXPECT_THAT(why("a.b,,0,,2,4096,x86_64\n", "c.d,r,1\n"), HasSubstr("prices, line 2"));
  EXPECT_THAT(why("a.b,,0,,2,4096,x86_64\n", "a.b,r,1\na.b,r,2\n"), HasSubstr("twice"));
  EXPECT_FALSE(Catalog::parse("", "", "2020-01"));
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
  for (const char* resources : {"cpus: 4+", "memory: 32+", "accelerators: A10G", "accelerators: 'V100:8'"}) {
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
  EXPECT_EQ(first("accelerators: 'V100-32GB:8'"), "p3dn.24xlarge");
  EXPECT_EQ(first("accelerators: 'V100-16GB:8'"), "p3.16xlarge");
  EXPECT_EQ(first("accelerators: A10G-24GB"), "g5.xlarge");
  EXPECT_EQ(first("accelerators: 'trn1:16'"), "trn1.32xlarge");
}

TEST(Rank, AnUnknownAcceleratorIsRefusedWithTheNearest) {
  const auto error = refused("accelerators: A10H");
  EXPECT_EQ(error.kind, Kind::bad_input);
  EXPECT_EQ(error.what, "unknown accelerator 'A10H'");
  EXPECT_EQ(error.advice, "did you mean 'A10G'?");
  EXPECT_EQ(refused("accelerators: A10").advice, "did you mean 'A10G'?");
  EXPECT_EQ(refused("accelerators: L40").advice, "did you mean 'L40S'?");
  EXPECT_THAT(refused("accelerators: tpu-v5litepod-8").why, HasSubstr("EC2 has"));
}

TEST(Rank, ACountThatNoMachineHasIsRefusedWithThoseThereAre) {
  const auto error = refused("accelerators: 'T4:2'");
  EXPECT_EQ(error.kind, Kind::not_found);
  EXPECT_EQ(error.advice, "ask for T4:1, T4:4, T4:8");
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
  const auto error = refused("instance_type: g5.xlrge");
  EXPECT_EQ(error.kind, Kind::bad_input);
  EXPECT_EQ(error.advice, "did you mean 'g5.xlarge'?");
  EXPECT_EQ(refused("instance_type: g5.xlarge, accelerators: T4").what, "g5.xlarge does not have T4 ×1");
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
}  // namespace ferry::plan
