#include "task/task.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ferry::task {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

Task parsed(std::string_view yaml) {
  auto task = parse_task(yaml, "task.yaml");
  if (!task) ADD_FAILURE() << describe(task.error());
  return task.value_or(Task{});
}

Error refused(std::string_view yaml) {
  auto task = parse_task(yaml, "task.yaml");
  if (task) {
    ADD_FAILURE() << "accepted: " << yaml;
    return {};
  }
  EXPECT_EQ(task.error().kind, Kind::bad_input);
  return task.error();
}

TEST(Task, ATaskWithEveryFieldOfThisVersionIsReadWhole) {
  const auto task = parsed(R"(
name: digits
workdir: .
num_nodes: 1
resources:
  infra: aws/us-east-1/us-east-1a
  instance_type: g5.xlarge
  accelerators: A10G:1
  cpus: 4+
  memory: 16GB
envs:
  EPOCHS: 20
  LR: 1e-3
secrets:
  HF_TOKEN: null
setup: |
  pip install -r requirements.txt
run: |
  python train.py --epochs $EPOCHS
outputs: [outputs/, "*.log"]
max_duration: 1h30m
)");
  EXPECT_EQ(task.name, "digits");
  EXPECT_EQ(task.workdir, ".");
  EXPECT_EQ(show(*task.resources.infra), "aws/us-east-1/us-east-1a");
  EXPECT_EQ(task.resources.instance_type, "g5.xlarge");
  EXPECT_EQ(task.resources.accelerators.choices.at(0).name, "A10G");
  EXPECT_EQ(task.resources.accelerators.choices.at(0).count, 1);
  EXPECT_EQ(task.resources.cpus->value, 4);
  EXPECT_TRUE(task.resources.cpus->at_least);
  EXPECT_EQ(task.resources.memory->value, 16);
  EXPECT_FALSE(task.resources.memory->at_least);
  EXPECT_EQ(task.envs.at("EPOCHS"), "20");
  EXPECT_EQ(task.envs.at("LR"), "1e-3");
  EXPECT_THAT(task.missing_secrets, ElementsAre("HF_TOKEN"));
  EXPECT_EQ(task.setup, "pip install -r requirements.txt\n");
  EXPECT_EQ(task.run, "python train.py --epochs $EPOCHS\n");
  EXPECT_THAT(task.outputs, ElementsAre("outputs/", "*.log"));
  EXPECT_EQ(task.max_duration, Seconds(5400));
  EXPECT_THAT(task.not_yet, IsEmpty());
}

