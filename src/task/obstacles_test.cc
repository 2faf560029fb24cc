// What stands in the way of a task file: all of it at once, each with its place; what the command line decides; and
// files that are no tasks at all.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "task/task.h"

namespace ferry::task {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

Error obstacle(std::string_view yaml, const Decided& decided = {}) {
  auto task = parse_task(yaml, "task.yaml", decided);
  if (!task) return task.error();
  ADD_FAILURE() << "accepted: " << yaml;
  return {};
}

Task accepted(std::string_view yaml, const Decided& decided = {}) {
  auto task = parse_task(yaml, "task.yaml", decided);
  if (!task) ADD_FAILURE() << describe(task.error());
  return task.value_or(Task{});
}

std::vector<std::string> all_of(const Error& error) {
  std::vector<std::string> out = {error.what};
  for (const auto& other : error.more) out.push_back(other.what);
  return out;
}

TEST(Obstacles, AllOfThemAreToldAtOnceInTheOrderOfTheFileEachWithItsPlace) {
  const auto error = obstacle(R"(name: bad name!
num_nodes: many
resources:
  accelerator: A10G:1
  use_spot: sometimes
  cpus: lots
file_mounts:
  /data: gs://bucket/data
envs:
  2FAST: a
  B: [1]
service: {port: 80}
outputs: [/abs, ok/]
)");
  EXPECT_THAT(
      all_of(error),
      ElementsAre(StartsWith("task.yaml:1:7: 'bad name!' cannot be"), StartsWith("task.yaml:2:12: 'num_nodes' must be"),
                  StartsWith("task.yaml:4:3: unknown field 'accelerator'"),
                  StartsWith("task.yaml:5:13: 'use_spot' must be"), StartsWith("task.yaml:6:9: cpus: not a"),
                  StartsWith("task.yaml:8:10: file_mounts:"), StartsWith("task.yaml:10:3: envs: '2FAST'"),
                  StartsWith("task.yaml:11:6: 'B' must be text"), StartsWith("task.yaml:12:1: 'service'"),
                  StartsWith("task.yaml:13:11: output '/abs' is outside")));
  EXPECT_THAT(describe(error), HasSubstr("'service' is not there yet"));
}

TEST(Obstacles, ARefusalSaysWhichFlagSettlesIt) {
  const auto foreign = obstacle("resources:\n  cloud: gcp\n  image_id: projects/p/global/images/i\nrun: a\n");
  EXPECT_THAT(all_of(foreign),
              ElementsAre("task.yaml:2:10: cloud: 'gcp' is not on AWS",
                          HasSubstr("3:13: image_id: 'projects/p/global/images/i' is no image on AWS")));
  EXPECT_EQ(foreign.advice, "pass --infra aws, which outranks the file");
  EXPECT_THAT(foreign.more.at(0).advice, HasSubstr("pass --image pytorch"));
  const auto region = obstacle("resources:\n  region: us-central1\nrun: a\n");
  EXPECT_EQ(region.what, "task.yaml:2:11: region: 'us-central1' is a region of Google Cloud");
  EXPECT_THAT(region.advice, HasSubstr("pass --region"));
  EXPECT_THAT(obstacle("resources: {infra: aws/us-central1}\n").what, HasSubstr("a region of Google Cloud"));
  EXPECT_THAT(obstacle("resources: {cloud: aws, zone: us-west1-b}\n").what, HasSubstr("a zone of Google Cloud"));
  EXPECT_THAT(obstacle("resources: {region: westeurope}\n").what, HasSubstr("a region of Azure"));
}

TEST(Obstacles, WhatTheCommandLineDecidesIsNotJudged) {
  for (const auto* resources : {"{cloud: gcp}", "{infra: gcp/us-central1}", "{region: us-central1}", "{infra: k8s/ctx}",
                                "{cloud: gcp, region: europe-west4, zone: europe-west4-a}"}) {
    const auto yaml = fmt::format("resources: {}\nrun: a\n", resources);
    EXPECT_FALSE(parse_task(yaml, "t")) << yaml;
    EXPECT_FALSE(accepted(yaml, {.place = true}).resources.infra) << yaml;
  }
  const auto image = "resources: {image_id: projects/p/global/images/i}\n";
  EXPECT_FALSE(parse_task(image, "t", {.place = true}));
  EXPECT_THAT(accepted(image, {.image = true}).resources.image.amis, IsEmpty());
  EXPECT_EQ(accepted("resources: {image_id: 'docker:a/b'}\n", {.image = true}).environment.name, "a/b");
  EXPECT_EQ(accepted("resources: {image_id: 'docker:a/b'}\n", {.image = true, .container = true}).environment.kind,
            "auto");
  auto task = accepted("resources: {instance_type: n1-standard-8, accelerators: 'tpu(3)'}\n", {.type = true});
  EXPECT_EQ(task.resources.instance_type, "");
  EXPECT_THAT(task.resources.accelerators.choices, IsEmpty());
  EXPECT_THAT(task.not_yet, ElementsAre(HasSubstr("accelerators: left out: --instance-type decides")));
  task = accepted("resources: {instance_type: n1-standard-8, accelerators: V100}\n", {.gpus = true});
  EXPECT_EQ(task.resources.instance_type, "");
  EXPECT_THAT(task.not_yet, ElementsAre(HasSubstr("instance_type: left out: --gpus decides")));
}

TEST(Obstacles, CandidatesOnOtherCloudsAreLeftOutWithOneLineOrMeantForHereWhereTheCommandLineSaysSo) {
  constexpr auto mixed = R"(resources:
  accelerators: L4
  any_of:
    - {infra: gcp, image_id: projects/x/y}
    - {infra: aws, use_spot: true}
    - {cloud: azure}
run: a
)";
  for (const bool place : {false, true}) {
    const auto task = accepted(mixed, {.place = place});
    ASSERT_EQ(task.candidates.size(), 1U);
    EXPECT_TRUE(task.candidates[0].use_spot);
    EXPECT_THAT(task.not_yet,
                ElementsAre("task.yaml:4: any_of: left out: candidates on gcp, azure: ferry trains on AWS"));
  }
  constexpr auto foreign = R"(resources:
  any_of:
    - {infra: gcp, instance_type: a2-highgpu-1g, image_id: projects/x/y}
    - {infra: gcp, accelerators: L4}
    - {infra: lambda}
    - {infra: azure}
run: a
)";
  EXPECT_THAT(obstacle(foreign).advice, HasSubstr("--infra aws"));
  const auto task = accepted(foreign, {.place = true});
  ASSERT_EQ(task.candidates.size(), 2U);  // the first has an image that cannot be had here, the last is the third
  EXPECT_EQ(task.candidates[0].accelerators.choices.at(0).name, "L4");
  EXPECT_THAT(obstacle("resources:\n  any_of: [{infra: gcp, image_id: projects/x/y}]\n", {.place = true}).what,
              HasSubstr("is no image on AWS"));
}

