#include "task/old_names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ferry::task::old_names_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

NamedImage named(std::string_view written) {
  const auto found = named_image(written);
  if (!found || !*found) ADD_FAILURE() << written << " is not understood";
  return found && *found ? **found : NamedImage{};
}

TEST(OldNames, ImagesOfOldArticlesAreTodaysForWhatTheTrainingImports) {
  for (const char* name :
       {"Deep Learning AMI (Amazon Linux)", "Deep Learning AMI (Amazon Linux) Version 26.0",
        "Deep Learning AMI (Amazon Linux 2) Version 61.3", "deep learning ami (ubuntu 18.04) version 43.0",
        "Deep Learning AMI with Conda", "Conda", "DLAMI"}) {
    const auto image = named(name);
    EXPECT_EQ(image.image.flavour, "") << name;
    EXPECT_EQ(image.image.system, "") << name;
    EXPECT_THAT(image.note, HasSubstr("no longer published")) << name;
  }
  EXPECT_EQ(named("Deep Learning Base AMI (Amazon Linux 2) Version 53").image.flavour, "base");
  const auto old = named("Deep Learning AMI GPU PyTorch 1.13.1 (Amazon Linux 2) 20221114");
  EXPECT_EQ(old.image.flavour, "pytorch");
  EXPECT_EQ(old.image.version, "");
  EXPECT_THAT(old.note, HasSubstr("today's pytorch image"));
}

TEST(OldNames, ImagesByTheNameThatAwsGivesThemToday) {
  const auto image = named("Deep Learning OSS Nvidia Driver AMI GPU PyTorch 2.11 (Ubuntu 24.04) 20261009");
  EXPECT_EQ(image.image.flavour, "pytorch");
  EXPECT_EQ(image.image.version, "2.11");
  EXPECT_EQ(image.image.system, "ubuntu-24.04");
  EXPECT_EQ(image.note, "");
  EXPECT_EQ(named("Deep Learning Base OSS Nvidia Driver GPU AMI (Amazon Linux 2023)").image.system,
            "amazon-linux-2023");
}

TEST(OldNames, ImagesByShortNamesWithVersionAndSystem) {
  EXPECT_EQ(named("pytorch").image.flavour, "pytorch");
  EXPECT_EQ(named("pytorch-2.10").image.version, "2.10");
  EXPECT_EQ(named("pytorch-2.10-ubuntu-24.04").image.system, "ubuntu-24.04");
  EXPECT_EQ(named("base-ubuntu-22.04").image.system, "ubuntu-22.04");
  EXPECT_EQ(named("Amazon-Linux").image.system, "amazon-linux-2023");
  EXPECT_THAT(named("tensorflow").note, HasSubstr("installed on it"));
  for (const char* name : {"pytorch2", "pytorch-", "base-2.10", "base-windows", "debian", "projects/deep/image"})
    EXPECT_FALSE(named_image(name).value()) << name;
  EXPECT_EQ(named_image("Deep Learning AMI (Windows 2016)").error().kind, Kind::unsupported);
}

TEST(OldNames, EnvironmentsThatOnlyOldImagesHad) {
  for (const char* name : {"tensorflow_p36", "tensorflow_p27", "tensorflow2_p310", "pytorch_p310", "mxnet_p36",
                           "pytorch_latest_p37", "tensorflow2_latest_p37", "aws_neuron_pytorch_p36",
                           "amazonei_mxnet_p36", "chainer_p36", "theano_p27", "pytorch", "python3"})
    EXPECT_TRUE(is_aws_environment(name)) << name;
  for (const char* name : {"mine", "my_p36", "tensorflow_p", "tensorflow_p3x", "base", "", "pytorch_new"})
    EXPECT_FALSE(is_aws_environment(name)) << name;
}

