#include "job/packages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/text.h"
#include "job/preflight.h"
#include "os/process.h"

namespace ferry::job {

TEST(Packages, AModuleLeadsToThePackageThatBringsIt) {
  const std::pair<const char*, const char*> known[] = {{"sklearn", "scikit-learn"},
                                                       {"PIL.Image", "pillow"},
                                                       {"yaml", "pyyaml"},
                                                       {"torch.utils.tensorboard.writer", "tensorboard"},
                                                       {"torch.utils.data", "torch"},
                                                       {"google.protobuf", "protobuf"},
                                                       {"google.cloud.storage", "google-cloud-storage"},
                                                       {"wandb", "wandb"},
                                                       {"a.b.c", "a"}};
  for (const auto& [module, package] : known) EXPECT_EQ(packages_of(module)[0], package) << module;
  EXPECT_THAT(packages_of("cv2"), testing::Contains("opencv-python"));
  EXPECT_THAT(package_table(), testing::HasSubstr("\ntorch.utils.tensorboard tensorboard"));
}

TEST(Packages, WhatATrainingLackedIsSaidInItsLastLines) {
  const auto lacked = [](const std::string& text) {
    const auto found = lacking_in(text);
    return found ? found->module + ">" + found->package : "";
  };
  EXPECT_EQ(lacked("Traceback (most recent call last):\n  File \"train.py\", line 1\nModuleNotFoundError: No module "
                   "named 'cv2'\n"),
            "cv2>opencv-python-headless");
  EXPECT_EQ(lacked("[rank0]: ModuleNotFoundError: No module named 'sklearn.utils'\nE0101 launcher failed\n"),
            "sklearn.utils>scikit-learn");
  EXPECT_EQ(lacked("ImportError: Missing optional dependency 'pyarrow'.  Use pip"), ">pyarrow");
  EXPECT_EQ(lacked("ImportError: Using the `Trainer` with `PyTorch` requires `accelerate>=0.26.0`: Please run"),
            ">accelerate");
  for (const char* other :
       {"", "ImportError: cannot import name 'x' from 'y'", "ModuleNotFoundError: No module named 'a; rm -rf /'",
        "ModuleNotFoundError: No module named ''", "No module named 'x'"})
    EXPECT_EQ(lacked(other), "") << other;
  EXPECT_EQ(lacked("ModuleNotFoundError: No module named 'early'\n" + std::string(100, '\n') + "x\n" +
                   [] {
                     std::string many;
                     for (int i = 0; i < 50; ++i) many += "epoch\n";
                     return many;
                   }()),
            "")
      << "it went on after that";
}

TEST(CutOff, CheckSaysByPackageWhatCannotBeInstalled) {
  if (os::run_command({.argv = {"python3", "-c", "1"}})->exit.code != 0) GTEST_SKIP() << "no python3";
  const os::TempDir dir("cut-off");
  ASSERT_TRUE(os::write_file(dir.path() / "train.py",
                             "import json, ferrynone.sub\nfrom torch.utils.tensorboard import SummaryWriter\n"));
  ASSERT_TRUE(
      os::write_file(dir.path() / "requirements.txt", "# ours\n-r more.txt\nferrynone>=2 ; python_version > '3'\n"));
  ASSERT_TRUE(os::write_file(dir.path() / "more.txt", "ferryother\n./local\n"));
  ASSERT_TRUE(os::make_dirs(dir.path() / "local"));
  ASSERT_TRUE(os::write_file(dir.path() / "local/setup.py", ""));
  task::Task task;
  task.run = "python train.py";
  task.resources.infra = task::Infra{.provider = task::Provider::rehearsal};
  const auto all = [&](const std::string& cut_off) {
    const auto looked = preflight(task, dir.path(), {.cut_off = cut_off});
    return looked ? join(looked->warnings, "\n") : describe(looked.error());
  };
  const auto open = all("");
  EXPECT_EQ(open.find("is not on this computer"), open.npos) << open;
  EXPECT_THAT(open, testing::HasSubstr("train.py:2: nothing in the workdir provides torch.utils.tensorboard (no "
                                       "requirements.txt line, no setup; write  tensorboard  into one)"));
  const auto closed = all("nothing leads out");
  EXPECT_THAT(closed,
              testing::HasSubstr(
                  "more.txt:1: ferryother is not on this computer, and nothing leads out: pip cannot install it"));
  EXPECT_THAT(closed, testing::HasSubstr("requirements.txt:3: ferrynone>=2"));
  EXPECT_EQ(closed.find("local"), closed.npos) << closed;
  EXPECT_EQ(closed.find("train.py:1: ferrynone"), closed.npos) << "it is said once: " << closed;
  task.setup = "pip install x";
  EXPECT_THAT(all("nothing leads out"), testing::HasSubstr("setup installs packages, and nothing leads out"));
}

}  // namespace ferry::job