TEST(Obstacles, GpusIsAnotherNameOfAccelerators) {
  const auto task = accepted("resources: {gpus: 'A100:8'}\n");
  EXPECT_EQ(task.resources.accelerators.choices.at(0).name, "A100");
  EXPECT_THAT(task.resources.places.at("accelerators"), HasSubstr("task.yaml:1:"));
  EXPECT_THAT(obstacle("resources: {gpus: A100, accelerators: L4}\n").what, HasSubstr("'gpus' beside 'accelerators'"));
}

TEST(Obstacles, WordsOfOtherToolsAreAnsweredWithFerrys) {
  const std::pair<const char*, const char*> words[] = {{"working_dir: .", "workdir: ."},
                                                       {"commands: [a]", "run: python train.py"},
                                                       {"script: a.py", "run:"},
                                                       {"env: {A: b}", "'envs:'"},
                                                       {"image: a/b", "image_id: docker"},
                                                       {"gpu: 1", "accelerators: A10G:1"},
                                                       {"spot: true", "use_spot: true"},
                                                       {"type: g5.xlarge", "instance_type"},
                                                       {"resources: {gpu: A100}", "accelerators"},
                                                       {"resources: {spot: true}", "use_spot"},
                                                       {"environment: {WANDB_MODE: offline}", "'envs:'"}};
  for (const auto& [line, answer] : words)
    EXPECT_THAT(obstacle(std::string(line) + "\nrun: a\n").advice, HasSubstr(answer)) << line;
}