TEST(OldNames, TheirActivationIsLeftOutOfSetupAndRun) {
  Task task;
  task.setup = "source activate tensorflow_p36\npip install tqdm\n";
  task.run = "source activate tensorflow_p36 && python train.py; conda activate 'pytorch_p310' # old\necho done";
  const auto notes = leave_out_old_environments(task);
  EXPECT_EQ(task.setup, ":\npip install tqdm\n");
  EXPECT_EQ(task.run, ": && python train.py; : # old\necho done");
  ASSERT_EQ(notes.size(), 2U);
  EXPECT_THAT(notes[0], HasSubstr("source activate tensorflow_p36: left out"));
  EXPECT_THAT(notes[0], HasSubstr("TensorFlow 1"));
  EXPECT_THAT(notes[1], HasSubstr("pytorch_p310"));
  task = {.run = ". ~/anaconda3/bin/activate mxnet_p36\npython train.py"};
  EXPECT_THAT(leave_out_old_environments(task), ElementsAre(HasSubstr("requirements.txt")));
  EXPECT_EQ(task.run, ":\npython train.py");
}

TEST(OldNames, AnEnvironmentOfOnesOwnStays) {
  for (const char* run : {"source activate mine && python train.py", "source venv/bin/activate\npython train.py",
                          "conda create -n pytorch python=3.12\nconda activate pytorch\npython train.py",
                          "echo source activate tensorflow_p36", "python activate tensorflow_p36"}) {
    Task task{.run = run};
    EXPECT_THAT(leave_out_old_environments(task), IsEmpty()) << run;
    EXPECT_EQ(task.run, run);
  }
  Task own{.run = "source activate pytorch_p310 && python train.py"};
  own.resources.image.amis[""] = "ami-0123456789abcdef0";
  EXPECT_THAT(leave_out_old_environments(own), IsEmpty());
  Task host{.run = "source activate pytorch_p310 && python train.py"};
  host.resources.infra = Infra{.provider = Provider::ssh, .host = "box"};
  EXPECT_THAT(leave_out_old_environments(host), IsEmpty());
}

TEST(OldNames, TheFieldEnvironmentIsReadTheSameWay) {
  auto task = parse_task("environment: {kind: conda, name: tensorflow2_p310}\nrun: python train.py\n", "t.yaml");
  ASSERT_TRUE(task) << describe(task.error());
  EXPECT_THAT(leave_out_old_environments(*task), ElementsAre(HasSubstr("environment: tensorflow2_p310: left out")));
  EXPECT_EQ(task->environment.kind, "auto");
}

TEST(OldNames, ATaskFileMayNameAnOldImage) {
  const auto task =
      parse_task("resources:\n  image_id: Deep Learning AMI (Amazon Linux)\nrun: python t.py\n", "t.yaml");
  ASSERT_TRUE(task) << describe(task.error());
  EXPECT_THAT(task->not_yet, ElementsAre(HasSubstr("t.yaml:2: image_id: 'Deep Learning AMI (Amazon Linux)' was")));
}

TEST(OldNames, LinesOfAScriptThatChooseThemAreFound) {
  EXPECT_THAT(old_activations("#!/bin/bash\ncd x\nsource activate tensorflow_p36\npython train.py\n"),
              ElementsAre(std::pair<std::size_t, std::string>(3, "source activate tensorflow_p36")));
}

TEST(OldNames, AnImageWithATagIsAContainerWithOrWithoutARegistry) {
  for (const char* image :
       {"ubuntu:22.04", "python:3.12-slim", "pytorch/pytorch:latest", "ghcr.io/a/b", "localhost:5000/x"})
    EXPECT_EQ(container_named(image), image);
  EXPECT_EQ(container_named("docker:x"), "x");
  for (const char* other : {"ubuntu", "ami-0123", "pytorch", ":x", "x:", "My Image: 3", "Upper:1", ""})
    EXPECT_EQ(container_named(other), "") << other;
}

}  // namespace
}  // namespace ferry::task::old_names_test
