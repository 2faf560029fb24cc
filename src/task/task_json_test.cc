#include "task/task_json.h"

#include <gtest/gtest.h>

namespace ferry::task {
namespace {

/// Every field with something that it does not have by itself.
Task full() {
  Resources resources;
  resources.infra = Infra{Provider::rehearsal, "eu-west-1", "eu-west-1a", "box", true};
  resources.instance_type = "g5.xlarge";
  resources.accelerators = {{{"A10G", 2, 0.5, "t.yaml:1:1"}, {"L4", 1, 0, ""}}, true};
  resources.cpus = Amount{4, true};
  resources.memory = Amount{16.5, true};
  resources.local_disk = Amount{1000, true};
  resources.arch = "arm64";
  resources.use_spot = true;
  resources.recovery = Recovery{false, true, 3, {33, 34}};
  resources.max_hourly_cost = Usd{1'500'000};
  resources.disk_gib = 200;
  resources.disk_tier = "high";
  resources.image = {"pytorch/pytorch:2", "pytorch", "2.11", "ubuntu-24.04", {{"", "ami-1"}, {"eu-west-1", "ami-2"}}};
  resources.ports = {8080};
  resources.labels = {{"team", "a"}};
  resources.at = "t.yaml:2:1";
  resources.places = {{"cpus", "t.yaml:3:1"}};
  Task task;
  task.name = "digits";
  task.workdir = "/home/me/digits";
  task.git = {"https://example.org/lab/code.git", "main", "", "t.yaml:4:1"};
  task.num_nodes = 2;
  task.nodes_at = "t.yaml:5:1";
  task.resources = resources;
  task.candidates = {resources, Resources{}};
  task.ordered = true;
  task.envs = {{"A", "1"}};
  task.missing_envs = {"B"};
  task.missing_secrets = {"C"};
  task.setup = "pip install x\n";
  task.run = "python train.py \xc3\xa4";
  task.event_callback = "echo $JOB_STATUS";
  task.checkpoints = {"ckpt/*.pt"};
  task.outputs = {"outputs/", "*.pt"};
  task.late = {"data/"};
  task.store = "s3://bucket/prefix";
  task.recovers_by_aws = true;
  task.budget = Usd{3'000'000};
  task.max_duration = Seconds(7200);
  task.duration = Seconds(60);
  task.environment = {"conda", "base", "environment.yml"};
  task.run_options = {"--shm-size=16g"};
  task.mounts = {{"~/data", "/home/me/data", "t.yaml:9:1", true, true}};
  task.data = {{"/data", "s3://bucket/set", MountMode::cached, true, "t.yaml:10:1"},
               {"big", "", MountMode::copy, false, "t.yaml:11:1", "/home/me/sets", std::string(32, 'a')}};
  task.taken = {"prepare-7k2", 2, std::string(64, 'b')};
  task.output_folders = {{"/out", "my-bucket", "t.yaml:11:1"}};
  task.volumes = {{"/mnt/data", "my-volume", "t.yaml:12:1", true}};
  task.aws.subnets = {{"", {"subnet-1"}}, {"eu-west-1", {"subnet-2", "subnet-3"}}};
  task.aws.security_group = "sg-1";
  task.aws.public_address = false;
  task.aws.ssh_from = "10.0.0.0/8";
  task.aws.ssh_proxy = "ssm";
  task.aws.key_name = "mine";
  task.aws.key_file = "~/mine.pem";
  task.aws.login_user = "ubuntu";
  task.aws.placement_group = "pg";
  task.aws.capacity_reservation = "cr-1";
  task.aws.instance_profile = "role";
  task.on_interruption = {"SIGUSR1", Seconds(30)};
  task.idle = Seconds(1200);
  task.ends = Ends::stop;
  task.may_be_skypilots = true;
  task.not_yet = {"num_nodes"};
  return task;
}

/// Nothing in it is as it is by itself: a field that to_json() lacks could not be told from one that is not set.
void expect_full(const Json& json, const std::string& place) {
  const bool is_unset =
      json.is_null() || json == 0 || json == "" || json == false || (json.is_structured() && json.empty());
  EXPECT_FALSE(is_unset) << place;
  if (!json.is_object()) return;
  for (const auto& [name, value] : json.items()) {
    const bool is_true_by_itself = name == "is_wanted" || name == "public_address" || name == "secrets";
    if (!is_true_by_itself) expect_full(value, place + "." + name);
  }
}

TEST(TaskJson, EveryFieldOfATaskComesBack) {
  const auto json = to_json(full());
  expect_full(json, "task");
  const auto back = task_from(json);
  ASSERT_TRUE(back);
  EXPECT_TRUE(*back == full()) << to_json(*back).dump(1);
}

TEST(TaskJson, ASecretComesBackWithItsNameAlone) {
  auto task = full();
  task.secrets = {{"HF_TOKEN", "hf_secret"}};
  task.git.login = "me:hf_secret";
  const auto json = to_json(task);
  EXPECT_EQ(dump_json(json).find("hf_secret"), std::string::npos);
  const auto back = task_from(json);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->secrets, (std::map<std::string, std::string>{{"HF_TOKEN", ""}}));
}

TEST(TaskJson, WhatAFerryBeforeDidNotKnowIsAsItIsByItself) {
  const auto back = task_from({{"run", "true"}});
  ASSERT_TRUE(back);
  EXPECT_TRUE(to_json(*back)["resources"] == to_json(Task{})["resources"]);
  EXPECT_EQ(back->run, "true");
}

TEST(TaskJson, AMemberOfAnotherTypeIsCorrupt) {
  for (const Json& json : {Json(7), Json{{"run", 7}}, Json{{"resources", "A100"}}, Json{{"candidates", Json::object()}},
                           Json{{"secrets", 7}}, Json{{"max_duration", "2h"}}}) {
    const auto back = task_from(json);
    ASSERT_FALSE(back) << json.dump();
    EXPECT_EQ(back.error().kind, Kind::corrupt) << json.dump();
  }
}

}  // namespace
}  // namespace ferry::task
