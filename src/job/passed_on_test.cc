#include "job/passed_on.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/hash.h"
#include "base/text.h"
#include "job/mounts.h"
#include "job/sent.h"

namespace ferry::job {
namespace {

/// A workdir, what a run brought home, and what the store has of that run: outputs/a and outputs/deep/b, and a link.
class LeavingToTheStore : public testing::Test {
 protected:
  LeavingToTheStore() {
    write(work / "train.py", "1\n");
    write(work / "outputs/a", "the workdir's own");
    write(passed_on.home / "outputs/a", "aa");
    write(passed_on.home / "outputs/deep/b", "b");
    write(passed_on.home / "outputs/only-here", "here");
    std::filesystem::create_symlink("deep/b", passed_on.home / "outputs/newest");
    passed_on.manifest = {.run = "before", .complete = true};
    store("outputs/a", "aa");
    store("outputs/deep/b", "b", store::FileKind::checkpoint);
    store("before.log", "never looked at", store::FileKind::log);
    passed_on.manifest.entries.push_back({.path = "outputs/newest", .link = "deep/b"});
    task.mounts = {{.target = "outputs", .source = passed_on.home / "outputs", .at = "before", .is_whole = true}};
  }
  static void write(const os::Path& path, std::string_view text) {
    ASSERT_TRUE(os::make_dirs(path.parent_path()));
    ASSERT_TRUE(os::write_file(path, text));
  }
  void store(const std::string& path, std::string_view text, store::FileKind kind = store::FileKind::output) {
    passed_on.manifest.entries.push_back(
        {.path = path, .kind = kind, .bytes = text.size(), .sha256 = hex(sha256(text)), .mode = 0644});
  }
  Taken leave() {
    tree = *list_workdir(work, false);
    std::vector<std::string> lines;
    EXPECT_TRUE(add_mounts(task, false, tree, lines));
    files = tree.files;
    const auto taken = leave_to_store(tree, work, passed_on);
    EXPECT_TRUE(taken) << describe(taken.error());
    return taken.value_or(Taken());
  }
  std::string paths() const {
    std::vector<std::string> all;
    for (const auto& entry : tree.entries) all.push_back(entry.path);
    return join(all, " ");
  }
  os::TempDir dir;
  os::Path work = dir.path() / "work";
  PassedOn passed_on{.home = dir.path() / "home"};
  task::Task task;
  sync::Tree tree;
  std::uint64_t files = 0;
};

TEST_F(LeavingToTheStore, WhatIsThereWithTheSameContentIsNotSentAndWhatIsOnlyHereIs) {
  const auto taken = leave();
  EXPECT_EQ(taken.files, 2u);
  EXPECT_EQ(taken.bytes, 3u);
  EXPECT_EQ(paths(), "outputs outputs/deep outputs/newest outputs/only-here train.py");
  EXPECT_EQ(tree.files, 2u);
  EXPECT_EQ(tree.bytes, 6u);
}

TEST_F(LeavingToTheStore, AllIsSentWhereAFileWasChangedOrRemovedHereMeanwhile) {
  write(passed_on.home / "outputs/a", "ab");
  EXPECT_EQ(leave().files, 0u) << "of the same length";
  EXPECT_EQ(tree.files, files);
  std::filesystem::remove(passed_on.home / "outputs/a");
  EXPECT_EQ(leave().files, 0u);
  EXPECT_EQ(tree.files, files);
}

TEST_F(LeavingToTheStore, AllIsSentWhereSomethingElseIsWantedInThePlaceOfAFile) {
  task.mounts = {{.target = "outputs/deep", .source = passed_on.home / "outputs/deep", .at = "before"}};
  EXPECT_EQ(leave().files, 0u) << "outputs/a is the workdir's";
  EXPECT_NE(paths().find("outputs/deep/b"), std::string::npos);
}

}  // namespace
}  // namespace ferry::job
