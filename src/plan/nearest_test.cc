#include "plan/nearest.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ferry::plan::nearest_test {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

task::Task wanting(std::string_view resources) {
  auto task = task::parse_task(fmt::format("resources: {{{}}}\n", resources), "task.yaml");
  if (!task) ADD_FAILURE() << describe(task.error());
  return task.value_or(task::Task{});
}

Error missing(std::string_view resources) {
  const auto exists = hardware_exists(wanting(resources), Catalog::builtin());
  if (exists) ADD_FAILURE() << resources << " exists";
  return exists ? Error{} : exists.error();
}

std::vector<std::string> near(std::string_view gpu, int count = 1) {
  std::vector<std::string> out;
  for (const auto& one : nearest_to(gpu, count, Catalog::builtin()))
    out.push_back(fmt::format("{}:{}", one.accelerator, one.count));
  return out;
}

/// The type that is planned once the nearest was taken, and what was told of it.
std::pair<std::string, std::vector<std::string>> taken(std::string_view resources) {
  auto task = wanting(resources);
  auto told = take_nearest(task, Catalog::builtin());
  const auto ranking = rank(task, Catalog::builtin(), {.home_region = "us-east-1"});
  if (!ranking) ADD_FAILURE() << describe(ranking.error());
  return {ranking ? ranking->offers.front().type.name : "", std::move(told)};
}

TEST(Nearest, WhatAwsHasRetiredIsSaidWithItsDateAndWhatReplacesIt) {
  const auto error = missing("accelerators: V100");
  EXPECT_EQ(error.code, no_such_hardware);
  EXPECT_EQ(error.kind, Kind::unsupported);
  EXPECT_EQ(error.what, "task.yaml:1:27: AWS has no V100 any more");
  EXPECT_EQ(error.why, "retired: May 2026");
  EXPECT_EQ(error.advice,
            "nearest: A10G:1 (24 GB, $1.006/h), T4:1 (16 GB, $0.5260/h), L40S:1 (48 GB, $1.861/h); --nearest "
            "takes the first");
  EXPECT_EQ(missing("instance_type: p3.2xlarge").what, "task.yaml:1:28: AWS has no p3.2xlarge any more");
  EXPECT_EQ(missing("accelerators: K80").why, "retired: 2024");
  EXPECT_EQ(missing("accelerators: 'M60:2'").why, "retired: October 2025");
  EXPECT_EQ(missing("accelerators: 'V100-32GB:8'").why, "retired: May 2026");
  EXPECT_TRUE(hardware_exists(wanting("accelerators: {V100: 1, T4: 1}"), Catalog::builtin()));
}

TEST(Nearest, WhatIsRetiredIsNeverChosenUnasked) {
  for (const char* candidate : {"accelerators: 16GB+", "accelerators: '16GB+:8'", "accelerators: '12GB+:16'"}) {
    const auto ranking = rank(wanting(candidate), Catalog::builtin(), {.home_region = "us-east-1"});
    if (!ranking) continue;
    for (const auto& offer : ranking->offers) EXPECT_EQ(retired(offer.type.name), "") << offer.type.name;
  }
}

TEST(Nearest, WhatIsRetiredCanStillBeRehearsedWithAWordAboutIt) {
  for (const char* candidate :
       {"infra: rehearsal, accelerators: V100", "infra: rehearsal, instance_type: p3.2xlarge"}) {
    EXPECT_TRUE(hardware_exists(wanting(candidate), Catalog::builtin()));
    const auto ranking = rank(wanting(candidate), Catalog::builtin(), {.home_region = "us-east-1", .rehearsal = true});
    ASSERT_TRUE(ranking) << describe(ranking.error());
    EXPECT_EQ(ranking->offers.front().type.name, "p3.2xlarge");
    ASSERT_EQ(ranking->notes.size(), 1U);
    EXPECT_THAT(ranking->notes[0], StartsWith("only rehearsed: AWS has no "));
    EXPECT_THAT(ranking->notes[0], HasSubstr("A10G:1"));
  }
}

TEST(Nearest, WhoTakesTheNearestRehearsesWhatWouldBeRented) {
  for (const char* candidate :
       {"infra: rehearsal, accelerators: V100", "infra: rehearsal, instance_type: p3.2xlarge"}) {
    auto task = wanting(candidate);
    EXPECT_EQ(take_nearest(task, Catalog::builtin()).size(), 1U) << candidate;
    EXPECT_EQ(task.resources.accelerators.choices.front().name, "A10G");
  }
}

TEST(Nearest, WhatAwsNeverHadIsSaidWithWhatComesNearest) {
  for (const char* gpu : {"A10", "L40", "A40", "A30", "RTX3090", "RTX-4090", "GeForce RTX 4090", "MI300X", "H100-NVL",
                          "H100 NVL 94GB", "P100", "A6000", "RTX 6000 Ada", "GH200"}) {
    const auto error = missing(fmt::format("accelerators: '{}'", gpu));
    EXPECT_EQ(error.code, no_such_hardware) << gpu;
    EXPECT_THAT(error.what, HasSubstr("AWS has no ")) << gpu;
    EXPECT_THAT(error.advice, HasSubstr("nearest")) << gpu;
    EXPECT_EQ(gpu_table(Catalog::builtin(), gpu, {}).error().advice, error.advice) << gpu;
  }
  const auto why = missing("accelerators: A10").why;
  EXPECT_THAT(why, HasSubstr("A10G"));
  EXPECT_THAT(why, testing::Not(HasSubstr("V100"))) << "what is retired cannot be had";
  EXPECT_EQ(near("A10").at(0), "A10G:1");
  EXPECT_EQ(near("L40").at(0), "L40S:1");
  EXPECT_EQ(near("A40").at(0), "L40S:1");
  EXPECT_EQ(near("H100-NVL").at(0), "H100:1");
  EXPECT_EQ(near("K80").at(0), "T4:1");
  EXPECT_THAT(near("TPU-v4"), IsEmpty());
}

