#include "sync/kept_tree.h"

#include "os/process.h"
#include "sync/sync_testing.h"

namespace ferry::sync {
namespace {

/// A laptop's folder, and runs on a machine that keeps what they were sent.
class KeptTrees : public testing::Test {
 protected:
  void SetUp() override {
    for (int i = 0; i < 400; ++i) write(path(i), noise(100 + static_cast<std::size_t>(i), static_cast<unsigned>(i)));
    write(from_ / "large", noise(200'000, 9));
    write(from_ / "empty", "");
    std::filesystem::create_symlink("code/0/0", from_ / "link");
    sending_.list_file = temp_.path() / "list";
  }
  os::Path path(int i) const { return from_ / "code" / std::to_string(i / 40) / std::to_string(i); }
  os::Path work(const std::string& run) const { return temp_.path() / ("work-" + run); }
  os::Path state(const std::string& run) const { return temp_.path() / ("state-" + run); }
  os::Path trees() const { return contents_.string() + ".trees"; }

  /// The folder of a run that ends with release(); what came over the wire.
  Report begin(const std::string& run) {
    ReceiveOptions options;
    options.mirror = true;
    options.content_store = contents_;
    options.state_file = state(run);
    const auto both = move_tree(from_, work(run), options, {}, sending_);
    EXPECT_TRUE(both.received && both.sent) << (both.sent ? "" : describe(both.sent.error()));
    EXPECT_EQ(picture(from_), picture(work(run)));
    return both.sent.value_or(Report());
  }
  void release(const std::string& run) {
    const auto kept = keep_run(contents_, work(run), state(run));
    EXPECT_TRUE(kept) << describe(kept.error());
    ASSERT_OK(os::remove_all(work(run)));
    ASSERT_OK(os::remove_all(state(run)));
  }
  std::uint64_t inode(const os::Path& file) const {
    struct stat info {};
    ::stat(file.c_str(), &info);
    return info.st_ino;
  }

  os::TempDir temp_;
  os::Path from_ = temp_.path() / "laptop", contents_ = temp_.path() / "contents";
  Options sending_;
};

TEST_F(KeptTrees, TheNextRunHasTheFilesThatStandThere) {
  begin("1");
  const auto before = inode(work("1") / "code/3/120");
  release("1");
  EXPECT_EQ(listing(trees()).size(), 1U);
  write(path(7), "other");
  std::filesystem::remove(path(8));
  const auto sent = begin("2");
  EXPECT_EQ(sent.files_moved, 1U);
  EXPECT_EQ(inode(work("2") / "code/3/120"), before);
  EXPECT_TRUE(listing(trees()).empty()) << "it is one run's only";
  release("2");
  EXPECT_EQ(begin("3").files_moved, 0U) << "nothing has changed";
  EXPECT_EQ(inode(work("3") / "code/3/120"), before);
}

TEST_F(KeptTrees, WhatTheRunMadeOrTouchedIsNotInIt) {
  begin("1");
  const os::Path ran = work("1");
  write(ran / "outputs/model", "a model");
  write(ran / "code/0/__pycache__/x.pyc", "x");
  struct stat info {};
  ::stat((ran / "code/0/1").c_str(), &info);
  std::ofstream(ran / "code/0/1", std::ios::in) << "X";
  set_time(ran / "code/0/1", info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
  ::chmod((ran / "code/0/2").c_str(), 0777);
  std::filesystem::remove(ran / "code/0/3");
  std::filesystem::remove_all(ran / "code/1");
  write(ran / "code/1", "a file now");
  std::filesystem::remove(ran / "link");
  std::filesystem::create_symlink("/", ran / "link");
  std::filesystem::remove(ran / "code/2/80");
  std::filesystem::create_directory(ran / "code/2/80");
  ::mkfifo((ran / "code/2/pipe").c_str(), 0600);
  release("1");
  ASSERT_EQ(listing(trees()).size(), 1U);
  begin("2");  // compares
  EXPECT_FALSE(os::exists(work("2") / "outputs"));
  EXPECT_FALSE(os::exists(work("2") / "code/2/pipe"));
  EXPECT_EQ(read(work("2") / "code/0/1"), read(path(1)));
}

TEST_F(KeptTrees, RunsThatBeginMeanwhileFindTheContentsInTheStore) {
  begin("1");
  release("1");
  EXPECT_EQ(begin("2").files_moved, 0U);
  EXPECT_EQ(begin("3").files_moved, 0U);
  EXPECT_NE(inode(work("2") / "code/3/120"), inode(work("3") / "code/3/120"));
  release("2");
  release("3");
  EXPECT_EQ(listing(trees()).size(), 1U);
}

TEST_F(KeptTrees, OnlyWhatIsSmallLiesThereTwice) {
  begin("1");
  release("1");
  const os::Path tree = trees() / listing(trees()).at(0) / "tree";
  EXPECT_FALSE(os::exists(tree / "large"));
  EXPECT_TRUE(os::exists(tree / "code/0/0"));
  EXPECT_TRUE(ContentStore::open(contents_)->holds(sha256(noise(200'000, 9)), 200'000));
  EXPECT_TRUE(ContentStore::open(contents_)->holds(sha256(noise(100, 0)), 100));
}

TEST_F(KeptTrees, AFolderThatAProgramStillStandsInIsNot) {
  begin("1");
  auto sleeper = os::Process::spawn({.argv = {"sleep", "60"}, .cwd = work("1") / "code"});
  ASSERT_OK(sleeper);
  release("1");
  EXPECT_TRUE(listing(trees()).empty() || listing(trees()).at(0) == "(unreadable)");
  sleeper->signal(SIGKILL);
  (void)sleeper->wait(std::chrono::seconds(10));
  EXPECT_EQ(begin("2").files_moved, 0U) << "its contents are";
}

TEST_F(KeptTrees, ATreeOfAnotherListStaysWhereItIs) {
  begin("1");
  release("1");
  for (int i = 0; i < 400; ++i) write(path(i), noise(50, static_cast<unsigned>(1000 + i)));
  std::filesystem::remove(sending_.list_file);
  begin("2");
  EXPECT_EQ(listing(trees()).size(), 1U);
  release("2");
  std::filesystem::remove(sending_.list_file);
  write(from_ / "more", "x");
  begin("3");
  release("3");
  EXPECT_EQ(listing(trees()).size(), 2U) << "the two newest";
}

TEST_F(KeptTrees, WhereOthersMayWriteNothingIsTaken) {
  begin("1");
  release("1");
  ::chmod(trees().c_str(), 0777);
  const auto before = inode(trees() / listing(trees()).at(0) / "tree/code/3/120");
  begin("2");
  EXPECT_NE(inode(work("2") / "code/3/120"), before);
  release("2");
  EXPECT_EQ(listing(trees()).size(), 1U);
}

TEST_F(KeptTrees, NothingIsTakenIntoAFolderThatHasSomething) {
  begin("1");
  release("1");
  write(work("2") / "mine", "not ferry's");
  ReceiveOptions options;
  options.mirror = true;
  options.content_store = contents_;
  options.state_file = state("2");
  const auto both = move_tree(from_, work("2"), options, {}, sending_);
  ASSERT_OK(both.received);
  EXPECT_EQ(read(work("2") / "mine"), "not ferry's");
  EXPECT_EQ(listing(trees()).size(), 1U);
}

TEST_F(KeptTrees, WhoIsKilledWhileTakingLosesNothingAndLeavesNothingStrange) {
  begin("1");
  release("1");
  std::filesystem::remove(path(5));
  const auto name = listing(trees()).at(0);
  // The state is there, and a part of the tree, with what the new list does not have.
  std::filesystem::rename(trees() / name, trees() / "new-dead");
  std::filesystem::rename(trees() / "new-dead/state", state("2"));
  std::filesystem::create_directory(work("2"));
  std::filesystem::rename(trees() / "new-dead/tree/code", work("2") / "code");
  begin("2");  // compares
  EXPECT_FALSE(os::exists(work("2") / "code/0/5"));
  release("2");
  EXPECT_TRUE(os::exists(trees() / "new-dead")) << "its owner may live";
  set_time(trees() / "new-dead", 1'000'000);
  begin("3");
  release("3");
  EXPECT_FALSE(os::exists(trees() / "new-dead"));
}

}  // namespace
}  // namespace ferry::sync
