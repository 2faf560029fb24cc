#include "job/sent.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "base/text.h"
#include "job/preflight.h"
#include "job/shell_words.h"
#include "os/env.h"

namespace ferry::job {
namespace {

void put_file(const os::Path& path, std::string_view text) {
  ASSERT_TRUE(os::make_dirs(path.parent_path()));
  ASSERT_TRUE(os::write_file(path, text));
}

TEST(Workdir, TheHomeFolderWhatHoldsItAndTheWholeComputerAreRefused) {
  const auto home = std::filesystem::canonical(os::home_dir());
  for (const auto& path : {home, home.parent_path(), os::Path("/")}) {
    const auto listed = list_workdir(path, false);
    ASSERT_FALSE(listed) << path;
    EXPECT_EQ(listed.error().kind, Kind::bad_input);
    EXPECT_NE(listed.error().advice.find("--workdir"), std::string::npos);
  }
  const os::TempDir dir;
  EXPECT_TRUE(list_workdir(dir.path(), false));
}

TEST(Sent, WhatStaysAndWhatBetterDidIsToldInALineEach) {
  const os::TempDir dir;
  const auto work = dir.path() / "work";
  put_file(work / "train.py", "1\n");
  put_file(work / ".gitignore", "data/\n*.csv\noutputs/\n__pycache__/\n");
  put_file(work / "data/a", "ab");
  put_file(work / "b.csv", "abc");
  put_file(work / "outputs/model", "old");
  put_file(work / "__pycache__/x", "x");
  put_file(work / ".netrc", "x");
  put_file(work / ".env", "TOKEN=x\n");
  put_file(work / "env3/pyvenv.cfg", "x");
  put_file(work / "env3/lib/large", std::string(12'000'000, 'x'));
  put_file(dir.path() / "disk/x", "12");
  std::filesystem::create_directory_symlink(dir.path() / "disk", work / "linked");
  const auto tree = list_workdir(work, false);
  ASSERT_TRUE(tree);
  const auto lines = tell_sent(*tree, work, {});
  ASSERT_EQ(lines.size(), 5U) << join(lines, "\n");
  EXPECT_EQ(lines[0],
            "stays here, for nobody else to use: .netrc (passwords). To send it all the same, add  "
            "!/.netrc  to .ferryignore");
  EXPECT_EQ(lines[1], "left out by .gitignore: b.csv by *.csv (3 B), data/ (2 B)");
  EXPECT_EQ(lines[2],
            "this link leads out of the workdir, and only the link is sent; --follow sends what it leads "
            "to: linked -> " +
                (dir.path() / "disk").string() + " (2 B)");
  EXPECT_TRUE(lines[3].starts_with("env3/ goes over (12.0 MB)") || lines[3].starts_with("env3/ goes over (12 MB)"))
      << lines[3];
  EXPECT_TRUE(lines[4].starts_with(".env goes over")) << lines[4];
}

TEST(Sent, PathsThatAShellTextReadsAreSeenAndThoseItMakesAreNot) {
  using V = std::vector<std::string>;
  EXPECT_EQ(paths_read_by("python train.py --data data/train.csv --out model.pt"), (V{"train.py", "data/train.csv"}));
  EXPECT_EQ(paths_read_by("python train.py --data=./data/ > log.txt 2>&1"), (V{"train.py", "data"}));
  EXPECT_EQ(paths_read_by("A=b python 'my file.py' < in.txt | tee out.txt"), (V{"my file.py", "in.txt"}));
  EXPECT_EQ(paths_read_by("mkdir -p data && wget -O data/x http://h/x; python t.py data/x"), V{"t.py"});
  EXPECT_EQ(paths_read_by("sh -c 'cat data/x'"), V{"data/x"});
  EXPECT_EQ(paths_read_by("cd sub; python t.py"), V{});
  EXPECT_EQ(paths_read_by("python t.py $DATA data/*.csv /abs ../up ~/x --log-dir logs"), V{"t.py"});
  EXPECT_EQ(paths_read_by("# python no.py\npython a.py # data/x\n"), V{"a.py"});
}

Error refused(const std::string& run, const os::Path& work, const Looking& looking = {}) {
  task::Task task;
  task.run = run;
  const auto checked = preflight(task, work, looking);
  return checked ? Error{Kind::bug, "it passed", {}, {}, {}} : checked.error();
}

TEST(Sent, ACommandOrScriptThatReadsWhatStaysIsRefusedWithTheRuleAndTheCure) {
  const os::TempDir dir;
  const auto work = dir.path() / "work";
  put_file(work / ".gitignore", "data/\nmodel.pt\n");
  put_file(work / "data/train.csv", "x");
  put_file(work / "model.pt", "x");
  put_file(work / "train.py", "DATA = 'data/train.csv'\nwith open(DATA) as f:\n  pass\n");
  put_file(work / "saves.py", "import torch\ntorch.save(1, 'model.pt')\ntorch.load('model.pt')\n");
  put_file(work / "asks.py", "import os\nif os.path.exists('data/train.csv'): open('data/train.csv')\n");
  put_file(work / "train.sh", "cat data/train.csv\n");
  auto error = refused("python train.py", work);
  EXPECT_EQ(error.what, "train.py:2 reads data/train.csv, which would not be sent");
  EXPECT_EQ(error.why, "left out by .gitignore: data/");
  EXPECT_TRUE(error.advice.starts_with("add  !/data/  to .ferryignore")) << error.advice;
  EXPECT_EQ(refused("python saves.py", work).what, "it passed");
  EXPECT_EQ(refused("python asks.py", work).what, "it passed");
  EXPECT_EQ(refused("cat data/train.csv", work).what, "the command reads data/train.csv, which would not be sent");
  EXPECT_EQ(refused("bash train.sh", work).what, "train.sh reads data/train.csv, which would not be sent");
  EXPECT_EQ(refused("cat data/made-there", work).what, "it passed");
  put_file(work / ".ferryignore", "!/data/\n");
  EXPECT_EQ(refused("python train.py", work).what, "it passed");

  put_file(dir.path() / "disk/x.csv", "x");
  std::filesystem::create_directory_symlink(dir.path() / "disk", work / "linked");
  put_file(work / "linked.py", "import os\nfor one in os.listdir('linked'): print(one)\n");
  error = refused("python linked.py", work);
  EXPECT_EQ(error.what, "linked.py:2 reads linked, which would not be sent");
  EXPECT_TRUE(error.advice.starts_with("--follow")) << error.advice;
  EXPECT_EQ(refused("python linked.py", work, {.follow = true, .results = {}}).what, "it passed");
}

}  // namespace
}  // namespace ferry::job