TEST(Task, ASkyPilotFileIsReadWithOneLineForEachFieldThatIsNotActedOn) {
  const auto task = parsed(R"(
# SkyPilot: fine-tuning.
name: finetune
resources:
  accelerators: {A100-80GB: 8, A100: 8}
  use_spot: true
  disk_size: 512
  disk_tier: best
  ports: [8888, "6006"]
  image_id: skypilot:gpu-ubuntu-2004
  labels: {team: vision, note: }
  local_disk: nvme:1000+
  max_hourly_cost: 12.5
  any_of:
    - infra: aws/us-east-1
    - infra: gcp/us-central1
    - use_spot: false
      image_id: {us-west-2: ami-0123456789abcdef0}
  job_recovery: {strategy: FAILOVER, max_restarts_on_errors: 3}
  autostop: {idle_minutes: 10, down: true}
num_nodes: 1
workdir: ${PLACE}/code
budget: 20
duration: 3h
environment: {kind: conda, file: environment.yml}
envs:
  PLACE: home
  MODEL_SIZE: 7
  WANDB_API_KEY:
setup: conda activate base || true
run: torchrun --nproc_per_node $SKYPILOT_NUM_GPUS_PER_NODE train.py
)");
  ASSERT_EQ(task.all_candidates().size(), 2U);
  EXPECT_FALSE(task.ordered);
  const auto& first = task.all_candidates()[0];
  EXPECT_EQ(show(*first.infra), "aws/us-east-1");
  ASSERT_EQ(first.accelerators.choices.size(), 2U);
  EXPECT_EQ(first.accelerators.choices[0].name, "A100-80GB");
  EXPECT_EQ(first.accelerators.choices[0].count, 8);
  EXPECT_EQ(first.accelerators.choices[0].at, "task.yaml:5:18");
  EXPECT_EQ(first.at, "task.yaml:15:7");
  EXPECT_TRUE(first.use_spot);
  EXPECT_EQ(first.disk_gib, 512);
  EXPECT_EQ(first.disk_tier, "best");
  ASSERT_TRUE(first.recovery);
  EXPECT_TRUE(first.recovery->is_wanted && !first.recovery->other_region_first);
  EXPECT_EQ(first.recovery->restarts_on_errors, 3);
  EXPECT_EQ(first.image.flavour, "base");
  EXPECT_EQ(first.labels.at("team"), "vision");
  EXPECT_EQ(first.labels.at("note"), "");
  EXPECT_EQ(first.local_disk->value, 1000);
  EXPECT_EQ(first.max_hourly_cost->micros, 12'500'000);
  const auto& second = task.all_candidates()[1];
  EXPECT_FALSE(second.infra);
  EXPECT_FALSE(second.use_spot);
  EXPECT_EQ(second.image.flavour, "");
  EXPECT_EQ(second.image.amis.at("us-west-2"), "ami-0123456789abcdef0");
  EXPECT_EQ(second.disk_gib, 512);
  EXPECT_EQ(task.budget->micros, 20'000'000);
  EXPECT_EQ(task.duration, Seconds(10'800));
  EXPECT_EQ(task.environment.kind, "conda");
  EXPECT_EQ(task.environment.file, "environment.yml");
  EXPECT_EQ(task.workdir, "${PLACE}/code");
  EXPECT_THAT(task.missing_envs, ElementsAre("WANDB_API_KEY"));
  EXPECT_THAT(
      task.not_yet,
      ElementsAre(
          "task.yaml:20: autostop: the machine is ended when the run ends, and a training that does nothing for 10:00 "
          "is ended, too (idle: 10m); with --keep it costs until  ferry down RUN, at the latest until its time limit "
          "(max_duration)",
          StartsWith("task.yaml:9: ports: not open to the internet: while ferry run is attached, a tunnel"),
          "task.yaml:10: image_id: not yet, ferry takes the base Deep Learning AMI (SkyPilot's own images)",
          "task.yaml:16: any_of: left out: a candidate on gcp: ferry trains on AWS"));
}

TEST(Task, OfAutostopItIsSaidWhatBecomesOfItHere) {
  const auto told = [](const char* yaml) {
    const auto lines = parsed(yaml).not_yet;
    return lines.empty() ? std::string() : lines.at(0);
  };
  EXPECT_THAT(told("resources: {autostop: 10}\n"), HasSubstr("task.yaml:1: autostop: the machine is ended when"));
  EXPECT_THAT(told("resources: {autostop: {idle_minutes: 5, down: false}}\n"), HasSubstr("ended, not stopped"));
  EXPECT_THAT(told("resources: {autostop: {idle_minutes: 5, hook: 'aws s3 sync a b'}}\n"),
              HasSubstr("its hook is not run: put that at the end of run:"));
  EXPECT_THAT(told("resources: {autostop: {idle_minutes: 5, wait_for: jobs}}\n"),
              HasSubstr("which is waited for whatever it does"));
  EXPECT_EQ(told("resources: {autostop: false}\n"), "");
}

TEST(Task, AutostopIsTheLimitOfATrainingThatDoesNothing) {
  const auto idle = [](const std::string& yaml) { return parsed(yaml.c_str()).idle.value_or(Seconds(0)); };
  EXPECT_EQ(idle("resources: {autostop: 10}\n"), Seconds(600));
  EXPECT_EQ(idle("resources: {autostop: 2h}\n"), Seconds(7200));
  EXPECT_EQ(idle("resources: {autostop: true}\n"), Seconds(300));
  EXPECT_EQ(idle("resources: {autostop: {idle_minutes: 7, down: true}}\n"), Seconds(420));
  EXPECT_EQ(idle("resources: {autostop: {idle_minutes: 90s, wait_for: none}}\n"), Seconds(90));
  EXPECT_EQ(idle("resources: {autostop: {down: true}}\n"), Seconds(300));
  for (const char* none : {"false", "0", "-1", "{idle_minutes: -1}", "{idle_minutes: 5, wait_for: jobs}",
                           "{idle_minutes: 5, wait_for: JOBS_AND_SSH}", ""})
    EXPECT_EQ(idle("resources: {autostop: " + std::string(none) + "}\n"), Seconds(0)) << none;
  EXPECT_EQ(idle("idle: 20m\nresources: {autostop: 10}\n"), Seconds(1200)) << "ferry's own word outranks it";
  EXPECT_EQ(idle("resources: {autostop: 10}\nidle: 20m\n"), Seconds(1200));
  EXPECT_EQ(refused("idle: 0\n").what, "task.yaml:1:7: idle: not a duration: '0'");
}

TEST(Task, WhatWouldMakeItAnotherTrainingIsRefusedAsNotThereYet) {
  for (const char* yaml :
       {"file_mounts:\n  /data: gs://bucket/data\n", "service: {replicas: 2}\n", "pool: {workers: 2}\n",
        "volume_mounts: {/mnt: vol}\n", "volumes: {/mnt: {size: 100}}\n", "volumes: {/mnt: {name: v, type: k8s-pvc}}\n",
        "resources: {volumes: [{path: /mnt, name: v, storage_type: instance}]}\n",
        "volumes: {/mnt: {name: v, auto_delete: true}}\n",
        "resources: {any_of: [{cpus: 4, volumes: [{path: /mnt, name: v}]}, {cpus: 8}]}\n", "managed_secrets: [A]\n",
        "resources: {infra: gcp}\n", "resources: {cloud: kubernetes}\n",
        "resources: {any_of: [{infra: gcp}, {infra: azure/eastus}]}\n"}) {
    const auto task = parse_task(yaml, "task.yaml");
    ASSERT_FALSE(task) << yaml;
    EXPECT_EQ(task.error().kind, Kind::unsupported) << yaml;
    EXPECT_THAT(task.error().what, StartsWith("task.yaml:")) << yaml;
    EXPECT_NE(task.error().advice, "") << yaml;
  }
  parsed("file_mounts: {}\nvolumes: {}\nservice:\n");
}

TEST(Task, CandidatesKeepTheOuterFieldsThatTheyDoNotOverride) {
  const auto task = parsed(R"(
resources:
  cloud: gcp
  cpus: 8+
  accelerators: [A10G:1, L4:1]
  ordered:
    - {cloud: aws, region: us-east-1}
    - {infra: aws/us-west-2/us-west-2b, accelerators: T4:4}
    - {cpus: 2}
)");
  EXPECT_TRUE(task.ordered);
  ASSERT_EQ(task.candidates.size(), 2U);
  EXPECT_TRUE(task.candidates[0].accelerators.ordered);
  EXPECT_EQ(task.candidates[0].cpus->value, 8);
  EXPECT_EQ(task.candidates[1].accelerators.choices.at(0).name, "T4");
  EXPECT_EQ(task.candidates[1].infra->zone, "us-west-2b");
  EXPECT_THAT(task.not_yet, ElementsAre("task.yaml:9: ordered: left out: a candidate on gcp: ferry trains on AWS"));
  EXPECT_EQ(show(*parsed("resources: {region: eu-west-1, any_of: [{zone: eu-west-1a}, {region: eu-west-2}]}\n")
                      .candidates[1]
                      .infra),
            "aws/eu-west-2");
}

TEST(Task, VariablesInTheWorkdirAreFilledInWithTheEnvs) {
  auto task = parsed("workdir: ~/${A}_$B/x\nenvs: {A: one, B: }\n");
  EXPECT_FALSE(fill_variables(task));
  task.envs["B"] = "two";
  ASSERT_TRUE(fill_variables(task));
  EXPECT_EQ(task.workdir, "~/one_two/x");
  EXPECT_EQ(refused("workdir: a$\n").what, "task.yaml:1:10: workdir: 'a$' has a '$' without a variable's name");
}

TEST(Task, AFieldThatAsksForNothingDrawsNoLine) {
  EXPECT_THAT(
      parsed("num_nodes: 1\nfile_mounts:\nresources: {use_spot: false, autostop: false, image_id: null}\n").not_yet,
      IsEmpty());
}

TEST(Task, FerrysOwnFieldsOfLaterVersionsAreKnown) {
  const auto task = parsed(
      "budget: 5\ncheckpoint: {path: ckpt, every: 10m}\nguard: {nan_loss: stop}\nenvironment: {kind: uv}\n"
      "metrics: metrics.jsonl\nrun: x\n");
  EXPECT_EQ(task.not_yet.size(), 3U);
  EXPECT_EQ(task.environment.kind, "uv");
  EXPECT_EQ(parsed("environment: conda\n").environment.kind, "conda");
}

TEST(Task, ADockerImageInResourcesIsTheEnvironmentOfThatName) {
  auto task = parsed("resources: {image_id: 'docker:Nvcr.io/A/b:24.10-py3'}\n");
  EXPECT_EQ(task.environment.kind, "docker");
  EXPECT_EQ(task.environment.name, "Nvcr.io/A/b:24.10-py3");
  EXPECT_TRUE(task.not_yet.empty());
  EXPECT_TRUE(task.resources.image.amis.empty());
  task = parsed(
      "resources: {image_id: 'docker:a', any_of: [{use_spot: true}, {use_spot: false}]}\n"
      "environment: none\n");
  EXPECT_EQ(task.environment.name, "a");
  task = parsed("resources: {image_id: 'docker:a'}\nenvironment: {kind: docker, file: Dockerfile.gpu}\n");
  EXPECT_EQ(task.environment.name, "");
  EXPECT_EQ(task.environment.file, "Dockerfile.gpu");
  EXPECT_EQ(parsed("environment: docker\n").environment.kind, "docker");
}

TEST(Task, WhatCannotBeDoneWithContainersYetIsRefused) {
  const auto mixed =
      parse_task("resources:\n  any_of:\n  - {image_id: 'docker:a'}\n  - {use_spot: true}\n", "task.yaml");
  ASSERT_FALSE(mixed);
  EXPECT_EQ(mixed.error().kind, Kind::unsupported);
  EXPECT_NE(mixed.error().what.find("every alternative must have the same container"), std::string::npos);
  const auto both = parse_task("resources: {image_id: 'docker:a'}\nenvironment: conda\n", "task.yaml");
  ASSERT_FALSE(both);
  EXPECT_NE(both.error().what.find("environment: conda inside of a container"), std::string::npos);
}

TEST(Task, AnUnknownFieldIsRefusedWithItsPlaceAndTheNearestName) {
  auto error = refused("name: x\nresources:\n  acelerators: A100\n");
  EXPECT_EQ(error.what, "task.yaml:3:3: unknown field 'acelerators' in resources");
  EXPECT_EQ(error.advice, "did you mean 'accelerators'?");
  EXPECT_EQ(refused("checkpoint:\n  pth: x\n").advice, "did you mean 'path'?");
  EXPECT_EQ(refused("resources:\n  any_of:\n    - cpuz: 4\n").what, "task.yaml:3:7: unknown field 'cpuz' in resources");
  EXPECT_EQ(refused("accelerators: A100\n").advice, "'accelerators' belongs under 'resources:'");
  EXPECT_EQ(refused("resources: {num_nodes: 2}\n").advice, "'num_nodes' belongs at the top level");
  EXPECT_THAT(refused("epochs: 5\n").advice, HasSubstr("envs"));
}

TEST(Task, ValuesAreKeptAsWritten) {
  const auto task = parsed("envs: {A: yes, B: 1.50, C: 0x10, D: '', E: 1:30, F: \"a\\nb\", G: 007, H: 'null'}\n");
  EXPECT_EQ(task.envs.at("A"), "yes");
  EXPECT_EQ(task.envs.at("B"), "1.50");
  EXPECT_EQ(task.envs.at("C"), "0x10");
  EXPECT_EQ(task.envs.at("D"), "");
  EXPECT_EQ(task.envs.at("E"), "1:30");
  EXPECT_EQ(task.envs.at("F"), "a\nb");
  EXPECT_EQ(task.envs.at("G"), "007");
  EXPECT_EQ(task.envs.at("H"), "null");
}

TEST(Task, NullMeansMustBeSuppliedForAVariableAndNotGivenForAField) {
  const auto task = parsed("name:\nresources:\nenvs: {A: null, B: ~, C: }\nsecrets: [secrets:TOKEN]\nrun:\n");
  EXPECT_THAT(task.missing_envs, ElementsAre("A", "B", "C"));
  EXPECT_THAT(task.missing_secrets, ElementsAre("TOKEN"));
  EXPECT_EQ(task.run, "");
}

TEST(Task, AnchorsAndMergeKeysAreFollowed) {
  const auto task = parsed(
      "resources: &machine\n  cpus: 4\n  memory: 16\nenvs: &base {A: 1, B: 2}\nsecrets:\n  <<: *base\n  B: "
      "3\n");
  EXPECT_EQ(task.secrets.at("A"), "1");
  EXPECT_EQ(task.secrets.at("B"), "3");
}

TEST(Task, OutputsAreAListOrOnePathAndSkyPilotsEstimateStaysOne) {
  EXPECT_THAT(parsed("outputs: model.pt\n").outputs, ElementsAre("model.pt"));
  EXPECT_THAT(parsed("checkpoints: [ckpt/, a.pt]\n").checkpoints, ElementsAre("ckpt/", "a.pt"));
  EXPECT_THAT(refused("checkpoints: {path: x}\n").what, HasSubstr("checkpoints: it takes paths"));
  const auto task = parsed("outputs: {\"s3://bucket/out\": 5}\n");
  EXPECT_THAT(task.outputs, IsEmpty());
  EXPECT_EQ(task.not_yet.size(), 1U);
}

TEST(Task, WhatIsLateIsAListOfPathsAndPatternsOrOne) {
  EXPECT_THAT(parsed("late: data/\n").late, ElementsAre("data/"));
  EXPECT_THAT(parsed("late: [data/, '*.tar']\n").late, ElementsAre("data/", "*.tar"));
  EXPECT_THAT(parsed("run: x\n").late, IsEmpty());
  EXPECT_THAT(refused("late: {path: x}\n").what, HasSubstr("late: it takes paths"));
  EXPECT_THAT(refused("late: ['']\n").what, HasSubstr("what is late must be a path"));
  EXPECT_THAT(refused("late: [/mnt/x]\n").what, HasSubstr("'/mnt/x' is outside the workdir"));
  EXPECT_FALSE(parsed("late: data/\nresources: {}\nrun: x\n").may_be_skypilots);
}

TEST(Task, AnOutputOutsideTheWorkdirIsRefused) {
  for (const char* path : {"/tmp/x", "../x", "a/../../x", "~/x"}) {
    for (const char* field : {"outputs", "checkpoints", "late"})
      EXPECT_THAT(refused(fmt::format("{}: [\"{}\"]\n", field, path)).what, HasSubstr("outside the workdir"));
  }
}

TEST(Task, TheOlderSpellingOfInfraIsRead) {
  EXPECT_EQ(show(*parsed("resources: {cloud: AWS, region: eu-west-1}\n").resources.infra), "aws/eu-west-1");
  EXPECT_EQ(show(*parsed("resources: {zone: us-east-1b}\n").resources.infra), "aws/us-east-1/us-east-1b");
  EXPECT_EQ(refused("resources:\n  infra: aws\n  region: us-east-1\n").what,
            "task.yaml:3:3: 'region' beside 'infra': both say where");
}

TEST(Task, AlternativesAreAllRead) {
  for (const char* form : {"[T4:2, V100]", "{T4: 2, V100: 1}", "{T4:2, V100}", "'{T4:2, V100:1}'"}) {
    const auto task = parsed(std::string("resources: {accelerators: ") + form + "}\n");
    ASSERT_FALSE(task.resources.accelerators.choices.empty()) << form;
    EXPECT_EQ(task.resources.accelerators.choices.at(0).name, "T4");
    EXPECT_EQ(task.resources.accelerators.choices.at(0).count, 2);
    EXPECT_EQ(task.resources.accelerators.choices.size(), 2U) << form;
    EXPECT_EQ(task.resources.accelerators.ordered, form[0] == '[') << form;
  }
  EXPECT_EQ(parsed("resources: {accelerators: {T4: null}}\n").resources.accelerators.choices.at(0).count, 1);
}

struct Case {
  const char* yaml;
  const char* what;
};

TEST(Task, EveryMistakeIsNamedWithItsPlace) {
  const Case cases[] = {
      {"", "task.yaml:1:1: the task file is empty"},
      {"# nothing\n", "task.yaml:1:1: the task file is empty"},
      {"run:python\n", "task.yaml:1:1: a task file is a mapping of fields, not text"},
      {"- a\n- b\n", "task.yaml:1:1: a task file is a mapping of fields, not a list"},
      {"- a\nrun: x\n", "task.yaml:2:1: not valid YAML: this does not fit what stands above it"},
      {"run: x\n---\nrun: y\n", "task.yaml:3:1: more than one document (separated by '---')"},
      {"run: x\nrun: y\n", "task.yaml:2:1: 'run' is written twice"},
      {"envs:\n\tA: 1\n", "task.yaml:2:1: a tab in the indentation"},
      {"run: |\n\techo\n", "task.yaml:2:1: a tab in the indentation"},
      {"run: echo a: b\n", "task.yaml:1:12: not valid YAML: this ':' is out of place"},
      {"envs:\n    A: 1\n  B: 2\n",
       "task.yaml:3:3: not valid YAML: the indentation of this line fits no field above it"},
      {"run: \"abc\nsetup: x\n", "task.yaml:1:6: the quote (\") that opens here is never closed"},
      {"name: a\nrun: \"abc", "task.yaml:2:6: the quote (\") that opens here is never closed"},
      {"run: &x 'abc\n", "task.yaml:1:9: the quote (') that opens here is never closed"},
      {"outputs: [a, b\nrun: x\n", "task.yaml:1:10: not valid YAML: the '[' that opens here is not closed"},
      {"envs: {a: b\n", "task.yaml:1:7: not valid YAML: the '{' that opens here is not closed"},
      {"run: @x\n", "task.yaml:1:6: unquoted text cannot begin with '@'"},
      {"run: *x\n", "task.yaml:1:6: not valid YAML: this alias names nothing that stands above it"},
      {"envs: &x [*x]\n", "task.yaml:1:11: this alias stands inside what it names"},
      {"run: !Ref x\n", "task.yaml:1:6: unknown YAML tag '!Ref'"},
      {"run: \"\\0\"\n", "task.yaml:1:6: text with a NUL byte (\\0) in it"},
      {"run: x\xff\n", "task.yaml:1:7: byte 0xff is not UTF-8"},
      {"name: \xc3\xa9\nrun: \xed\xa0\x80\n", "task.yaml:2:6: byte 0xed is not UTF-8"},
      {"run: \x04\n", "task.yaml:1:6: control character 0x04"},
      {", , ,", "task.yaml:1:1: not valid YAML: this does not fit what stands above it"},
      {"? [a]\n: b\n", "task.yaml:1:3: a field's name must be plain text"},
      {"run: [a]\n", "task.yaml:1:6: 'run' must be text, not a list"},
      {"name: {a: b}\n", "task.yaml:1:7: 'name' must be text, not a mapping"},
      {"resources: A100\n", "task.yaml:1:12: 'resources' must be a mapping, not text"},
      {"envs: [A=1]\n", "task.yaml:1:7: 'envs' must be a mapping, not a list"},
      {"envs:\n  9A: 1\n", "task.yaml:2:3: envs: '9A' cannot be a variable's name"},
      {"resources: {cpus: 2, any_of: [3]}\n", "task.yaml:1:31: a candidate of 'any_of' must be a mapping, not text"},
      {"num_nodes: 0\n", "task.yaml:1:12: 'num_nodes' must be a whole number from 1, not '0'"},
      {"num_nodes: 1001\n", "task.yaml:1:12: 'num_nodes' must be at most 1000, not 1001"},
      {"max_duration: long\n", "task.yaml:1:15: max_duration: not a duration: 'long'"},
      {"name: my task\n", "task.yaml:1:7: 'my task' cannot be a task's name"},
      {"workdir: $DIR\n", "task.yaml:1:10: workdir: nothing is known of the variable 'DIR'"},
      {"workdir: https://example.org/x\n",
       "task.yaml:1:10: workdir 'https://example.org/x' is not a folder of this computer"},
      {"budget: 0\n", "task.yaml:1:9: 'budget' must be above zero"},
      {"duration: soon\n", "task.yaml:1:11: duration: not a duration: 'soon'"},
      {"environment: {kind: cnda}\n", "task.yaml:1:21: unknown kind 'cnda'"},
      {"resources: {use_spot: maybe}\n", "task.yaml:1:23: 'use_spot' must be true or false, not 'maybe'"},
      {"resources: {disk_size: 256+}\n", "task.yaml:1:24: disk_size: not the size of a disk: '256+'"},
      {"resources: {disk_tier: fast}\n", "task.yaml:1:24: unknown disk_tier 'fast'"},
      {"resources: {local_disk: hdd:5}\n", "task.yaml:1:25: local_disk: not a disk inside the machine: 'hdd:5'"},
      {"resources: {max_hourly_cost: 0}\n", "task.yaml:1:30: 'max_hourly_cost' must be above zero"},
      {"resources: {image_id: ubuntu}\n", "task.yaml:1:23: image_id: 'ubuntu' is no image on AWS"},
      {"resources: {image_id: {us-east-1: x}}\n", "task.yaml:1:35: image_id: 'x' is not an AMI"},
      {"resources: {image_id: {mars: ami-01234567}}\n", "task.yaml:1:24: image_id: 'mars' is not a region"},
      {"resources: {labels: {'aws:x': y}}\n", "task.yaml:1:22: labels: 'aws:x' cannot be a label"},
      {"resources: {ports: 99999}\n",
       "task.yaml:1:20: ports: a port is a number up to 65535, or a range like 10052-10100"},
      {"resources: {autostop: abc}\n", "task.yaml:1:23: autostop: 'abc' means nothing"},
      {"resources: {autostop: {wait_for: banana}}\n", "task.yaml:1:34: wait_for: 'banana' means nothing"},
      {"resources: {job_recovery: {strategy: BANANA}}\n", "task.yaml:1:38: strategy: 'BANANA' means nothing"},
      {"resources: {job_recovery: {max_restarts_on_errors: -1}}\n",
       "task.yaml:1:52: max_restarts_on_errors: '-1' means nothing"},
      {"resources: {job_recovery: {recover_on_exit_codes: [1, 300]}}\n",
       "task.yaml:1:55: recover_on_exit_codes: '300' means nothing"},
      {"resources: {arch: mips}\n", "task.yaml:1:19: unknown arch 'mips'"},
      {"resources: {accelerators: [T4, {a: b, c: d}]}\n",
       "task.yaml:1:32: accelerators: alternatives are texts like A100:8"},
      {"resources: {any_of: [{cpus: 2}], ordered: [{cpus: 4}]}\n",
       "task.yaml:1:34: 'ordered' beside 'any_of': both list the candidates"},
      {"resources: {any_of: [{any_of: [{cpus: 2}]}]}\n", "task.yaml:1:23: 'any_of' inside 'any_of'"},
      {"resources: {any_of: {cpus: 2}}\n", "task.yaml:1:21: 'any_of' must be a list, not a mapping"},
      {"resources: {any_of: [{infra: rehearsal}, {infra: aws}]}\n",
       "task.yaml:1:13: 'any_of' mixes AWS with rehearsal or ssh"},
      {"resources:\n  cpus: four\n", "task.yaml:2:9: cpus: not a number of vCPUs: 'four'"},
  };
  for (const auto& [yaml, what] : cases) EXPECT_EQ(refused(yaml).what, what) << yaml;
  EXPECT_EQ(refused(std::string_view("run: a\0b", 8)).what, "task.yaml:1:7: a NUL byte");
  EXPECT_THAT(refused(std::string_view("\xff\xfer\0", 4)).what, HasSubstr("UTF-16"));
}

TEST(Task, AHugeOrDeepFileIsRefusedAndNotFollowed) {
  const auto many = [](std::string_view piece, std::size_t bytes) {
    std::string out;
    while (out.size() < bytes) out += piece;
    return out;
  };
  EXPECT_THAT(refused(many("x", (1U << 20) + 1)).what, HasSubstr("1 MiB"));
  for (const char* piece : {"[", "{", "- ", "? ", "[a,", "{a: ", "? - ", ", ", "]", "--- \n", "*a ", "&a ", "!"}) {
    refused(many(piece, 1U << 14));
  }
  EXPECT_THAT(refused("envs: " + many("[", 1000)).what, HasSubstr("nested deeper than 64 levels"));
  std::string chain = "a0: &a0 x\n";
  for (int i = 1; i < 200; ++i) chain += fmt::format("a{}: &a{} [*a{}]\n", i, i, i - 1);
  EXPECT_THAT(refused(chain).what, HasSubstr("nested deeper"));
  std::string merges = "envs: &e {";
  for (int i = 0; i < 500; ++i) merges += fmt::format("A{}: 1, ", i);
  merges += "}\nsecrets:\n";
  for (int i = 0; i < 500; ++i) merges += fmt::format("  S{}:\n    <<: *e\n", i);
  EXPECT_THAT(refused(merges).what, HasSubstr("10,000"));
}

TEST(Task, WindowsLineEndsAndAByteOrderMarkAreFine) {
  EXPECT_EQ(parsed("\xef\xbb\xbfrun: |\r\n  a\r\n  b\r\n").run, "a\nb\n");
}

TEST(Task, ASecretsValueIsNeverRepeatedInAComplaint) {
  const auto error = refused("secrets:\n  TOKEN: [hunter2]\n");
  EXPECT_THAT(describe(error), testing::Not(HasSubstr("hunter2")));
}

}  // namespace
}  // namespace ferry::task
