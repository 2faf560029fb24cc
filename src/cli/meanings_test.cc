#include "cli/meanings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "base/text.h"

namespace ferry::cli {
namespace {

using How = Answer::How;
using testing::HasSubstr;

Answer meant(const std::string& typed) {
  const auto words = split(typed, ' ');
  const auto got = answer(words);
  if (!got) ADD_FAILURE() << typed << " means nothing";
  return got.value_or(Answer());
}

TEST(Meanings, WhatOtherToolsCallItRunsAsOurs) {
  const std::pair<const char*, const char*> table[] = {
      {"ls", "ps"},
      {"ls -a", "ps -a"},
      {"status", "ps"},
      {"status digits-7k2", "show digits-7k2"},
      {"squeue --json", "ps --json"},
      {"get pods", "ps"},
      {"container ls", "ps"},
      {"jobs ps -q", "ps -q"},
      {"jobs logs digits", "logs digits"},
      {"ec2 describe-instances", "ps"},
      {"sacct", "ps --all"},
      {"inspect digits --json", "show digits --json"},
      {"describe pod digits", "show digits"},
      {"attach digits", "logs --follow digits"},
      {"tail -f digits", "logs --follow digits"},
      {"tail -n 20 digits", "logs --follow -n 20 digits"},
      {"download digits", "fetch digits"},
      {"sbatch job.yaml", "run job.yaml"},
      {"apply -f job.yaml", "run -f job.yaml"},  // translate_options() knows this -f
      {"auth login", "check"},
      {"image ls", "images"},
      {"gh run list", "ps"},
      {"scontrol show job digits", "show digits"},
      {"sts get-caller-identity", "check"},
      {"gpu list", "gpus"},
      {"vastai search offers", "gpus"},
      {"vastai show instances", "ps"},
      {"az vm list", "ps"},
      {"ray job submit -- python x.py", "run -- python x.py"},
      {"compose up -d", "run -d"},
      {"launch -d task.yaml", "run -d task.yaml"},
      {"jobs run -- python train.py", "run -- python train.py"},
      {"doctor", "check"},
      {"show-gpus A100", "gpus A100"},
      {"cost-report", "cost"},
  };
  for (const auto& [typed, ours] : table) {
    const auto got = meant(typed);
    EXPECT_EQ(got.how, How::runs) << typed;
    EXPECT_EQ(join(got.words, " "), ours) << typed;
    EXPECT_THAT(got.line, HasSubstr("ferry ")) << typed;
  }
}

TEST(Meanings, WhatEndsSomethingAsksUnlessItWasToldNotTo) {
  for (const char* word : {"stop", "kill", "scancel", "abort"}) {
    EXPECT_EQ(meant(std::string(word) + " digits").how, How::asks) << word;
    EXPECT_EQ(join(meant(std::string(word) + " digits").words, " "), "cancel digits");
  }
  for (const char* word : {"rm", "terminate", "delete", "destroy"}) {
    EXPECT_EQ(meant(std::string(word) + " digits").how, How::asks) << word;
    EXPECT_EQ(join(meant(std::string(word) + " digits").words, " "), "down digits");
  }
  EXPECT_EQ(meant("rm -f digits").how, How::runs);
  EXPECT_EQ(join(meant("rm -f digits").words, " "), "down digits");
  EXPECT_EQ(meant("kill --yes digits").how, How::runs);
}

TEST(Meanings, WhatHasAnotherShapeIsAnsweredByTheExactLine) {
  const std::pair<const char*, const char*> table[] = {
      {"exec -it digits nvidia-smi -l", "ferry ssh digits -- nvidia-smi -l"},
      {"exec digits -- bash", "ferry ssh digits -- bash"},
      {"exec", "ferry ssh RUN -- COMMAND"},
      {"cp digits:/root/model.pt .", "ferry fetch digits"},
      {"rsync", "ferry fetch RUN"},
      {"python train.py --lr 0.1", "ferry run -- python train.py --lr 0.1"},
      {"srun hostname", "ferry run -- hostname"},
      {"pip install torch", "ferry run --setup 'pip install torch' -- COMMAND"},
      {"login", "aws configure"},
      {"restart digits", "ferry run TASK"},
  };
  for (const auto& [typed, line] : table) {
    const auto got = meant(typed);
    EXPECT_EQ(got.how, How::says) << typed;
    EXPECT_EQ(got.line, line) << typed;
    EXPECT_TRUE(got.words.empty()) << typed;
  }
}

TEST(Meanings, WhatIsTypedCannotSteerTheTerminal) {
  const std::vector<std::string> words = {"exec", "x\x1b[2J", "\x1b]0;t\x07"};
  EXPECT_EQ(answer(words)->line.find('\x1b'), std::string::npos);
}

TEST(Meanings, ACommandOfOursThatMeansAnotherIsThatOther) {
  const auto own = [](const std::string& typed, bool is_file = false) {
    const auto got = answer_own(split(typed, ' '), is_file);
    return !got ? std::string() : got->how == How::says ? "says " + got->line : join(got->words, " ");
  };
  EXPECT_EQ(own("run list"), "ps");
  EXPECT_EQ(own("run view digits"), "show digits");
  EXPECT_EQ(own("run cancel digits"), "cancel digits");
  EXPECT_EQ(own("run list", true), "") << "there is a file or folder of that name";
  EXPECT_EQ(own("run task.yaml"), "");
  EXPECT_EQ(own("gpus list A100"), "gpus A100");
  EXPECT_EQ(own("gpus A100"), "");
  EXPECT_EQ(own("images ls"), "images");
  EXPECT_EQ(own("ps digits"), "show digits");
  EXPECT_EQ(own("ps -a"), "");
  EXPECT_EQ(own("cost digits"), "show digits");
  EXPECT_EQ(own("check aws"), "check");
  EXPECT_EQ(own("check task.yaml"), "says ferry plan task.yaml");
}

TEST(Meanings, EveryWordStandsInTheTableOnce) {
  const auto words = words_known();
  EXPECT_EQ(std::set(words.begin(), words.end()).size(), words.size());
  EXPECT_GT(words.size(), 90U);
  EXPECT_FALSE(answer(std::vector<std::string>{"blorb"}));
  EXPECT_FALSE(answer(std::vector<std::string>{"docker", "blorb"}));
}

TEST(Meanings, ASuggestionIsNearOrIsNotMade) {
  const std::vector<std::string> commands = {"run", "ps", "logs", "down", "fetch", "gpus", "cancel"};
  EXPECT_EQ(near_command("rnu", commands), "run");
  EXPECT_EQ(near_command("lgos", commands), "logs");
  EXPECT_EQ(near_command("cancle", commands), "cancel");
  EXPECT_EQ(near_command("foo", commands), std::nullopt);
  EXPECT_EQ(near_command("zs", commands), std::nullopt);
  EXPECT_EQ(near_command("kubernetes", commands), std::nullopt);
}

}  // namespace
}  // namespace ferry::cli
