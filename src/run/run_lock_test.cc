#include "run/run_lock.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "os/process.h"

namespace ferry::run {
namespace {

struct OwnerTest : testing::Test {
  os::TempDir dir;
  fleet::RunDir run_dir{dir.path(), "r-1"};
  RunLock take(Role role = Role::follow) { return std::move(**RunLock::try_take(run_dir, role)); }
  bool is_free() { return RunLock::try_take(run_dir, Role::recover)->has_value(); }
};

TEST_F(OwnerTest, OnlyOneProcessOwnsARun) {
  {
    const auto first = take();
    const auto holder = RunLock::holder_of(run_dir);
    ASSERT_TRUE(holder);
    EXPECT_EQ(holder->role, Role::follow);
    EXPECT_EQ(holder->pid, ::getpid());
    EXPECT_FALSE(is_free());
  }
  EXPECT_FALSE(RunLock::holder_of(run_dir));
}

TEST_F(OwnerTest, WhoOnlySettlesOrHandsOverIsNamedAsSuch) {
  auto owner = take(Role::recover);
  EXPECT_EQ(RunLock::holder_of(run_dir)->role, Role::recover);
  ASSERT_TRUE(owner.become(Role::hand_over));
  EXPECT_EQ(RunLock::holder_of(run_dir)->role, Role::hand_over);
}

TEST_F(OwnerTest, ASignalReachesAnotherFollowerOnly) {
  auto child = *os::Process::spawn({.argv = {"sleep", "1000"}});
  const Holder follower{Role::follow, child.pid(), os::process_start_time(child.pid())};
  EXPECT_FALSE(RunLock::signal({Role::recover, follower.pid, follower.start}, SIGTERM));
  EXPECT_FALSE(RunLock::signal({Role::hand_over, follower.pid, follower.start}, SIGTERM));
  EXPECT_FALSE(RunLock::signal({Role::follow, follower.pid, follower.start + 1}, SIGTERM)) << "a reused pid";
  EXPECT_FALSE(RunLock::signal({Role::follow, ::getpid(), os::process_start_time(::getpid())}, SIGTERM));
  EXPECT_FALSE(RunLock::signal(Holder{}, SIGTERM));
  EXPECT_FALSE(child.wait(Millis(0)));
  EXPECT_TRUE(RunLock::signal(follower, SIGTERM));
  EXPECT_EQ(child.wait(Millis(-1))->signal, SIGTERM);
}

TEST_F(OwnerTest, WhatADeadHolderWroteNamesNobody) {
  const auto owner = take();
  ASSERT_TRUE(os::write_file(dir.path() / "text", "follow          12345                    1\n"));
  // In place, as a signature is written: the lock stays on the file.
  const auto text = *os::read_file(dir.path() / "text");
  ASSERT_EQ(::pwrite(owner.fd(), text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  ASSERT_TRUE(RunLock::holder_of(run_dir));
  EXPECT_EQ(RunLock::holder_of(run_dir)->pid, 0);
}

TEST_F(OwnerTest, ALockWhoseFolderWasRemovedIsMadeAnew) {
  auto owner = take();
  ASSERT_TRUE(os::remove_all(run_dir.path));
  EXPECT_TRUE(owner.still_mine());
  EXPECT_FALSE(is_free());
  EXPECT_EQ(RunLock::holder_of(run_dir)->pid, ::getpid());
}

TEST_F(OwnerTest, ALockThatAnotherTookMeanwhileIsNotMineAnyMore) {
  auto owner = take();
  ASSERT_TRUE(os::remove_all(run_dir.path));
  auto other = take(Role::recover);
  EXPECT_FALSE(owner.still_mine());
  EXPECT_TRUE(other.still_mine());
}

TEST_F(OwnerTest, AFileThatNobodyLocksIsTakenInPlaceOfTheRemovedOne) {
  auto owner = take(Role::recover);
  ASSERT_TRUE(os::remove_all(run_dir.path));
  { const auto other = take(); }
  EXPECT_TRUE(owner.still_mine());
  EXPECT_EQ(RunLock::holder_of(run_dir)->role, Role::recover);
}

TEST_F(OwnerTest, AnInheritedLockIsSignedByItsNewOwner) {
  auto owner = take(Role::hand_over);
  const int fd = ::dup(owner.fd());
  { const auto gone = std::move(owner); }
  auto adopted = RunLock::adopt(run_dir, fd);
  ASSERT_TRUE(adopted);
  EXPECT_EQ(RunLock::holder_of(run_dir)->role, Role::follow);
  EXPECT_FALSE(is_free());
}

}  // namespace
}  // namespace ferry::run
