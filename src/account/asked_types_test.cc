// What EC2 answers about a type that the catalog lacks; answers in the form that its API reference documents.
#include "account/asked_types.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "aws/scripted_http.h"
#include "fleet/planning.h"

namespace ferry::account::asked_types_test {
namespace {

using testing::HasSubstr;

std::string type_answer(std::string_view name) {
  return fmt::format(
      "<DescribeInstanceTypesResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>r</requestId>"
      "<instanceTypeSet><item><instanceType>{}</instanceType><currentGeneration>true</currentGeneration>"
      "<supportedUsageClasses><item>on-demand</item><item>spot</item></supportedUsageClasses>"
      "<bareMetal>false</bareMetal><hypervisor>nitro</hypervisor>"
      "<processorInfo><supportedArchitectures><item>x86_64</item></supportedArchitectures></processorInfo>"
      "<vCpuInfo><defaultVCpus>16</defaultVCpus><defaultCores>8</defaultCores></vCpuInfo>"
      "<memoryInfo><sizeInMiB>131072</sizeInMiB></memoryInfo>"
      "<instanceStorageInfo><totalSizeInGB>950</totalSizeInGB><disks><item><sizeInGB>950</sizeInGB>"
      "<count>1</count><type>ssd</type></item></disks><nvmeSupport>required</nvmeSupport></instanceStorageInfo>"
      "<networkInfo><networkPerformance>Up to 60 Gigabit</networkPerformance></networkInfo>"
      "<gpuInfo><gpus><item><name>X9</name><manufacturer>NVIDIA</manufacturer><count>2</count>"
      "<memoryInfo><sizeInMiB>49152</sizeInMiB></memoryInfo></item></gpus>"
      "<totalGpuMemoryInMiB>98304</totalGpuMemoryInMiB></gpuInfo></item></instanceTypeSet>"
      "</DescribeInstanceTypesResponse>",
      name);
}

std::string offerings_answer(std::string_view name) {
  return fmt::format(
      "<DescribeInstanceTypeOfferingsResponse><instanceTypeOfferingSet><item><instanceType>{}</instanceType>"
      "<locationType>availability-zone</locationType><location>us-east-1b</location></item>"
      "</instanceTypeOfferingSet></DescribeInstanceTypeOfferingsResponse>",
      name);
}

const std::string no_spot =
    "<DescribeSpotPriceHistoryResponse><spotPriceHistorySet/></DescribeSpotPriceHistoryResponse>";

std::string product(std::string_view name) {
  const Json attributes = {{"instanceType", name},      {"regionCode", "us-east-1"}, {"operatingSystem", "Linux"},
                           {"tenancy", "Shared"},       {"preInstalledSw", "NA"},    {"capacitystatus", "Used"},
                           {"marketoption", "OnDemand"}};
  const Json dimension = {{"unit", "Hrs"}, {"pricePerUnit", {{"USD", "3.2500000000"}}}};
  const Json one = {{"product", {{"attributes", attributes}}},
                    {"terms", {{"OnDemand", {{"A.B", {{"priceDimensions", {{"A.B.C", dimension}}}}}}}}}};
  return dump_json({{"FormatVersion", "aws_v1"}, {"PriceList", {dump_json(one)}}});
}

struct World {
  aws::ScriptedHttp http;
  os::FakeClock clock;

  AskedTypes ask(const std::string& type) {
    const auto task = task::parse_task("resources: {infra: rehearsal, instance_type: " + type + "}\n", "t.yaml");
    EXPECT_TRUE(task);
    return ask_about_types(*task, http, clock, []() -> Result<cloud::AwsContext> {
      cloud::AwsContext aws_context;
      aws_context.region = "us-east-1";
      aws_context.endpoint_url = "http://127.0.0.1:9";
      aws_context.credentials = cloud::fixed_credentials("AKID", "secret");
      aws_context.max_attempts = 1;
      return aws_context;
    });
  }
};

TEST(AskedTypes, WhatEc2KnowsIsInTheCatalogFromThenOn) {
  World aws_context;
  for (const auto& answer : {type_answer("x9.4xlarge"), offerings_answer("x9.4xlarge"), product("x9.4xlarge"), no_spot})
    aws_context.http.reply(200, answer);
  const auto& before = fleet::catalog_in_force();
  const auto asked = aws_context.ask("x9.4xlarge");
  EXPECT_EQ(asked.why, "");
  ASSERT_EQ(asked.told.size(), 1U);
  EXPECT_EQ(asked.told[0],
            "x9.4xlarge is not in ferry's catalog; EC2 says: X9 ×2, 16 vCPU, 128 GiB, x86_64, in us-east-1; $3.25/h");
  const auto* type = fleet::catalog_in_force().find("x9.4xlarge");
  ASSERT_TRUE(type);
  EXPECT_EQ(type->accelerator_memory_mib, 49152);
  EXPECT_EQ(type->local_nvme_gb, 950);
  EXPECT_EQ(type->last_seen, "2023-11-14");
  EXPECT_EQ(show(*fleet::catalog_in_force().on_demand("x9.4xlarge", "us-east-1")), "$3.25");
  EXPECT_THAT(fleet::catalog_in_force().zones("x9.4xlarge", "us-east-1"), testing::ElementsAre("us-east-1b"));
  EXPECT_EQ(before.find("x9.4xlarge"), nullptr) << "who held the earlier catalog holds it still";
  EXPECT_TRUE(aws_context.ask("x9.4xlarge").told.empty()) << "and is not asked about again";
}

TEST(AskedTypes, APriceThatCannotBeHadIsUnknownAndWhyIsSaid) {
  World aws_context;
  aws_context.http.reply(200, type_answer("x9.8xlarge"));
  aws_context.http.reply(200, offerings_answer("x9.8xlarge"));
  aws_context.http.reply(400, R"({"__type":"AccessDeniedException","Message":"not you"})");
  aws_context.http.reply(200, no_spot);
  const auto asked = aws_context.ask("x9.8xlarge");
  ASSERT_EQ(asked.told.size(), 1U);
  EXPECT_THAT(asked.told[0], HasSubstr("its price is unknown ("));
  EXPECT_FALSE(fleet::catalog_in_force().on_demand("x9.8xlarge", "us-east-1"));
}

TEST(AskedTypes, WhoIsNotKnownAndWhoCouldNotBeAskedAreTwoSentences) {
  World aws_context;
  aws_context.http.reply_fault(400, "InvalidInstanceType",
                               "The following supplied instance types do not exist: [x9.large]");
  EXPECT_EQ(aws_context.ask("x9.large").why, "EC2 does not know it in us-east-1");
  aws_context.http.reply_fault(403, "UnauthorizedOperation");
  EXPECT_THAT(aws_context.ask("x9.large").why, HasSubstr("EC2 could not be asked: "));
  aws_context.http.reply_error(Kind::lost);
  EXPECT_THAT(aws_context.ask("x9.large").why, HasSubstr("EC2 could not be asked: "));
  EXPECT_EQ(fleet::catalog_in_force().find("x9.large"), nullptr);
}

TEST(AskedTypes, NobodyIsAskedAboutWhatIsKnownOrIsNoTypeByItsForm) {
  World aws_context;
  for (const char* type : {"g5.xlarge", "n1-standard-4", "Standard_NC6", "'a b.large'", "x9"}) {
    const auto asked = aws_context.ask(type);
    EXPECT_TRUE(asked.told.empty() && asked.why.empty()) << type;
  }
  EXPECT_TRUE(aws_context.http.asked.empty());
}

}  // namespace
}  // namespace ferry::account::asked_types_test
