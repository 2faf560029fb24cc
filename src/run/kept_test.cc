#include "run/kept.h"

#include <gtest/gtest.h>

#include "base/text.h"
#include "run/reach.h"
#include "run/stage.h"

namespace ferry::run {
namespace {

class Kept : public ::testing::Test {
 protected:
  Kept() { must(os::make_dirs(root_)); }

  void write(const std::string& path, const std::string& bytes) {
    must(os::make_dirs((root_ / path).parent_path()));
    must(os::write_file(root_ / path, bytes));
  }
  sync::Tree hashed() {
    auto tree = must(sync::scan(root_, {}));
    must(sync::hash_tree(root_, tree, {}));
    return tree;
  }
  os::Path list() const { return run_dir_.path / "sent" / "list.json"; }

  os::TempDir dir_;
  os::Path root_ = dir_.path() / "work";
  fleet::RunDir run_dir_{dir_.path() / "data", "r"};
};

TEST_F(Kept, WhatWasSentComesBackAsItWasWhateverBecameOfTheWorkdir) {
  write("train.py", "print(1)\n");
  write("data/\xff name", "bytes\n");
  write("tool.sh", "#!/bin/sh\n");
  std::filesystem::permissions(root_ / "tool.sh", std::filesystem::perms::owner_all);
  std::filesystem::create_symlink("train.py", root_ / "link");
  write("empty/gone", "");
  std::filesystem::remove(root_ / "empty/gone");
  auto sent = hashed();
  const auto elsewhere = dir_.path() / "elsewhere";
  must(os::write_file(elsewhere, "mounted\n"));
  sent.entries.push_back({.path = "zmounted", .mode = 0644});
  sent.grafts["zmounted"] = elsewhere.string();
  must(sync::hash_tree(root_, sent, {}));

  must(keep_sent(run_dir_, root_, sent));
  std::filesystem::remove_all(root_);
  must(os::make_dirs(root_));
  std::filesystem::remove(elsewhere);
  const auto again = must(sent_again(run_dir_, root_));
  ASSERT_EQ(again.entries.size(), sent.entries.size());
  for (std::size_t i = 0; i < sent.entries.size(); ++i) {
    const auto &is = again.entries[i], &was = sent.entries[i];
    EXPECT_EQ(is.path, was.path);
    EXPECT_EQ(is.type, was.type);
    EXPECT_EQ(is.mode, was.mode) << printable(is.path);
    EXPECT_EQ(is.mtime_ns, was.mtime_ns) << printable(is.path);
    EXPECT_EQ(is.target, was.target);
    EXPECT_EQ(hex(is.sha256), hex(was.sha256));
  }
  EXPECT_EQ(again.files, sent.files);
  EXPECT_EQ(again.bytes, sent.bytes);
  forget_sent(run_dir_);
  EXPECT_EQ(sent_again(run_dir_, root_).error().kind, Kind::not_found);
}

TEST_F(Kept, WhatTheFirstAttemptSentStaysWhenAnotherKeepsAgain) {
  write("a", "1\n");
  must(keep_sent(run_dir_, root_, hashed()));
  write("a", "2\n");
  must(keep_sent(run_dir_, root_, hashed()));
  const auto again = must(sent_again(run_dir_, root_));
  EXPECT_EQ(again.entries.at(0).size, 2U);
  EXPECT_EQ(os::read_file(again.grafts.at("a")).value_or(""), "1\n");
}

TEST_F(Kept, ACopyThatWasDamagedIsNotTakenForWhatWasSent) {
  write("a", "1\n");
  must(keep_sent(run_dir_, root_, hashed()));
  const auto copy = must(sent_again(run_dir_, root_)).grafts.at("a");
  must(os::write_file(copy, "2\n"));
  EXPECT_EQ(sent_again(run_dir_, root_).error().kind, Kind::conflict);
}

TEST_F(Kept, AListThatIsNoneIsCorrupt) {
  write("a", "1\n");
  must(keep_sent(run_dir_, root_, hashed()));
  for (const char* text : {"", "[", "[7]", "[{}]", "[{\"type\":\"file\",\"path\":\"../a\"}]",
                           "[{\"type\":\"file\",\"path\":\"/a\"}]", "[{\"type\":\"door\",\"path\":\"a\"}]"}) {
    must(os::write_file(list(), text));
    const auto again = sent_again(run_dir_, root_);
    ASSERT_FALSE(again) << text;
    EXPECT_EQ(again.error().kind, Kind::corrupt) << text;
  }
}

TEST(GoesOnLater, NoRunWaitsForAMachineThatNobodyAgreedToPayFor) {
  Stage stage;
  auto here = stage.context();
  ledger::Run run;
  run.name = "t-abc";
  run.phase = ledger::Phase::planning;
  run.task = {{kept_request, Json::object()}, {waits_until_ms, stage.clock.now_ms() + 1000}};
  EXPECT_FALSE(goes_on_later(here, run)) << "it was killed at the question";
  run.task[is_agreed_to] = true;
  EXPECT_TRUE(goes_on_later(here, run));
  run.phase = ledger::Phase::setup;
  EXPECT_FALSE(goes_on_later(here, run)) << "its machine may hold what nothing else has";
  run.task[begins_again] = true;
  EXPECT_TRUE(goes_on_later(here, run));
  run.task[cancel_asked] = 1;
  EXPECT_FALSE(goes_on_later(here, run));
  run.task.erase(cancel_asked);
  run.phase = ledger::Phase::releasing;
  EXPECT_FALSE(goes_on_later(here, run));
}

TEST_F(Kept, ARequestComesBackWithoutItsSecretsWhichAreWantedOfTheEnvironment) {
  RunRequest request;
  request.task.run = "python train.py";
  request.task.envs = {{"EPOCHS", "3"}, {"WANDB_API_KEY", "hush"}};
  request.task.secrets = {{"HF_TOKEN", "hush"}};
  request.arguments = {"python", "train.py"};
  request.follow = true;
  job::Preflight ready;
  ready.requirements_file = "requirements.txt";
  ready.framework = "pytorch";
  ledger::Run run;
  run.name = "r";
  run.workdir = "/work";
  run.output_dir = "/runs/r";
  run.task = {{kept_request, request_to_keep(request, ready)}};
  EXPECT_EQ(dump_json(run.task).find("hush"), std::string::npos);

  ::unsetenv("HF_TOKEN");
  ::setenv("WANDB_API_KEY", "spoken", 1);
  std::vector<std::string> lacking;
  const auto back = must(kept_beginning(run, lacking));
  ::unsetenv("WANDB_API_KEY");
  EXPECT_EQ(lacking, std::vector<std::string>{"HF_TOKEN"});
  EXPECT_EQ(back.request.task.envs, (std::map<std::string, std::string>{{"EPOCHS", "3"}, {"WANDB_API_KEY", "spoken"}}));
  EXPECT_EQ(back.request.task.run, "python train.py");
  EXPECT_EQ(back.request.arguments, request.arguments);
  EXPECT_TRUE(back.request.follow);
  EXPECT_EQ(back.request.workdir, "/work");
  EXPECT_EQ(back.request.results, "/runs");
  EXPECT_EQ(back.ready.requirements_file, "requirements.txt");
  EXPECT_EQ(back.ready.framework, "pytorch");
  EXPECT_EQ(kept_beginning(ledger::Run{}, lacking).error().kind, Kind::not_found);
}

}  // namespace
}  // namespace ferry::run
