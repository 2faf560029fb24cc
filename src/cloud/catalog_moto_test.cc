// The catalog's calls against answers that nobody here wrote, with the numbers of more than a thousand real
// types.

#include <gtest/gtest.h>

#include <algorithm>

#include "aws/ec2_catalog.h"
#include "aws/quotas.h"
#include "cloud/moto_server.h"

namespace ferry::cloud {
namespace {

class CatalogOverMoto : public testing::Test {
 protected:
  void SetUp() override {
    if (!moto_) GTEST_SKIP() << "python3 has no moto[server]";
    client_ = std::make_unique<aws::Client>(
        aws::ClientConfig{.credentials = aws::fixed_provider({"AKIDEXAMPLE", "secret", "", ""}),
                          .region = "us-east-1",
                          .endpoint_url = moto_->url(),
                          .service_endpoints = {}},
        *http_, os::system_clock());
  }
  std::unique_ptr<os::HttpClient> http_ = os::make_http_client();
  std::optional<MotoServer> moto_ = MotoServer::start();
  std::unique_ptr<aws::Client> client_;
};

TEST_F(CatalogOverMoto, EveryTypeHasItsNumbers) {
  const auto types = aws::describe_instance_types(*client_);
  ASSERT_TRUE(types) << describe(types.error());
  EXPECT_GT(types->size(), 1000U);
  int with_gpu = 0, with_neuron = 0;
  for (const auto& type : *types) {
    EXPECT_GT(type.vcpus, 0) << type.name;
    EXPECT_GT(type.memory_mib, 0) << type.name;
    EXPECT_FALSE(type.architectures.empty()) << type.name;
    for (const auto& device : type.accelerators) {
      EXPECT_FALSE(device.name.empty()) << type.name;
      with_gpu += device.sort == aws::AcceleratorRecord::Sort::gpu;
      with_neuron += device.sort != aws::AcceleratorRecord::Sort::gpu;
    }
  }
  EXPECT_GT(with_gpu, 50);
  EXPECT_GT(with_neuron, 5);
}

TEST_F(CatalogOverMoto, ATypeAskedForByNameIsTheOneOfTheDataSheet) {
  const auto types = aws::describe_instance_types(*client_, {"p4d.24xlarge", "g5.xlarge"});
  ASSERT_TRUE(types) << describe(types.error());
  ASSERT_EQ(types->size(), 2U);
  const auto p4d = std::find_if(types->begin(), types->end(), [](auto& it) { return it.name == "p4d.24xlarge"; });
  ASSERT_NE(p4d, types->end());
  EXPECT_EQ(p4d->vcpus, 96);
  EXPECT_EQ(p4d->memory_mib, 1152 * 1024);
  EXPECT_EQ(p4d->local_disk_gb, 8000);
  EXPECT_TRUE(p4d->local_disk_is_nvme);
  EXPECT_EQ(p4d->architectures, std::vector<std::string>{"x86_64"});
  ASSERT_EQ(p4d->accelerators.size(), 1U);
  EXPECT_EQ(p4d->accelerators[0].name, "A100");
  EXPECT_EQ(p4d->accelerators[0].count, 8);
  EXPECT_EQ(p4d->accelerators[0].memory_mib, 40 * 1024);
}

TEST_F(CatalogOverMoto, PlacesPricesAndNetworksAreListed) {
  const auto zones = aws::describe_availability_zones(*client_);
  ASSERT_TRUE(zones) << describe(zones.error());
  EXPECT_GE(zones->size(), 3U);
  const auto offerings = aws::describe_instance_type_offerings(*client_, {"t3.micro"});
  ASSERT_TRUE(offerings) << describe(offerings.error());
  ASSERT_FALSE(offerings->empty());
  for (const auto& offering : *offerings) {
    EXPECT_EQ(offering.type, "t3.micro");
    EXPECT_TRUE(std::any_of(zones->begin(), zones->end(), [&](auto& zone) { return zone.name == offering.zone; }));
  }
  const auto prices = aws::describe_spot_prices(*client_, {"g5.xlarge"});
  ASSERT_TRUE(prices) << describe(prices.error());
  for (const auto& price : *prices) EXPECT_GT(price.hourly.micros, 0);
  const auto regions = aws::describe_regions(*client_);
  ASSERT_TRUE(regions) << describe(regions.error());
  EXPECT_TRUE(std::any_of(regions->begin(), regions->end(), [](auto& region) { return region.name == "us-east-1"; }));
  const auto vpcs = aws::describe_vpcs(*client_, {{"is-default", {"true"}}});
  ASSERT_TRUE(vpcs) << describe(vpcs.error());
  ASSERT_EQ(vpcs->size(), 1U);
  EXPECT_TRUE(vpcs->front().is_default);
  const auto subnets = aws::describe_subnets(*client_, {{"vpc-id", {vpcs->front().id}}});
  ASSERT_TRUE(subnets) << describe(subnets.error());
  EXPECT_EQ(subnets->size(), zones->size());
  EXPECT_TRUE(std::all_of(subnets->begin(), subnets->end(), [](auto& it) { return it.default_for_zone; }));
}

}  // namespace
}  // namespace ferry::cloud