TEST(Obstacles, ConfigurationsOfOtherToolsAreKnownAndTheLineToTypeIsSaid) {
  struct Case {
    const char *yaml, *what, *line;
  };
  const Case cases[] = {
      {"base_model: a/b\ndatasets: []\nadapter: lora\n", "an axolotl configuration",
       "ferry run -- axolotl train task.yaml"},
      {"model: {model_name: a/b}\ntraining: {output_dir: o}\n", "an oumi configuration",
       "ferry run -- oumi train -c task.yaml"},
      {"model: {_component_: torchtune.models.llama3.llama3_8b}\nepochs: 1\n", "a torchtune configuration",
       "ferry run -- tune run RECIPE --config task.yaml"},
      {"model_name_or_path: a/b\nstage: sft\n", "a LLaMA-Factory configuration",
       "ferry run -- llamafactory-cli train task.yaml"},
      {"compute_environment: LOCAL_MACHINE\ndistributed_type: MULTI_GPU\n", "an accelerate configuration",
       "ferry run -- accelerate launch --config_file task.yaml train.py"},
      {"type: task\ncommands:\n  - pip install x\n  - python t.py\nresources: {gpu: 'A100:80GB:2'}\nimage: a/b:c\n",
       "a dstack configuration", "ferry run --gpus A100:2 --image docker:a/b:c -- 'pip install x && python t.py'"},
      {"type: dev-environment\nide: vscode\nresources: {gpu: 24GB..}\n", "a dstack configuration",
       "ferry run --gpus 24GB+ -- COMMAND"},
      {"services:\n  train: {image: a/b, command: python t.py}\n", "a docker compose file",
       "ferry run --image docker:a/b -- python t.py"},
      {"apiVersion: batch/v1\nkind: Job\nspec: {template: {spec: {containers: [{image: a/b, command: [python, 'x "
       "y.py'],"
       " resources: {limits: {nvidia.com/gpu: 2}}}]}}}\n",
       "a manifest of Kubernetes", "ferry run --gpus A10G:2 --image docker:a/b -- python 'x y.py'"},
      {"name: e\nchannels: [conda-forge]\ndependencies: [python=3.10]\n", "a conda environment file",
       "keep it beside the code as environment.yml: it is installed before  ferry run -- python train.py"},
  };
  for (const auto& one : cases) {
    const auto error = obstacle(one.yaml);
    EXPECT_THAT(error.what, HasSubstr(fmt::format("this is {}, not a task", one.what)));
    EXPECT_EQ(error.advice, one.line);
  }
}

TEST(Obstacles, ABlankOfATemplateIsToBeFilledInFirst) {
  for (const auto* yaml :
       {"name: a\nresources: {accelerators: {{ gpu }}}\nrun: a\n", "name: a\nnum_nodes: {{ nodes }}\n",
        "run: a\n{% if spot %}\nresources: {use_spot: true}\n{% endif %}\n", "name: \"{{ name }}\"\nrun: a\n",
        "workdir: '{{ w }}'\n", "envs: {A: '{{ a }}'}\nrun: a\n"}) {
    const auto error = obstacle(yaml);
    EXPECT_THAT(error.what, HasSubstr("this is a template: {")) << yaml;
    EXPECT_THAT(error.advice, StartsWith("fill it in first")) << yaml;
    EXPECT_THAT(error.more, IsEmpty()) << yaml;
  }
  EXPECT_THAT(obstacle("run: a\nnum_nodes: '{{ n }}'\n").what,
              StartsWith("task.yaml:2:13: this is a template: {{ n }}"));
  // In a script they may be meant for another program.
  accepted("run: docker ps --format '{{.Names}}'\n");
}

