#include "cli/foreign_options.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/text.h"
#include "os/file.h"

namespace ferry::cli {
namespace {

/// In a folder of its own that has train.py and task.yaml, with ferry's options as they are by kind.
class ForeignOptions : public testing::Test {
 protected:
  ForeignOptions() {
    std::filesystem::current_path(dir.path());
    for (const auto* name : {"train.py", "task.yaml"}) EXPECT_TRUE(os::write_file(dir.path() / name, "x\n"));
    for (const auto* name : {"run", "plan"}) {
      auto* command = app.add_subcommand(name, "");
      command->add_option("task", text);
      for (const auto* option :
           {"-n,--name", "--gpus", "-t,--instance-type", "--image", "--max-duration", "--budget", "--infra"})
        command->add_option(option, text);
      for (const auto* flag : {"-d,--detach", "-y,--yes", "--spot"}) command->add_flag(flag, set);
    }
    for (const auto* name : {"ps", "down", "cancel", "ssh", "logs"}) app.add_subcommand(name, "");
  }
  ~ForeignOptions() override { std::filesystem::current_path(before); }
  ForeignOptions(const ForeignOptions&) = delete;
  ForeignOptions& operator=(const ForeignOptions&) = delete;
  /// The words as they are then; "refused: …; INSTEAD" where they may not be run.
  std::string here(const std::string& typed) {
    auto words = split(typed, ' ');
    const auto got = translate_options(app, words);
    told = join(got.told, "\n");
    return got.refused.empty() ? join(words, " ") : got.refused + "; " + got.instead;
  }
  os::Path before = std::filesystem::current_path();
  os::TempDir dir;
  CLI::App app{"", "ferry"};
  std::string text, told;
  bool set = false;
};

TEST_F(ForeignOptions, WhatOtherToolsCallItIsGivenAsOurs) {
  const std::pair<const char*, const char*> table[] = {
      {"run --gpu A10G task.yaml", "run --gpus A10G task.yaml"},
      {"run --accelerators=A100:8 task.yaml", "run --gpus A100:8 task.yaml"},
      {"run --gres=gpu:a10g:1 task.yaml", "run --gpus a10g:1 task.yaml"},
      {"run -c mine task.yaml --use-spot", "run --name mine task.yaml --spot"},
      {"run --machine-type g5.xlarge train.py", "run --instance-type g5.xlarge train.py"},
      {"run --zone us-east-1a task.yaml", "run --infra aws/us-east-1/us-east-1a task.yaml"},
      {"run --time 60 task.yaml", "run --max-duration 60m task.yaml"},
      {"run --time 1:00:00 task.yaml", "run --max-duration 1:00:00 task.yaml"},
      {"run --max-cost 5 -f task.yaml --background", "run --budget 5 task.yaml --detach"},
      {"run --idle-minutes-to-autostop 30 task.yaml", "run --idle 30m task.yaml"},
      {"run --autostop 2h task.yaml", "run --idle 2h task.yaml"},
      {"run --local task.yaml", "run --infra=rehearsal task.yaml"},
      {"run --dry-run task.yaml", "plan task.yaml"},
      {"down -a", "down --all"},
      {"down --instance-ids i-0123", "down i-0123"},
      {"logs --job-id digits", "logs digits"},
  };
  for (const auto& [typed, ours] : table) EXPECT_EQ(here(typed), ours);
  EXPECT_EQ(here("run --gpu A10G task.yaml"), "run --gpus A10G task.yaml");
  EXPECT_EQ(told, "--gpu is here: --gpus A10G");
}

TEST_F(ForeignOptions, WhatChangesNothingIsTakenOutWithTheReason) {
  EXPECT_EQ(here("run --rm -it --shm-size 8g --ipc=host --gpus A10G -t g5.xlarge -- docker run --rm -it"),
            "run --gpus A10G -t g5.xlarge -- docker run --rm -it");
  EXPECT_EQ(split(told, '\n')[0], "--rm: nothing to do here: every machine ends with its run");
  EXPECT_EQ(split(told, '\n').size(), 4U);
  EXPECT_EQ(here("run -i 10 --down --retry-until-up --cloud aws --num-nodes 1 task.yaml"), "run --idle 10m task.yaml");
  EXPECT_EQ(here("run -i task.yaml"), "run task.yaml");
  EXPECT_EQ(here("run --gpus all -t g5.xlarge task.yaml"), "run -t g5.xlarge task.yaml");
  EXPECT_EQ(here("run --gpus 2 -t g5.12xlarge task.yaml"), "run -t g5.12xlarge task.yaml");
  EXPECT_EQ(here("ps -o wide"), "ps");
  EXPECT_EQ(here("run --mount .:/work --verbose task.yaml"), "run task.yaml");
  EXPECT_EQ(here("ps --refresh -u me"), "ps");
  EXPECT_EQ(here("ssh -it digits"), "ssh digits");
}

TEST_F(ForeignOptions, OptionsOfTheTrainingAreItsOwn) {
  for (const auto* typed : {"run train.py --network resnet -i --gpu 3", "run python train.py --rm --time 5",
                            "run -d -n x train.py -v", "run -- x --gpu 1", "run torchrun -m x"})
    EXPECT_EQ(here(typed), typed);
}

TEST_F(ForeignOptions, WhatCannotBeHadSoIsAnsweredByWhatToType) {
  const std::pair<const char*, const char*> table[] = {
      {"run --num-nodes 2 task.yaml", "ferry run has no --num-nodes 2; ferry run --gpus H100:8"},
      {"run --cloud gcp task.yaml", "ferry run has no --cloud gcp; ferry run --infra aws"},
      {"run --mount ./data:/data:ro task.yaml", "ferry run has no --mount; ferry run -v ./data:/data …"},
      {"run -p 80:8888 task.yaml", "ferry run has no -p 80:8888; ports: [8888] in the task file"},
      {"run task.yaml --set lr=0.1", "ferry run has no --set; ferry run -- python train.py …   (lr=0.1 is"},
      {"cancel -a", "ferry cancel has no -a; ferry down --all"},
      {"run --force task.yaml", "ferry run has no --force; ferry run --yes"},
      {"ps -o json", "ferry ps has no -o json; ferry ps --json"},
  };
  for (const auto& [typed, begin] : table) EXPECT_TRUE(here(typed).starts_with(begin)) << here(typed);
}

TEST_F(ForeignOptions, AShellLineBehindCIsNoName) {
  std::vector<std::string> words = {"run", "-c", "python train.py"};
  EXPECT_EQ(translate_options(app, words).instead, "ferry run -- sh -c 'python train.py'");
}

TEST_F(ForeignOptions, AnImageBeforeACommandIsTheContainerToTrainIn) {
  EXPECT_EQ(here("run --gpus A10G pytorch/pytorch:latest python train.py --gpu 1"),
            "run --gpus A10G --image docker:pytorch/pytorch:latest python train.py --gpu 1");
  for (const auto* typed : {"run folder/task.yaml", "run ./task.yaml train.py", "run https://x/y python x", "run a/b"})
    EXPECT_EQ(here(typed), typed);
}

TEST_F(ForeignOptions, WhatNobodyKnowsStays) {
  for (const auto* typed : {"run --frobnicate 3 task.yaml", "run --gpu", "ps --frobnicate", "run", "run - -x"})
    EXPECT_EQ(here(typed), typed);
  EXPECT_EQ(told, "");
}

}  // namespace
}  // namespace ferry::cli
