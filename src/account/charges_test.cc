#include "account/charges.h"

#include <gtest/gtest.h>

#include "fleet/labels.h"

namespace ferry::account {
namespace {

const plan::Catalog& prices() {
  static const auto catalog = *plan::Catalog::parse(
      "instance_type,accelerator_name,accelerator_count,accelerator_memory_mib,vcpus,memory_mib,arch,network_gbps,"
      "local_nvme_gb,last_seen\n"
      "g5.xlarge,A10G,1,24576,4,16384,x86_64,Up to 10 Gigabit,250,2025-10\n",
      "instance_type,region,on_demand_usd_per_hour,spot_usd_per_hour,source\ng5.xlarge,us-east-1,1.0,0.4,test\n"
      "g5.xlarge,sa-east-1,1.0,0.4,test\n",
      "2025-10");
  return catalog;
}

aws::InstanceRecord machine(const std::string& id, const std::string& state) {
  aws::InstanceRecord one;
  one.id = id;
  one.type = "g5.xlarge";
  one.state = state;
  return one;
}

std::vector<Charge> charges(const Standing& standing) { return charges_of(standing, prices()); }
Standing in(const std::string& region) {
  Standing standing;
  standing.region = region;
  return standing;
}

TEST(Charges, OfAMachineAreItsPriceWhileItRunsWithTheAddressThatNoOtherLineHas) {
  auto standing = in("us-east-1");
  standing.machines = {machine("i-1", "running"), machine("i-2", "stopped"), machine("i-3", "terminated")};
  standing.machines[0].public_ip = "203.0.113.7";
  auto found = charges(standing);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].month, Usd{1'005'000 * 730});
  EXPECT_EQ(found[0].about, "g5.xlarge on demand, running, with a public address");
  EXPECT_EQ(found[0].end_by, "aws ec2 terminate-instances --region us-east-1 --instance-ids i-1");
  standing.addresses = {{"eipalloc-1", "203.0.113.7", "i-1", "eni-1", {}}};
  found = charges(standing);
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].month, Usd{1'000'000 * 730});
  EXPECT_EQ(found[1].month, Usd{5'000 * 730});
  standing.machines[0].lifecycle = "spot";
  found = charges(standing);
  EXPECT_EQ(found[0].month, Usd{400'000 * 730});
  EXPECT_TRUE(found[0].is_estimate);
  standing.machines[0].type = "z9.huge";
  EXPECT_EQ(charges(standing)[0].month, std::nullopt) << "a price that is not known is none, not zero";
}

TEST(Charges, OfDisksAreByTypeAndRegionWhetherAttachedOrNot) {
  auto standing = in("us-east-1");
  standing.machines = {machine("i-1", "stopped")};
  const auto disk = [](const char* id, const char* type, const char* of) {
    return aws::VolumeRecord{.id = id,
                             .zone = "us-east-1a",
                             .type = type,
                             .instance = of,
                             .gib = 100,
                             .iops = 3000,
                             .mib_per_s = 125,
                             .created_ms = 1};
  };
  standing.disks = {disk("vol-1", "gp3", "i-1"), disk("vol-2", "gp2", ""), disk("vol-3", "io1", ""),
                    disk("vol-4", "sc1", "i-9")};
  const auto found = charges(standing);
  ASSERT_EQ(found.size(), 4u);
  EXPECT_EQ(found[0].about, "100 GiB gp3, of i-1, which is stopped");
  EXPECT_NEAR(static_cast<double>(found[0].month->micros), 8e6, 1e3);
  EXPECT_EQ(found[1].about, "100 GiB gp2, attached to nothing");
  EXPECT_EQ(found[1].month, Usd{10'000'000});
  EXPECT_EQ(found[1].end_by, "aws ec2 delete-volume --region us-east-1 --volume-id vol-2");
  EXPECT_EQ(found[2].month, Usd{12'500'000 + 3000 * 65'000});
  EXPECT_EQ(found[3].month, Usd{1'500'000});
  standing.region = "sa-east-1";
  EXPECT_EQ(charges(standing)[1].month, Usd{19'000'000});
}

TEST(Charges, AreOfEverythingThatIsPaidForByTheHour) {
  auto standing = in("us-east-1");
  standing.snapshots = {{"snap-1", "", false, 100, -1, 1, {}},
                        {"snap-2", "", true, 100, std::int64_t{10} << 30, 1, {}}};
  standing.images.emplace_back();
  standing.images[0].id = "ami-1";
  standing.images[0].snapshots = {"snap-2"};
  standing.gateways = {{"nat-1", "vpc-1", "available", 1, {}}, {"nat-2", "vpc-1", "deleted", 1, {}}};
  standing.endpoints = {{"vpce-1", "s", "Interface", "available", 3, 1, {}},
                        {"vpce-2", "s", "Gateway", "available", 0, 1, {}}};
  standing.reservations = {{"cr-1", "g5.xlarge", "a", "active", 3, 2, false, 1, 0},
                           {"cr-2", "g5.xlarge", "a", "active", 3, 0, false, 1, 0},
                           {"cr-3", "g5.xlarge", "a", "active", 3, 3, true, 1, 0},
                           {"cr-4", "g5.xlarge", "a", "cancelled", 3, 3, false, 1, 0}};
  standing.balancers = {{"front", "arn:1", "application", 1}, {"old", "", "classic", 1}};
  standing.model_endpoints = {{"serving", "InService", 1, {{"ml.g5.xlarge", 2}}},
                              {"serverless", "InService", 1, {}},
                              {"odd", "InService", 1, {{"", 1}}}};
  standing.notebooks = {{"book", "ml.g5.xlarge", "InService", 1}, {"shut", "ml.g5.xlarge", "Stopped", 1}};
  std::map<std::string, std::optional<Usd>> by_id;
  for (const auto& one : charges(standing)) {
    by_id[one.id] = one.month;
    EXPECT_EQ(one.end_by.has_value(), one.kind != "capacity block") << one.id;
    if (one.id == "snap-2") {
      EXPECT_EQ(one.end_by,
                "aws ec2 deregister-image --region us-east-1 --image-id ami-1 && "
                "aws ec2 delete-snapshot --region us-east-1 --snapshot-id snap-2");
    }
  }
  const std::map<std::string, std::optional<Usd>> expected = {
      {"snap-1", Usd{5'000'000}},    {"snap-2", Usd{125'000}},       {"nat-1", Usd{45'000 * 730}},
      {"vpce-1", Usd{30'000 * 730}}, {"cr-1", Usd{2'000'000 * 730}}, {"cr-3", Usd{}},
      {"front", Usd{22'500 * 730}},  {"old", Usd{25'000 * 730}},     {"serving", Usd{2'800'000 * 730L}},
      {"odd", std::nullopt},         {"book", Usd{1'400'000 * 730}},
  };
  EXPECT_EQ(by_id, expected);
}

TEST(Charges, SayWhoseTheyAreByFerrysTags) {
  auto standing = in("us-east-1");
  standing.machines = {machine("i-1", "running")};
  standing.machines[0].tags = {{fleet::owner_tag, "ben@tower"}, {"ferry:run", "digits-7k2"}, {"Name", "digits-7k2"}};
  const auto found = charges(standing);
  EXPECT_EQ(found[0].owner, "ben@tower");
  EXPECT_EQ(found[0].run, "digits-7k2");
  EXPECT_EQ(found[0].about, "g5.xlarge on demand, running");
}

}  // namespace
}  // namespace ferry::account
