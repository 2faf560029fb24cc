#include "job/environment.h"

#include <gtest/gtest.h>

#include <functional>

#include "job/preflight.h"

namespace ferry::job {
namespace {

TEST(Environment, OneLineTellsPythonWhatWasMadeAndTheScratchDisk) {
  Json facts = {{"python", "3.11.2"}, {"packages", {{"torch", "2.9.1"}}}, {"made", "Dockerfile built"}};
  facts["scratch"] = {{"folder", "/mnt/ferry-scratch"}, {"bytes", 250'000'000'000}};
  EXPECT_EQ(describe_environment(facts),
            "python 3.11.2 · torch 2.9.1 · Dockerfile built · scratch 250 GB at /mnt/ferry-scratch");
  facts["scratch"]["bytes"] = 0;  // a folder on the root disk is nothing special
  facts["python"] = "";
  EXPECT_EQ(describe_environment(facts), "torch 2.9.1 · Dockerfile built");
  EXPECT_EQ(describe_environment(Json::object()), "");
}

TEST(Environment, OnlyInAContainerAreScriptsHandedOnWhole) {
  Environment made{.activate = ". env.sh\n"};
  EXPECT_EQ(made.setup("a\nb"), ". env.sh\na\nb");
  EXPECT_EQ(made.training("a\nb"), ". env.sh\na\nb");
  made.container = true;
  EXPECT_EQ(made.setup("it's"), ". env.sh\nferry_inside 'it'\\''s'\n");
  EXPECT_EQ(made.training("run"), ". env.sh\nferry_inside 'run' last\n");
}

TEST(Preflight, WhatLinuxWouldNotStartIsRefusedBeforeAnythingIsRented) {
  task::Task task;
  task.run = "python train.py";
  task.envs = {{"DATA", std::string(131'072 - 6, 'x')}};  // with DATA= and its end all that fits
  EXPECT_TRUE(check_start(task));
  task.envs["DATA"] += "x";
  auto checked = check_start(task);
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().kind, Kind::bad_input);
  EXPECT_EQ(checked.error().what, "the variable DATA is too large: 131067 bytes");
  task.envs.clear();
  task.secrets = {{"TOKEN", std::string(140'000, 'x')}};
  checked = check_start(task);
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().what, "the secret TOKEN is too large: 140000 bytes");

  task.secrets.clear();
  for (int each = 0; each < 15; ++each) task.envs["PART" + std::to_string(each)] = std::string(120'000, 'x');
  EXPECT_TRUE(check_start(task));
  for (int each = 15; each < 20; ++each) task.secrets["PART" + std::to_string(each)] = std::string(120'000, 'x');
  checked = check_start(task);
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().why, "Linux starts no program with more than 2 MiB of variables and arguments");
}

TEST(Preflight, WhatTheAgentWouldRefuseIsRefusedBeforeAnythingIsRented) {
  task::Task good;
  good.run = "# " + std::string(1'500'000, 'x');  // a long script travels as a file
  EXPECT_TRUE(check_start(good));
  for (const auto& spoil : std::vector<std::function<void(task::Task&)>>{
           [](task::Task& task) { task.setup = "# " + std::string(4'000'000, 'x'); },
           [](task::Task& task) { task.run = std::string("a\0b", 3); },
           [](task::Task& task) {
             task.envs = {{"A", std::string("a\0b", 3)}};
           },
           [](task::Task& task) {
             task.envs = {{"A=B", "c"}};
           },
           [](task::Task& task) {
             task.envs = {{"A", "\xe9"}};
           },
           [](task::Task& task) { task.run = "echo \xe9"; }}) {
    auto task = good;
    spoil(task);
    const auto checked = check_start(task);
    ASSERT_FALSE(checked);
    EXPECT_EQ(checked.error().kind, Kind::bad_input);
  }
}

TEST(Preflight, AContainerNeedsAnImageOrADockerfileThatIsSent) {
  os::TempDir dir;
  ASSERT_TRUE(os::write_file(dir.path() / "train.py", "import unheard_of\n"));
  task::Task task;
  task.run = "python train.py";
  task.environment.kind = "docker";
  auto checked = preflight(task, dir.path());
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().what, "environment: docker needs an image or a Dockerfile");

  ASSERT_TRUE(os::write_file(dir.path() / "Dockerfile.gpu", "FROM x\n"));
  task.environment.file = "./Dockerfile.gpi";
  checked = preflight(task, dir.path());
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().advice, "did you mean Dockerfile.gpu?");

  task.environment.file = "./Dockerfile.gpu";
  checked = preflight(task, dir.path());
  ASSERT_TRUE(checked);
  EXPECT_TRUE(checked->warnings.empty()) << checked->warnings[0];  // what it imports, the image may have

  ASSERT_TRUE(os::write_file(dir.path() / ".ferryignore", "Dockerfile*\n"));
  checked = preflight(task, dir.path());
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().what, "the Dockerfile would not be sent: Dockerfile.gpu");

  task.environment.name = "image";
  checked = preflight(task, dir.path());
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().what, "environment: docker takes an image or a Dockerfile, not both");
  task.environment.file = "";
  EXPECT_TRUE(preflight(task, dir.path()));
}

}  // namespace
}  // namespace ferry::job
