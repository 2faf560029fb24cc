#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plan/plan.h"
#include "plan/small_catalog.h"

namespace ferry::plan {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* region = "us-east-1";

TEST(Catalog, TheBuiltInOneIsWholeAndDated) {
  const auto& catalog = Catalog::builtin();
  EXPECT_EQ(catalog.types().size(), 158U);
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
  EXPECT_THAT(why("a.b,,0,,2,4096,x86_64\n", "a.b,r,0\n"), HasSubstr("prices, line 2: the price must be above zero"));
  EXPECT_THAT(why("a.b,,0,,2,4096,x86_64\n", "c.d,r,1\n"), HasSubstr("prices, line 2"));
  EXPECT_THAT(why("a.b,,0,,2,4096,x86_64\n", "a.b,r,1\na.b,r,2\n"), HasSubstr("twice"));
  EXPECT_FALSE(Catalog::parse("", "", "2020-01"));
}

TEST(Catalog, SpotPricesAreTheZonesOrTheRegionsLowest) {
  const auto catalog = small_catalog();
  EXPECT_EQ(show(*catalog.spot("gpu", region, "us-east-1a")), "$0.4000");
  EXPECT_EQ(show(*catalog.spot("gpu", region, "us-east-1c")), "$0.3500");
  EXPECT_EQ(show(*catalog.spot("gpu", region)), "$0.3500");
  EXPECT_EQ(show(*catalog.spot("gpu", "eu-west-1", "eu-west-1a")), "$0.3000");
  EXPECT_FALSE(catalog.spot("big.gpu", region));
  EXPECT_THAT(catalog.zones("gpu", region), ElementsAre("us-east-1a", "us-east-1b", "us-east-1c"));
  EXPECT_THAT(catalog.zones("gpu", "eu-west-1"), ElementsAre());
  EXPECT_EQ(catalog.price_date(Market::spot, "gpu", region), "2030-01");
  EXPECT_EQ(catalog.price_date(Market::spot, "big.gpu", region), "");
  EXPECT_EQ(catalog.find("gpu")->local_nvme_gb, 125);
  EXPECT_EQ(catalog.find("gpu")->network, "Up to 25 Gigabit");
  EXPECT_EQ(show(*Catalog::builtin().spot("p4d.24xlarge", "us-east-1")).substr(0, 1), "$");
}

TEST(Catalog, ANewerOneLiesOverTheOlderAndWhatItDoesNotKnowKeepsItsDate) {
  Catalog::Builder builder;
  auto gpu = *small_catalog().find("gpu");
  gpu.network = "100 Gigabit";
  builder.add(gpu);
  builder.add(InstanceType{.name = "new", .vcpus = 8, .memory_mib = 32768, .arch = "arm64"});
  builder.add(Price{.type = "gpu", .region = "us-east-1", .spot = Usd{200'000}});
  builder.add(Price{.type = "new", .region = "us-east-1", .zone = "us-east-1d", .on_demand = Usd{100'000}});
  builder.add(Price{.type = "nobody", .region = "us-east-1", .on_demand = Usd{1}});
  const auto merged = Catalog::merged(small_catalog(), builder.build("2031-05-01"));
  EXPECT_EQ(merged.date(), "2031-05-01");
  EXPECT_EQ(merged.types().size(), 4U);
  EXPECT_EQ(merged.find("gpu")->network, "100 Gigabit");
  EXPECT_EQ(show(*merged.on_demand("gpu", region)), "$0.8000");
  EXPECT_EQ(merged.price_date(Market::on_demand, "gpu", region), "2030-01");
  EXPECT_EQ(show(*merged.spot("gpu", region)), "$0.2000");
  EXPECT_EQ(merged.price_date(Market::spot, "gpu", region), "2031-05-01");
  EXPECT_EQ(merged.price_date(Market::spot, "gpu", region, "us-east-1a"), "2030-01");
  EXPECT_EQ(show(*merged.on_demand("new", region)), "$0.1000");
  EXPECT_THAT(merged.zones("new", region), ElementsAre("us-east-1d"));
  EXPECT_FALSE(merged.on_demand("nobody", region));
}

TEST(Catalog, WrittenAsTextItReadsBackTheSame) {
  Catalog::Builder builder;
  builder.add(InstanceType{.name = "gpu", .vcpus = 8, .memory_mib = 32768, .arch = "arm64", .network = "a, b"});
  builder.add(Price{.type = "gpu", .region = "us-east-1", .spot = Usd{123'456}, .date = "2032"});
  for (const auto& catalog : {Catalog::builtin(), Catalog::merged(small_catalog(), builder.build("2031"))}) {
    const auto csv = catalog.to_csv();
    const auto read = Catalog::parse(csv.instances, csv.prices, csv.date);
    ASSERT_TRUE(read) << describe(read.error());
    const auto again = read->to_csv();
    EXPECT_EQ(again.instances, csv.instances);
    EXPECT_EQ(again.prices, csv.prices);
    EXPECT_EQ(read->spot("gpu", region), catalog.spot("gpu", region));
    EXPECT_EQ(read->price_date(Market::spot, "gpu", region), catalog.price_date(Market::spot, "gpu", region));
    EXPECT_EQ(read->price_date(Market::on_demand, "t3.medium", region),
              catalog.price_date(Market::on_demand, "t3.medium", region));
  }
}

TEST(Catalog, OfATypeThatTwoKnowTheOneSeenLaterCountsAndOfAPriceTheNewer) {
  const auto with = [](const char* network, const char* seen, std::int64_t micros, const char* date) {
    Catalog::Builder builder;
    builder.add(InstanceType{
        .name = "new", .vcpus = 8, .memory_mib = 1, .arch = "arm64", .network = network, .last_seen = seen});
    builder.add(Price{.type = "new", .region = "us-east-1", .on_demand = Usd{micros}, .date = date});
    return builder.build(date);
  };
  const auto older = with("slow", "2026-05", 1'000'000, "2026-05-20");
  const auto newer = with("fast", "2026-10", 2'000'000, "2026-10-02");
  for (const auto& merged : {Catalog::merged(older, newer), Catalog::merged(newer, older)}) {
    EXPECT_EQ(merged.find("new")->network, "fast");
    EXPECT_EQ(merged.find("new")->last_seen, "2026-10");
    EXPECT_EQ(show(*merged.on_demand("new", region)), "$2.00");
    EXPECT_EQ(merged.price_date(Market::on_demand, "new", region), "2026-10-02");
  }
}

TEST(Catalog, APriceIsOldAfterNinetyDaysAndAMonthCountsFromItsEnd) {
  EXPECT_FALSE(is_old_price("2026-08-30", "2026-11-28"));
  EXPECT_TRUE(is_old_price("2026-08-29", "2026-11-28"));
  EXPECT_FALSE(is_old_price("2026-08", "2026-11-28"));
  EXPECT_TRUE(is_old_price("2026-07", "2026-11-28"));
  EXPECT_FALSE(is_old_price("2026-12-24", "2026-11-28"));
  for (const char* date : {"", "2026", "soon", "2026-02-30", "2026-13"}) {
    EXPECT_FALSE(is_old_price(date, "2026-11-28")) << date;
    EXPECT_FALSE(is_old_price("2020-01-01", date)) << date;
  }
}

TEST(Catalog, EveryBuiltInTypeSaysWhenAwsWasLastSeenToHaveIt) {
  for (const auto& type : Catalog::builtin().types()) {
    EXPECT_EQ(type.last_seen.size(), 7U) << type.name;
    EXPECT_EQ(type.last_seen.substr(0, 2), "20") << type.name;
  }
}

TEST(Catalog, TheBuiltInOneHasEveryFamilyThatTrains) {
  const auto& catalog = Catalog::builtin();
  for (const char* type :
       {"p2.xlarge",    "p3.2xlarge",     "p3dn.24xlarge", "p4d.24xlarge",     "p4de.24xlarge",    "p5.48xlarge",
        "p5.4xlarge",   "p5e.48xlarge",   "p5en.48xlarge", "p6-b200.48xlarge", "p6-b300.48xlarge", "g3.4xlarge",
        "g3s.xlarge",   "g4dn.xlarge",    "g4ad.xlarge",   "g5.xlarge",        "g5g.xlarge",       "g6.xlarge",
        "g6e.xlarge",   "g6f.large",      "gr6.4xlarge",   "g7e.2xlarge",      "g7.2xlarge",       "p6e-gb200.36xlarge",
        "trn1.2xlarge", "trn1n.32xlarge", "trn2.48xlarge", "inf1.xlarge",      "inf2.xlarge",      "dl1.24xlarge",
        "c5.large",     "c6i.large",      "c7i.large",     "m5.large",         "m6i.large",        "m7i.large",
        "r5.large",     "r6i.large",      "t2.micro",      "t3.nano"}) {
    EXPECT_TRUE(catalog.find(type)) << type;
  }
}

}  // namespace
}  // namespace ferry::plan
