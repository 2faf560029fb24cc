#include "task/run_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "task/task.h"

namespace ferry::task {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<std::string> option_words(std::string_view text) {
  auto options = parse_run_options(text);
  if (!options) ADD_FAILURE() << describe(options.error());
  return options.value_or(std::vector<std::string>());
}

std::string option_refused(std::string_view text) {
  const auto options = parse_run_options(text);
  return options ? "accepted" : describe(options.error());
}

TEST(RunOptions, EveryFormThatDockerTakesIsOneWordAnOption) {
  EXPECT_THAT(option_words("--gpus all --shm-size=16g --ipc host"),
              ElementsAre("--gpus=all", "--shm-size=16g", "--ipc=host"));
  EXPECT_THAT(option_words("-v ~/a:/a:ro -v/b:/b --net host --privileged"),
              ElementsAre("--volume=~/a:/a:ro", "--volume=/b:/b", "--network=host", "--privileged"));
  EXPECT_THAT(option_words("--ulimit memlock=-1 --ulimit\nstack=67108864"),
              ElementsAre("--ulimit=memlock=-1", "--ulimit=stack=67108864"));
  EXPECT_THAT(option_words(R"(--gpus '"device=0,1"' -e "A=two words" -e B=\$C)"),
              ElementsAre("--gpus=\"device=0,1\"", "--env=A=two words", "--env=B=$C"));
  EXPECT_THAT(option_words("--mount type=bind,src=/x,dst=/data"), ElementsAre("--mount=type=bind,src=/x,dst=/data"));
  EXPECT_THAT(option_words(""), IsEmpty());
  // What ferry's container has anyway.
  EXPECT_THAT(option_words("-it --user root -u 0"), IsEmpty());
  EXPECT_THAT(option_words("--userns=host --userns host"), ElementsAre("--userns=host", "--userns=host"));
}

TEST(RunOptions, WhatWouldBreakTheRunIsRefusedWithItsReason) {
  for (const auto* text :
       {"-d", "--detach", "--rm", "--rm=false", "--name x", "--name=x", "--entrypoint bash", "-w /x", "--workdir=/x",
        "--pid host", "--init", "--restart always", "--cidfile x", "--userns keep-id", "--read-only", "-itd"})
    EXPECT_THAT(option_refused(text), HasSubstr("cannot be had in a run's container")) << text;
  EXPECT_THAT(option_refused("--user 1000:1000"), HasSubstr("--user=1000:1000 cannot be had"));
  for (const auto* target : {"/", "/home", "/home/ubuntu", "/home/ubuntu/", "/home/ubuntu/ferry/x",
                             "/home/ec2-user/.ferry", "/proc", "/a/../home/ubuntu"})
    EXPECT_THAT(option_refused(std::string("-v /x:") + target), HasSubstr("would cover what ferry has")) << target;
  EXPECT_THAT(option_refused("--mount type=bind,src=/x,dst=/home"), HasSubstr("would cover"));
  EXPECT_THAT(option_refused("--tmpfs /dev:size=1g"), HasSubstr("would cover"));
  EXPECT_THAT(option_refused("-v a:b"), HasSubstr("names no place in the container"));
}

TEST(RunOptions, WhatDockerDoesNotKnowIsRefusedBeforeAMachineIsPaidFor) {
  EXPECT_THAT(option_refused("--shm_size 1g"), HasSubstr("did you mean '--shm-size'?"));
  EXPECT_THAT(option_refused("-x"), HasSubstr("docker run has no option '-x'"));
  EXPECT_THAT(option_refused("--gpus all ubuntu"), HasSubstr("'ubuntu' is no option"));
  EXPECT_THAT(option_refused("--gpus"), HasSubstr("--gpus needs a value"));
  EXPECT_THAT(option_refused("-e 'A"), HasSubstr("a quote is not closed"));
}

TEST(ConfigField, DockersOptionsAreReadAsTextAndAsAListAndInTheFormOfBefore) {
  const auto options = [](std::string_view yaml) {
    const auto task = parse_task(yaml, "t");
    if (!task) ADD_FAILURE() << describe(task.error());
    return task ? *task : Task{};
  };
  constexpr auto image = "resources: {image_id: 'docker:a/b'}\nrun: a\n";
  EXPECT_THAT(options(std::string(image) + "config: {docker: {run_options: --gpus all -P}}\n").run_options,
              ElementsAre("--gpus=all", "--publish-all"));
  EXPECT_THAT(options(std::string(image) + "config: {docker: {run_options: [-v /a:/b, --ipc=host]}}\n").run_options,
              ElementsAre("--volume=/a:/b", "--ipc=host"));
  EXPECT_THAT(options(std::string(image) +
                      "experimental: {config_overrides: {docker: {run_options: ['--cap-add=SYS_PTRACE']}}}\n")
                  .run_options,
              ElementsAre("--cap-add=SYS_PTRACE"));
  EXPECT_THAT(options(std::string(image) + "config: {docker: {run_options: -P}, kubernetes: {x: 1}}\n").not_yet,
              ElementsAre(HasSubstr("t:3: config: kubernetes: not yet")));
  EXPECT_THAT(options("run: a\nconfig: {docker: {run_options: -P}}\n").not_yet,
              ElementsAre(HasSubstr("the task has no container")));
  const auto wrong =
      parse_task("run: a\nconfig:\n  docker:\n    run_options:\n      - --gpus all\n      - --name=x\n", "t");
  ASSERT_FALSE(wrong);
  EXPECT_THAT(wrong.error().what, HasSubstr("t:6:9: run_options: --name cannot be had"));
}

}  // namespace
}  // namespace ferry::task