TEST(Nearest, WhatIsRentedInUltraServersOnlyIsSaidSo) {
  for (const char* gpu : {"Trainium3:16", "trn3", "GB300:4"}) {
    const auto error = missing(fmt::format("accelerators: '{}'", gpu));
    EXPECT_EQ(error.code, no_such_hardware) << gpu;
    EXPECT_THAT(error.what, HasSubstr("in UltraServers only")) << gpu;
  }
  const auto ranking =
      rank(wanting("instance_type: p6e-gb200.36xlarge"), Catalog::builtin(), {.home_region = "us-east-1"});
  ASSERT_TRUE(ranking) << describe(ranking.error());
  EXPECT_FALSE(ranking->offers.front().hourly);
  EXPECT_THAT(ranking->notes[0], HasSubstr("capacity blocks of UltraServers only"));
}

TEST(Nearest, TheNewerOnesAreThereButNotRentedUnaskedWithoutAPrice) {
  const auto error =
      rank(wanting("accelerators: RTX-PRO-4500"), Catalog::builtin(), {.home_region = "us-east-1"}).error();
  EXPECT_THAT(error.what, HasSubstr("no price is known"));
  EXPECT_THAT(error.advice, HasSubstr("instance_type: g7.2xlarge"));
  EXPECT_EQ(gpu_table(Catalog::builtin(), "g7", {}).value().size(), 6U);
  EXPECT_EQ(gpu_table(Catalog::builtin(), "RTX PRO 4500", {}).value().front().last_seen, "2026-10");
}

TEST(Nearest, EightGpusDoNotGoBeforeTheLargestSingleOne) {
  EXPECT_THAT(near("MI300X"), testing::ElementsAre("H100:1", "B200:8"));
  EXPECT_EQ(near("B200").at(0), "H100:1");
}

TEST(Nearest, ANumberThatIsNotSoldIsSaidWithWhatIsAndWhatComesNearest) {
  const auto error = missing("accelerators: 'A100:1'");
  EXPECT_EQ(error.why, "AWS sells A100 by eight only");
  EXPECT_THAT(error.advice, StartsWith("nearest: L40S:1 (48 GB, $1.861/h), "));
  EXPECT_THAT(error.advice, HasSubstr("H100:1 (80 GB, $6.88/h), A100:8 (8 × 40 GB, $21.9"));
  EXPECT_EQ(near("L4", 2).at(0), "L40S:1");
  EXPECT_EQ(near("L4", 2).back(), "L4:4");
  EXPECT_EQ(gpu_table(Catalog::builtin(), "A100:1", {}).error().advice, error.advice);
}

TEST(Nearest, IsTakenOnlyWhereTheTaskCannotBeHadAsItIs) {
  EXPECT_EQ(taken("accelerators: V100").first, "g5.xlarge");
  EXPECT_THAT(taken("accelerators: V100").second, testing::ElementsAre("V100:1 → A10G:1 (24 GB, $1.006/h)"));
  EXPECT_EQ(taken("instance_type: p3.2xlarge").first, "g5.xlarge");
  EXPECT_EQ(taken("accelerators: 'A100:1'").first, "g6e.xlarge");
  EXPECT_EQ(taken("accelerators: A10").first, "g5.xlarge");
  EXPECT_EQ(taken("accelerators: H100-NVL").first, "p5.4xlarge");
  EXPECT_THAT(taken("cpus: 1").second, testing::ElementsAre("1 → 1+ (vCPU)"));
  EXPECT_EQ(taken("accelerators: T4, cpus: 6").first, "g4dn.2xlarge");
  EXPECT_THAT(taken("accelerators: T4").second, IsEmpty());
  EXPECT_THAT(taken("accelerators: {V100: 1, T4: 1}").second, IsEmpty());
}

TEST(Nearest, AFractionOfAGpuIsRoundedUpWithANote) {
  const auto ranking = rank(wanting("accelerators: 'T4:0.5'"), Catalog::builtin(), {.home_region = "us-east-1"});
  ASSERT_TRUE(ranking) << describe(ranking.error());
  EXPECT_EQ(ranking->offers.front().type.name, "g4dn.xlarge");
  EXPECT_THAT(ranking->notes, testing::ElementsAre("T4:0.5 is rounded up: AWS rents whole GPUs, so T4:1"));
}

TEST(Nearest, ANumberAloneDoesNotSayWhichGpu) {
  for (const char* word : {"1", "all", "gpu"}) {
    const auto error = missing(fmt::format("accelerators: '{}'", word));
    EXPECT_THAT(error.what, HasSubstr("does not say which GPU")) << word;
    EXPECT_THAT(error.advice, HasSubstr("16GB+:1")) << word;
  }
}

}  // namespace
}  // namespace ferry::plan::nearest_test