TEST(Obstacles, ImagesOfRegistriesNeedNoPrefix) {
  for (const auto* image :
       {"nvcr.io/nvidia/pytorch:24.10-py3", "pytorch/pytorch", "ghcr.io/a/b@sha256:00", "localhost:5000/a"})
    EXPECT_EQ(accepted(fmt::format("resources: {{image_id: '{}'}}\n", image)).environment.name, image);
  for (const auto* image : {"projects/a/b", "Deep/Learning", "a//b", "/abs/path"})
    EXPECT_FALSE(parse_task(fmt::format("resources: {{image_id: '{}'}}\n", image), "t")) << image;
}

TEST(Obstacles, SeveralDocumentsArePipelinesWhoseComplaintsHaveTheirPlaces) {
  const auto all = read_tasks("name: whole\n---\nname: one\nrun: a\n---\nrun: b\nnum_nodes: 0\n---\n- x\n", "t.yaml");
  EXPECT_EQ(all.name, "whole");
  ASSERT_EQ(all.tasks.size(), 3U);
  EXPECT_EQ(all.tasks[0].task.name, "one");
  EXPECT_THAT(all.tasks[0].found, IsEmpty());
  EXPECT_EQ(all.tasks[1].task.run, "b");
  EXPECT_THAT(all.tasks[1].found.at(0).what, StartsWith("t.yaml:7:12: 'num_nodes'"));
  EXPECT_THAT(all.tasks[2].found.at(0).what, StartsWith("t.yaml:9:1: a task file is a mapping"));
  EXPECT_EQ(read_tasks("run: a\n---\nrun: b\n---\n", "t").tasks.size(), 2U);
  EXPECT_EQ(read_tasks("name: whole\n---\nrun: a\n", "t").tasks.at(0).task.name, "whole");
  EXPECT_EQ(read_tasks("---\n---\nrun: a\n---\n---\nrun: b\n", "t").tasks.size(), 2U);
  std::string many = "run: a\n";
  for (int i = 0; i < 100; ++i) many += "---\nrun: a\n";
  EXPECT_THAT(read_tasks(many, "t").tasks.at(0).found.at(0).what, HasSubstr("more than 100 documents"));
}

TEST(Obstacles, AFirstDocumentWithANameOnlyIsNoPipeline) {
  EXPECT_EQ(accepted("name: whole\n---\nrun: a\n").name, "whole");
  EXPECT_EQ(accepted("name: whole\n---\nname: one\nrun: a\n").name, "one");
  EXPECT_EQ(accepted("name: whole\n---\nname: one\nrun: a\n---\n").name, "one");
  EXPECT_THAT(obstacle("name: whole\n---\nrun: a\n---\nrun: b\n").what, HasSubstr("5:1: more than one document"));
  EXPECT_THAT(obstacle("run: a\n---\nrun: b\n").what, HasSubstr("more than one document"));
}

