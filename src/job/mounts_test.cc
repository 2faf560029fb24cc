#include "job/mounts.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/text.h"
#include "job/preflight.h"
#include "job/sent.h"
#include "os/process.h"

namespace ferry::job {
namespace {

void put_mounted(const os::Path& path, std::string_view text) {
  ASSERT_TRUE(os::make_dirs(path.parent_path()));
  ASSERT_TRUE(os::write_file(path, text));
}

task::Task mounting(std::vector<std::pair<std::string, os::Path>> mounts) {
  task::Task task;
  task.run = "true";
  for (auto& [target, source] : mounts)
    task.mounts.push_back({target, source, fmt::format("task.yaml:{}:3", 4 + task.mounts.size())});
  return task;
}

std::vector<std::string> paths_of(const sync::Tree& tree) {
  std::vector<std::string> out;
  for (const auto& entry : tree.entries) out.push_back(entry.path);
  return out;
}

/// A workdir with train.py and data/old, and things beside it.
class Mounts : public testing::Test {
 protected:
  Mounts() {
    put_mounted(work / "train.py", "1\n");
    put_mounted(work / "data/old", "old");
    put_mounted(beside / "set/a", "aa");
    put_mounted(beside / "set/deep/b", "b");
    put_mounted(beside / "set/.aws/credentials", "x");
    put_mounted(beside / "one.json", "{}");
  }
  Result<sync::Tree> sent(const task::Task& task) {
    TRY_SET(tree, "", list_workdir(work, false));
    TRY("", add_mounts(task, false, tree, lines));
    return tree;
  }
  os::TempDir dir;
  os::Path work = dir.path() / "work", beside = dir.path() / "beside";
  std::vector<std::string> lines;
};

TEST_F(Mounts, GoWithTheWorkdirWhereTheyAreMeantToBeOrInAFolderOfFerrysOwn) {
  const auto tree = sent(mounting({{"data", beside / "set"},
                                   {"conf/x.json", beside / "one.json"},
                                   {"~/cfg", beside / "one.json"},
                                   {"/far", beside / "set/deep"}}));
  ASSERT_TRUE(tree) << describe(tree.error());
  EXPECT_EQ(join(paths_of(*tree), " "),
            ".ferry-mounts .ferry-mounts/2 .ferry-mounts/3 .ferry-mounts/3/b conf conf/x.json data data/a data/deep "
            "data/deep/b "
            "train.py");
  EXPECT_EQ(tree->files, 6U);
  EXPECT_EQ(tree->bytes, 10U);  // 1\n, aa, b, b, {} and {}
  EXPECT_EQ(source_of(*tree, work, "data/deep/b"), beside / "set/deep/b");
  EXPECT_EQ(source_of(*tree, work, "conf/x.json"), beside / "one.json");
  EXPECT_EQ(source_of(*tree, work, "train.py"), work / "train.py");
  auto hashed = *tree;
  ASSERT_TRUE(sync::hash_tree(work, hashed, {}));
  EXPECT_EQ(hashed.entries.size(), tree->entries.size()) << join(hashed.skipped, "\n");
  const auto told = join(lines, "\n");
  EXPECT_NE(told.find("in place of the workdir's own"), told.npos) << told;
  EXPECT_NE(told.find(".aws"), told.npos) << told;
}

TEST_F(Mounts, ASourceThatIsNotThereASecretAndAFolderThatIsNoneAreRefusedAllAtOnceWithTheirPlaces) {
  put_mounted(beside / ".netrc", "machine x");
  put_mounted(beside / "key", "-----BEGIN OPENSSH PRIVATE KEY-----\n");
  const auto tree = sent(mounting({{"a", beside / "nowhere"},
                                   {"b", beside / ".netrc"},
                                   {"c", beside / "key"},
                                   {"train.py/x", beside / "set"},
                                   {"d", beside / "set/.aws"}}));
  ASSERT_FALSE(tree);
  EXPECT_EQ(tree.error().kind, Kind::bad_input);
  EXPECT_TRUE(tree.error().what.starts_with("task.yaml:4:3: file_mounts: there is no ")) << tree.error().what;
  ASSERT_EQ(tree.error().more.size(), 4U);
  EXPECT_NE(tree.error().more[0].what.find("passwords, which is never sent"), std::string::npos);
  EXPECT_NE(tree.error().more[1].what.find("private key, which is never sent"), std::string::npos);
  EXPECT_TRUE(tree.error().more[2].what.starts_with("task.yaml:7:3: file_mounts: train.py/x lies behind train.py"));
  EXPECT_NE(tree.error().more[3].what.find("AWS credentials"), std::string::npos);
}

TEST_F(Mounts, OnAMachineOfTheirOwnNothingIsMadeOutsideOfTheRunsFolder) {
  auto task = mounting({{"~/cfg", beside / "one.json"}});
  task.setup = "ls ~/sky_workdir";
  task.resources.infra = task::Infra{.provider = task::Provider::ssh, .host = "box"};
  const auto tree = sent(task);
  ASSERT_FALSE(tree);
  EXPECT_NE(tree.error().what.find("outside of the run's folder"), std::string::npos);
  task.mounts.clear();
  EXPECT_EQ(link_line(task, "/scratch"), "");
}

TEST_F(Mounts, CheckCountsThemAndLooksAtScriptsInThem) {
  put_mounted(beside / "code/go.py", "(\n");
  auto task = mounting({{"code", beside / "code"}, {"data", beside / "set"}});
  task.run = "python code/go.py";
  auto looked = preflight(task, work);
  ASSERT_FALSE(looked);
  EXPECT_NE(looked.error().what.find("code/go.py: line 1"), std::string::npos) << looked.error().what;
  put_mounted(beside / "code/go.py", "print(1)\n");
  looked = preflight(task, work);
  ASSERT_TRUE(looked) << describe(looked.error());
  EXPECT_NE(looked->summary.find("4 files"), std::string::npos) << looked->summary;
}

TEST_F(Mounts, LinksLeadToThemFromOutsideTheWorkdirAndFromSkyPilotsName) {
  auto task = mounting({{"~/cfg/one.json", beside / "one.json"},
                        {(dir.path() / "far/set").string(), beside / "set"},
                        {"data", beside / "set"},
                        {"x", beside / "one.json"}});
  task.run = "cat ~/sky_workdir/train.py";
  const auto line = link_line(task, "/scratch");
  EXPECT_EQ(std::ranges::count(line, '\n'), 1);
  const auto home = dir.path() / "home";
  ASSERT_TRUE(os::make_dirs(home));
  const auto run = [&](const std::string& more) {
    os::SpawnOptions options;
    options.argv = {"sh", "-c", line + more};
    options.env = {{"HOME", home.string()}};
    options.cwd = work;
    return os::run_command(options, {}, Millis(20'000));
  };
  for (int again = 0; again < 2; ++again) {
    const auto done = run("type ferry_link >/dev/null 2>&1; echo $?; cat ~/sky_workdir/train.py");
    ASSERT_TRUE(done);
    EXPECT_EQ(done->exit.code, 0) << done->err;
    EXPECT_TRUE(done->out.ends_with("\n1\n") && !done->out.starts_with("0")) << done->out;
  }
  std::error_code failed;
  EXPECT_EQ(std::filesystem::read_symlink(home / "cfg/one.json", failed), work / ".ferry-mounts/0");
  EXPECT_EQ(std::filesystem::read_symlink(dir.path() / "far/set", failed), work / ".ferry-mounts/1");
  EXPECT_EQ(std::filesystem::read_symlink(home / "sky_workdir", failed), work);

  std::filesystem::remove(home / "sky_workdir");
  put_mounted(home / "sky_workdir/mine", "x");
  const auto done = run("echo went on");
  ASSERT_TRUE(done);
  EXPECT_EQ(done->exit.code, 1);
  EXPECT_NE(done->err.find("is there already"), std::string::npos) << done->err;
  EXPECT_TRUE(os::exists(home / "sky_workdir/mine"));
}

TEST_F(Mounts, OfDataAndForWhatIsWrittenAreLinksAndFoldersFromWhereverTheyAreWanted) {
  const auto scratch = (dir.path() / "scratch").string(), far = (dir.path() / "far").string();
  put_mounted(scratch + "/data/0/x", "zero");
  put_mounted(scratch + "/data/1/y", "one");
  auto task = mounting({{far + "/mine", beside / "set"}});
  task.mounts[0].comes_home = true;
  task.data = {{"sets/a", "s3://a-bucket", task::MountMode::copy, false, "t:1:1"},
               {far + "/b", "s3://b-bucket", task::MountMode::mount, true, "t:2:1"}};
  task.output_folders = {{"logs", "l-bucket", "t:3:1"}, {far + "/ckpt", "c-bucket", "t:4:1"}};
  const auto tree = sent(task);
  ASSERT_TRUE(tree) << describe(tree.error());
  EXPECT_EQ(std::ranges::count(paths_of(*tree), "mounts" + far + "/mine/a"), 1);
  put_mounted(work.string() + "/mounts" + far + "/mine/a", "aa");  // as it would go over
  os::SpawnOptions options;
  options.argv = {
      "sh", "-ec",
      link_line(task, scratch) + "cat sets/a/x \"$1/b/y\" \"$1/mine/a\"; echo 1 >logs/l; echo 2 >\"$1/ckpt/c\"", "sh",
      far};
  options.cwd = work;
  for (int again = 0; again < 2; ++again) {
    const auto done = os::run_command(options, {}, Millis(20'000));
    ASSERT_TRUE(done);
    EXPECT_EQ(done->exit.code, 0) << done->err;
    EXPECT_EQ(done->out, "zerooneaa");
  }
  EXPECT_EQ(*os::read_file(work.string() + "/mounts" + far + "/ckpt/c"), "2\n");
  // In another attempt, what the one before saved is a folder there.
  const auto saved = work.string() + "/mounts" + far + "/b";
  ASSERT_TRUE(os::remove_all(saved));
  put_mounted(saved + "/epoch", "7");
  const auto resumed = os::run_command(options, {}, Millis(20'000));
  ASSERT_TRUE(resumed);
  EXPECT_EQ(resumed->exit.code, 0) << resumed->err;
  EXPECT_EQ(*os::read_file(scratch + "/data/1/epoch"), "7");
  EXPECT_TRUE(os::exists(work.string() + "/mounts" + far + "/b/y")) << "by which what is written there comes home";
}

TEST_F(Mounts, OfBucketsThatAreMountedAreLinksToTheMountsAlone) {
  const auto scratch = (dir.path() / "scratch").string(), far = (dir.path() / "far").string(),
             mounted = (dir.path() / "buckets/1").string();
  put_mounted(scratch + "/data/0/x", "zero");
  put_mounted(mounted + "/y", "one");
  auto task = mounting({});
  task.data = {{"sets/a", "s3://a-bucket", task::MountMode::copy, false, "t:1:1"},
               {far + "/b", "s3://b-bucket", task::MountMode::mount, true, "t:2:1"}};
  os::SpawnOptions options;
  options.argv = {"sh", "-ec", link_line(task, scratch, {{1, mounted}}) + "cat sets/a/x \"$1/b/y\"; echo 2 >\"$1/b/z\"",
                  "sh", far};
  options.cwd = work;
  const auto done = os::run_command(options, {}, Millis(20'000));
  ASSERT_TRUE(done);
  EXPECT_EQ(done->exit.code, 0) << done->err;
  EXPECT_EQ(done->out, "zeroone");
  EXPECT_EQ(*os::read_file(mounted + "/z"), "2\n");
  EXPECT_FALSE(os::exists(work.string() + "/mounts" + far)) << "what is in the bucket need not come home";
}

TEST_F(Mounts, ThatStandInEachOthersWayAreRefusedAndTheWorkdirGivesWayToData) {
  task::Task task;
  task.run = "true";
  task.data = {{"data", "s3://a-bucket", task::MountMode::copy, false, "t:1:1"},
               {"data", "s3://b-bucket", task::MountMode::copy, false, "t:2:1"}};
  task.mounts = {{"data/x", beside / "set", "t:3:1"}};
  auto tree = sent(task);
  ASSERT_FALSE(tree);
  EXPECT_TRUE(tree.error().what.starts_with("t:2:1: file_mounts: data is there twice")) << tree.error().what;
  EXPECT_TRUE(tree.error().more.at(0).what.starts_with("t:3:1: file_mounts: data/x lies in the data at data"));
  task.data.pop_back();
  task.mounts.clear();
  tree = sent(task);
  ASSERT_TRUE(tree);
  EXPECT_EQ(std::ranges::count(paths_of(*tree), "data/old"), 0);
  EXPECT_EQ(lines.size(), 1U);
}

TEST_F(Mounts, VolumesHaveAPlaceOfTheirOwnAndNothingThatComesHomeLiesThere) {
  task::Task task;
  task.run = "true";
  task.volumes = {{"data", "my-volume", "t:1:1"}, {"/mnt/x", "other", "t:2:1"}};
  const auto tree = sent(task);
  ASSERT_TRUE(tree);
  EXPECT_EQ(std::ranges::count(paths_of(*tree), "data/old"), 0) << "the workdir gives way";
  EXPECT_EQ(lines.size(), 1U);
  const auto links = link_line(task, "/scratch", {}, {"/mnt/ferry-volumes/vol-1", "/mnt/ferry-volumes/vol-2"});
  EXPECT_NE(links.find("ferry_link 'data' '/mnt/ferry-volumes/vol-1'"), links.npos) << links;
  EXPECT_NE(links.find("ferry_link '/mnt/x' '/mnt/ferry-volumes/vol-2'"), links.npos) << links;
  const auto refused = [&](const std::string& target, const std::string& says) {
    task.volumes = {{target, "v", "t:1:1"}};
    const auto refusal = sent(task);
    ASSERT_FALSE(refusal) << target;
    EXPECT_NE(describe(refusal.error()).find(says), std::string::npos) << describe(refusal.error());
  };
  refused("outputs", "outputs is where outputs come home from (outputs/)");
  refused("outputs/deep", "is where outputs come home from");
  task.outputs = {"runs/*.pt", "model.bin"};
  task.checkpoints = {"ckpt/"};
  refused("runs", "come home from (runs/*.pt)");
  refused("ckpt/x", "come home from (ckpt/)");
  task.mounts = {{"set", beside / "set", "t:3:1"}};
  refused("set", "set is there twice");
  refused("set/x", "set/x lies in set, which is another's");
  task.mounts = {{"v/one.json", beside / "one.json", "t:3:1"}};
  refused("v", "v/one.json lies in the volume at v");
}

}  // namespace
}  // namespace ferry::job
