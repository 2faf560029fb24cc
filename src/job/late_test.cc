#include "job/late.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/text.h"
#include "job/requirements.h"
#include "job/sent.h"

namespace ferry::job {
namespace {

using Map = std::map<std::string, std::string>;

/// What of it, being late, would be sent before the environment is made.
std::vector<std::string> held(const Map& workdir, task::Environment environment = {}, const std::string& run = "") {
  const os::TempDir dir;
  const auto work = dir.path() / "work";
  for (const auto& [name, text] : workdir) {
    EXPECT_TRUE(os::make_dirs((work / name).parent_path()));
    EXPECT_TRUE(os::write_file(work / name, text));
  }
  task::Task task;
  task.environment = std::move(environment);
  task.run = run;
  const auto tree = *list_workdir(work, false);
  const auto needed = find_requirements(task, work, tree)->needed;
  auto parts = split_late(tree, {"**"}, needed);
  EXPECT_TRUE(parts);
  EXPECT_EQ(parts->early.files + parts->late.files, tree.files);
  std::vector<std::string> out;
  for (const auto& entry : parts->early.entries) {
    if (entry.type == sync::Type::file) out.push_back(entry.path);
  }
  return out;
}

TEST(WhatTheEnvironmentNeeds, IsTheListOfPackagesAndTheFilesThatItNames) {
  using Paths = std::vector<std::string>;
  EXPECT_EQ(held({{"train.py", ""}, {"data/a", ""}}), Paths{});
  EXPECT_EQ(held({{"requirements.txt", "-r deps/more.txt\n./w/a-1-py3-none-any.whl\n-f wheels\nnumpy\n"},
                  {"deps/more.txt", "torch\n"},
                  {"deps/other.txt", ""},
                  {"numpy/a.npy", ""},
                  {"w/a-1-py3-none-any.whl", ""},
                  {"w/b-1-py3-none-any.whl", ""},
                  {"wheels/c.whl", ""}}),
            (Paths{"deps/more.txt", "requirements.txt", "w/a-1-py3-none-any.whl", "wheels/c.whl"}));
  EXPECT_EQ(held({{"environment.yml", "name: data\ndependencies:\n  - pip:\n    - -r pip.txt\n    - ./w/a.whl\n...\n"},
                  {"pip.txt", "-c limits.txt\n"},
                  {"limits.txt", ""},
                  {"data/big", ""},
                  {"w/a.whl", ""}}),
            (Paths{"environment.yml", "limits.txt", "pip.txt", "w/a.whl"}));
  EXPECT_EQ(held({{"train.py", "# /// script\n# dependencies = [\"a @ file:w/a.whl\"]\n# ///\nopen('./data/x')\n"},
                  {"data/x", ""},
                  {"w/a.whl", ""}},
                 {}, "python train.py"),
            (Paths{"train.py", "w/a.whl"}));
  EXPECT_EQ(held({{"env/bin/python", ""}, {"data/x", ""}}, {.kind = "venv", .name = "env/"}), Paths{"env/bin/python"});
}

TEST(WhatTheEnvironmentNeeds, IsAllWhereAPackageIsBuiltFromTheWorkdirsOwnCode) {
  const Map rest = {{"data/x", ""}, {"lib/setup.py", ""}};
  const auto with = [&](const std::string& file, const std::string& text) {
    auto all = rest;
    all[file] = text;
    return all;
  };
  for (const std::string line : {"-e .", "./lib", "--editable=lib", "$HOME/x.whl", "./lib[extra]"})
    EXPECT_EQ(held(with("requirements.txt", line + "\n")).size(), 3U) << line;
  EXPECT_EQ(held(with("pyproject.toml", "[project]\ndependencies = [\"x\"]\n")).size(), 3U);
  EXPECT_EQ(held(with("uv.lock", "")).size(), 3U);
  EXPECT_EQ(held(with("Dockerfile", ""), {.kind = "docker", .file = "Dockerfile"}).size(), 3U);
  for (const std::string line : {"- -e .", "- ./lib", "- -e lib", "- ../x"})
    EXPECT_EQ(held(with("environment.yml", line + "\n")).size(), 3U) << line;
}

TEST(WhatIsLate, LeavesItsFoldersAndAllLinksAmongWhatGoesFirst) {
  sync::Tree tree;
  for (const char* folder : {"a", "a/b", "empty"}) tree.entries.push_back({.path = folder, .type = sync::Type::folder});
  tree.entries.push_back({.path = "a/b/c.bin", .size = 7});
  tree.entries.push_back({.path = "a/link", .type = sync::Type::link, .target = "b/c.bin"});
  tree.entries.push_back({.path = "d", .size = 2});
  std::ranges::sort(tree.entries, {}, &sync::Entry::path);
  const auto paths = [](const sync::Tree& of) {
    std::string all;
    for (const auto& entry : of.entries) all += entry.path + " ";
    return fmt::format("{}: {} files, {} bytes", all, of.files, of.bytes);
  };
  const auto parts = split_late(tree, {"a/"}, {});
  ASSERT_TRUE(parts);
  EXPECT_EQ(paths(parts->early), "a a/b a/link d empty : 1 files, 2 bytes");
  EXPECT_EQ(paths(parts->late), "a a/b a/b/c.bin : 1 files, 7 bytes");
  EXPECT_EQ(split_late(tree, {}, {})->late.files, 0U);
  EXPECT_EQ(split_late(tree, {"a/", "d"}, {"a/b"})->late.bytes, 2U);
  EXPECT_EQ(split_late(tree, {"**"}, {"a/link"})->late.files, 0U) << "who knows where it leads";
}

TEST(WhatIsLate, IsToldOfWhereItMatchesNothingOrIsNeededBefore) {
  sync::Tree tree;
  for (const char* path : {"data/x", "w/a.whl", "w/b.whl"}) tree.entries.push_back({.path = path});
  task::Task task;
  const auto told = [&](const std::vector<std::string>& needed) { return join(tell_late(task, tree, needed), "\n"); };
  EXPECT_EQ(told({"w"}), "");
  task.late = {"data/", "dat/", "w/"};
  EXPECT_EQ(told({}), "late: nothing of what is sent matches dat/");
  task.late = {"data/", "w/"};
  EXPECT_EQ(told({}), "");
  EXPECT_EQ(told({"w/a.whl"}), "late: w/a.whl goes before: the environment is made from that");
  EXPECT_EQ(told({"w"}), "late: w/a.whl and 1 more go before: the environment is made from that");
  EXPECT_EQ(told({"."}), "late: nothing is: the environment is made from the workdir itself, so all of it goes before");
}

}  // namespace
}  // namespace ferry::job
