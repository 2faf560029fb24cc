// Single values of a task, as people write them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "task/task.h"

namespace ferry::task {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(Infra, EachFormIsReadAndShown) {
  for (const char* text : {"aws", "aws/us-east-1", "aws/us-gov-west-1", "aws/us-east-1/us-east-1a", "rehearsal",
                           "aws/us-east-1/us-east-1-bos-1a", "ssh/box", "ssh/me@10.0.0.1"}) {
    const auto infra = parse_infra(text);
    ASSERT_TRUE(infra) << text;
    EXPECT_EQ(show(*infra), text);
  }
  EXPECT_EQ(show(*parse_infra("aws/*/us-east-1a")), "aws/us-east-1/us-east-1a");
  EXPECT_EQ(show(*parse_infra("aws/*/*")), "aws/*");
  EXPECT_EQ(show(*parse_infra("AWS/us-west-2/*")), "aws/us-west-2");
}

TEST(Infra, AWrongOneIsRefusedWithTheRightFormBesideIt) {
  EXPECT_EQ(parse_infra("asw").error().advice, "did you mean 'aws'?");
  EXPECT_EQ(parse_infra("us-east-1").error().advice, "write aws/us-east-1");
  EXPECT_EQ(parse_infra("aws/us-east-1a").error().advice, "write aws/us-east-1/us-east-1a");
  EXPECT_EQ(parse_infra("aws/us-east-1/us-west-2a").error().why, "zone us-west-2a is not in region us-east-1");
  EXPECT_EQ(parse_infra("gcp/us-central1").error().why, "ferry trains on AWS, not on gcp");
  for (const char* text : {"", "/", "aws/", "ssh", "ssh/", "ssh/-oProxyCommand=x", "ssh/a b", "ssh/me@-x", "ssh/a/b",
                           "rehearsal/x", "aws/a/b/c", "aws/moon", "aws/us-east-1/x", "aws//us-east-1a"}) {
    const auto infra = parse_infra(text);
    ASSERT_FALSE(infra) << text;
    EXPECT_EQ(infra.error().kind, Kind::bad_input);
  }
}

TEST(Amounts, ReadAsSkyPilotReadsThem) {
  EXPECT_EQ(parse_cpus("4")->value, 4);
  EXPECT_TRUE(parse_cpus("4+")->at_least);
  EXPECT_EQ(parse_memory("16")->value, 16);
  EXPECT_EQ(parse_memory("64GB")->value, 64);
  EXPECT_EQ(parse_memory("64 GiB")->value, 64);
  EXPECT_EQ(parse_memory("512MB")->value, 0.5);
  EXPECT_EQ(parse_memory("1.5tb")->value, 1536);
  EXPECT_TRUE(parse_memory("64GB+")->at_least);
  for (const char* text : {"", "+", "x", "-4", "0", "4x", "1e3", "nan", "inf", "4++", "4 GB", "0x10"}) {
    EXPECT_FALSE(parse_cpus(text)) << text;
  }
  for (const char* text : {"", "GB", "0", "-1GB", "4x", "16 apples", "1e400", "b", "16ib"}) {
    EXPECT_FALSE(parse_memory(text)) << text;
  }
}

TEST(Accelerators, HaveANameAndACount) {
  EXPECT_EQ(parse_accelerator("A100:8")->count, 8);
  EXPECT_EQ(parse_accelerator("A10G")->count, 1);
  EXPECT_EQ(parse_accelerator(" A100-80GB : 4 ")->name, "A100-80GB");
  for (const char* text : {"", ":", ":4", "A100:", "A100:0", "A100:x", "A100:-1", "A\n1", "$(x)"}) {
    EXPECT_FALSE(parse_accelerator(text)) << text;
  }
}

TEST(Accelerators, SeveralAreAlternatives) {
  EXPECT_EQ(parse_accelerators("A10G:1, L4:1")->choices.size(), 2U);
  EXPECT_EQ(parse_accelerators("{A100:8,H100:8}")->choices.at(1).name, "H100");
  EXPECT_FALSE(parse_accelerators("A10G,"));
}

TEST(Amounts, OfDisksInsideTheMachine) {
  EXPECT_EQ(parse_local_disk("nvme")->value, 1);
  EXPECT_TRUE(parse_local_disk("nvme")->at_least);
  EXPECT_EQ(parse_local_disk("nvme:1000+")->value, 1000);
  EXPECT_EQ(parse_local_disk("2TB+")->value, 2000);
  EXPECT_FALSE(parse_local_disk("500")->at_least);
  for (const char* text : {"", "hdd", "nvme:", "nvme:x", "0", "5 apples"}) EXPECT_FALSE(parse_local_disk(text)) << text;
}

TEST(NameFrom, AnyTextGivesAValidName) {
  EXPECT_EQ(name_from("Digits"), "digits");
  EXPECT_EQ(name_from("my task!.yaml"), "my-task-yaml");
  EXPECT_EQ(name_from("__x__"), "x");
  EXPECT_EQ(name_from(""), "task");
  EXPECT_EQ(name_from("\xc3\xa9"), "task");
  EXPECT_EQ(name_from(std::string(31, 'a') + "-b").size(), 31U);
}

std::optional<Recovery> recovery_in(const std::string& yaml) {
  auto task = parse_task("run: a\n" + yaml, "task.yaml");
  if (!task) ADD_FAILURE() << describe(task.error());
  return task ? task->all_candidates()[0].recovery : std::nullopt;
}

TEST(OnInterruption, IsASignalOrAMapping) {
  const auto read = [](const std::string& yaml) { return parse_task("run: a\n" + yaml, "task.yaml"); };
  EXPECT_EQ(read("")->on_interruption.signal, "SIGTERM");
  EXPECT_EQ(read("")->on_interruption.grace, Seconds(100));
  EXPECT_EQ(read("on_interruption: usr1\n")->on_interruption.signal, "SIGUSR1");
  EXPECT_EQ(read("on_interruption: none\n")->on_interruption.signal, "none");
  const auto both = read("on_interruption: {signal: SIGINT, grace: 1m}\n");
  ASSERT_TRUE(both);
  EXPECT_EQ(both->on_interruption.signal, "SIGINT");
  EXPECT_EQ(both->on_interruption.grace, Seconds(60));
  for (const char* wrong : {"on_interruption: SIGKILL\n", "on_interruption: {grace: 2m}\n", "on_interruption: [a]\n",
                            "on_interruption: {grace: soon}\n", "on_interruption: {save: now}\n"})
    EXPECT_FALSE(read(wrong)) << wrong;
}

TEST(Recovery, IsReadInEachOfSkyPilotsForms) {
  EXPECT_FALSE(recovery_in("resources: {use_spot: true}\n"));
  EXPECT_FALSE(recovery_in("resources: {job_recovery: null}\n"));
  EXPECT_FALSE(recovery_in("resources: {job_recovery: none}\n")->is_wanted);
  for (const char* eager : {"EAGER_NEXT_REGION", "eager_next_region", "{max_restarts_on_errors: 1}"}) {
    const auto read = recovery_in(std::string("resources: {job_recovery: ") + eager + "}\n");
    ASSERT_TRUE(read) << eager;
    EXPECT_TRUE(read->is_wanted && read->other_region_first) << eager;
  }
  EXPECT_FALSE(recovery_in("resources: {spot_recovery: FAILOVER}\n")->other_region_first);
  const auto all = recovery_in(
      "resources:\n  job_recovery: {strategy: failover, max_restarts_on_errors: 3, recover_on_exit_codes: [33, 34]}\n");
  ASSERT_TRUE(all);
  EXPECT_TRUE(all->is_wanted && !all->other_region_first);
  EXPECT_EQ(all->restarts_on_errors, 3);
  EXPECT_THAT(all->exit_codes, ElementsAre(33, 34));
  EXPECT_THAT(recovery_in("resources: {job_recovery: {recover_on_exit_codes: 7}}\n")->exit_codes, ElementsAre(7));
  EXPECT_TRUE(
      recovery_in("resources: {job_recovery: FAILOVER, any_of: [{use_spot: true}, {use_spot: false}]}\n")->is_wanted);
}

}  // namespace
}  // namespace ferry::task
