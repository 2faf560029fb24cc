#include "cli/pipeline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ferry::cli {
namespace {

using testing::ElementsAre;

TEST(Pipeline, WhatTheRunBeforeBroughtHomeGoesToItsPlaceBesideWhatTheWorkdirHas) {
  const os::TempDir dir;
  const auto put = [&](const char* path) {
    EXPECT_TRUE(os::make_dirs((dir.path() / path).parent_path()));
    EXPECT_TRUE(os::write_file(dir.path() / path, "x"));
  };
  for (const char* path :
       {"home/outputs/a", "home/outputs/deep/b", "home/data/made/rows", "home/data/old", "home/train.log",
        "home/run.json", "home/.ferry/run.json", "home/sub/train.log", "work/data/old", "work/train.py"})
    put(path);
  std::filesystem::create_symlink("/etc/hostname", dir.path() / "home/link");
  task::Task task;
  carry_outputs(dir.path() / "home", dir.path() / "work", task);
  std::vector<std::string> targets;
  for (const auto& mount : task.mounts) {
    targets.push_back(mount.target);
    EXPECT_EQ(mount.source, dir.path() / "home" / mount.target);
    EXPECT_TRUE(mount.is_whole);
  }
  EXPECT_THAT(targets, ElementsAre("data/made", "data/old", "outputs", "sub"));
}

TEST(Pipeline, OfARunThatBroughtNothingNothingIsCarried) {
  const os::TempDir dir;
  task::Task task;
  carry_outputs(dir.path() / "nowhere", dir.path(), task);
  EXPECT_TRUE(task.mounts.empty());
}

}  // namespace
}  // namespace ferry::cli