TEST(Obstacles, MountsOfThisComputersFilesAreReadAndOthersRefusedWithTheirPlaces) {
  auto task = accepted(
      "envs: {WHERE: data}\nfile_mounts:\n  ~/${WHERE}: ~/sets/$WHERE\n  /far: ./far\n  conf/a.json: /etc/a\n"
      "  /home/ubuntu/x: x\n  nothing: null\n");
  ASSERT_EQ(task.mounts.size(), 4U);
  EXPECT_EQ(task.mounts[0].at, "task.yaml:3:15");
  ASSERT_TRUE(fill_variables(task));
  EXPECT_EQ(task.mounts[0].target, "~/data");
  EXPECT_EQ(task.mounts[0].source, "~/sets/data");
  EXPECT_EQ(accepted("file_mounts: {./a//b/: x}\n").mounts.at(0).target, "a/b");
  EXPECT_EQ(accepted("file_mounts: {~/sky_workdir/a/: x}\n").mounts.at(0).target, "a");
  for (const auto* target : {"./", "/.", "~/.", "~/sky_workdir", "~/sky_workdir/.", "/home/me/", "//", "a/.."})
    EXPECT_THAT(obstacle(fmt::format("file_mounts: {{'{}': x}}\n", target)).what, HasSubstr(":1:15: file_mounts: '"))
        << target;
  auto hidden = accepted("envs: {W: /etc}\nfile_mounts: {$W/x: a}\n");
  EXPECT_THAT(fill_variables(hidden).error().what, HasSubstr("task.yaml:2:21: file_mounts: '/etc/x' belongs to"));
  const auto error = obstacle(
      "file_mounts:\n  /etc/x: a\n  ../up: a\n  ~/: a\n  /data: gs://b/c\n  /home/x: a\n  a: {source: s3://B}\n"
      "  b: $NOBODY\n");
  EXPECT_THAT(all_of(error), ElementsAre(HasSubstr(":2:3: file_mounts: '/etc/x' belongs to the machine's system"),
                                         HasSubstr(":3:3: file_mounts: '../up' is no place"), HasSubstr(":4:3: "),
                                         HasSubstr(":5:10: file_mounts: 'gs://b/c' cannot be brought"),
                                         HasSubstr(":6:3: "), HasSubstr(":7:15: "),
                                         HasSubstr(":8:6: file_mounts: nothing is known of the variable 'NOBODY'")));
}

TEST(Obstacles, WhatCanBeReadBesideThemIsThereForWhoWantsToLookFurther) {
  const auto reading = read_task("num_nodes: 0\nresources: {accelerators: A10}\nrun: a\n", "t");
  EXPECT_EQ(reading.found.size(), 1U);
  EXPECT_TRUE(reading.hardware);
  EXPECT_EQ(reading.task.resources.accelerators.choices.at(0).name, "A10");
  EXPECT_TRUE(read_task("resources: {cloud: gcp, accelerators: A10}\n", "t").hardware);
  EXPECT_FALSE(read_task("resources: {accelerators: A10, use_spot: x}\n", "t").hardware);
  EXPECT_FALSE(read_task("[a\n", "t").hardware);
  EXPECT_TRUE(accepted("setup: a\nrun: b\n").may_be_skypilots);
  EXPECT_FALSE(accepted("setup: a\nbudget: 2\n").may_be_skypilots);
  EXPECT_FALSE(accepted("run: a\n").may_be_skypilots);
}

TEST(Obstacles, WhatIsNoMappingIsNamedForWhatItIs) {
  const std::tuple<const char*, const char*, const char*, const char*> table[] = {
      {"Dockerfile", "# syntax\nFROM python:3.11\nRUN pip install x\n", "this is a Dockerfile, not a task",
       "--image docker:IMAGE"},
      {"a/requirements-dev.txt", "torch>=2\nnumpy\n", "this is a list of packages, not a task",
       "it is installed before"},
      {"Makefile", "all:\n\tcc x.c\n", "this is a Makefile, not a task", "ferry run -- make"},
      {"pyproject.toml", "[project]\nname = 'x'\n", "this is TOML, not a task", "installed by itself"},
      {"job", "#!/usr/bin/perl\nprint 1\n", "this is a script, not a task", "ferry run -- bash job"},
      {"task.yaml", "run:python\n", "a task file is a mapping of fields, not text", "with a space after the colon"},
  };
  for (const auto& [file, text, what, advice] : table) {
    const auto task = parse_task(text, file);
    ASSERT_FALSE(task) << file;
    EXPECT_EQ(task.error().what, std::string(file) + ":1:1: " + what);
    EXPECT_NE(task.error().advice.find(advice), std::string::npos) << task.error().advice;
  }
}

}  // namespace
}  // namespace ferry::task
