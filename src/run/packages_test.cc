#include "run/packages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ferry::run {

TEST(Packages, AModuleLeadsToThePackageThatBringsIt) {
  const std::pair<const char*, const char*> known[] = {{"sklearn", "scikit-learn"}, {"PIL.Image", "pillow"}, {"yaml", "pyyaml"},
                                                       {"torch.utils.tensorboard.writer", "tensorboard"}, {"torch.utils.data", "torch"},
                                                       {"google.protobuf", "protobuf"}, {"google.cloud.storage", "google-cloud-storage"},
                                                       {"wandb", "wandb"}, {"a.b.c", "a"}};
  for (const auto& [module, package] : known) EXPECT_EQ(packages_of(module)[0], package) << module;
  EXPECT_THAT(packages_of("cv2"), testing::Contains("opencv-python"));
  EXPECT_THAT(package_table(), testing::HasSubstr("\ntorch.utils.tensorboard tensorboard"));
}

TEST(Packages, WhatATrainingLackedIsSaidInItsLastLines) {
  const auto lacked = [](const std::string& text) {
    const auto found = lacking_in(text);
    return found ? found->module + ">" + found->package : "";
  };
  EXPECT_EQ(lacked("Traceback (most recent call last):\n  File \"train.py\", line 1\nModuleNotFoundError: No module named 'cv2'\n"), "cv2>opencv-python-headless");
  EXPECT_EQ(lacked("[rank0]: ModuleNotFoundError: No module named 'sklearn.utils'\nE0101 launcher failed\n"), "sklearn.utils>scikit-learn");
  EXPECT_EQ(lacked("ImportError: Missing optional dependency 'pyarrow'.  Use pip"), ">pyarrow");
  EXPECT_EQ(lacked("ImportError: Using the `Trainer` with `PyTorch` requires `accelerate>=0.26.0`: Please run"), ">accelerate");
  for (const char* other : {"", "ImportError: cannot import name 'x' from 'y'", "ModuleNotFoundError: No module named 'a; rm -rf /'",
                            "ModuleNotFoundError: No module named ''", "No module named 'x'"})
    EXPECT_EQ(lacked(other), "") << other;
  EXPECT_EQ(lacked("ModuleNotFoundError: No module named 'early'\n" + std::string(100, '\n') + "x\n" + [] {
              std::string many;
              for (int i = 0; i < 50; ++i) many += "epoch\n";
              return many;
            }()), "") << "it went on after that";
}

}  // namespace ferry::run
