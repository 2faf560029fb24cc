#include "job/requirements.h"

#include <gtest/gtest.h>

#include "base/text.h"
#include "job/preflight.h"
#include "job/sent.h"
#include "job/shell_words.h"

namespace ferry::job {
namespace {

/// A workdir of some files.
using Map = std::map<std::string, std::string>;

class Files {
 public:
  explicit Files(const Map& files) {
    for (const auto& [name, text] : files) {
      EXPECT_TRUE(os::make_dirs((work() / name).parent_path()));
      EXPECT_TRUE(os::write_file(work() / name, text));
    }
  }
  os::Path work() const { return dir_.path() / "work"; }
  Result<Requirements> requirements(const std::string& kind = "auto", const std::string& setup = "") const {
    task::Task task;
    task.environment.kind = kind;
    task.setup = setup;
    return find_requirements(task, work(), *list_workdir(work(), false));
  }
  std::string file(const std::string& kind = "auto", const std::string& setup = "") const {
    const auto found = requirements(kind, setup);
    return found ? found->file : found.error().what;
  }

 private:
  os::TempDir dir_;
};

constexpr const char* build =
    "[build-system]\nrequires = [\"poetry-core\"]\nbuild-backend = \"poetry.core.masonry.api\"\n";

TEST(Requirements, TheFirstFileThatAsksForPackagesIsTheOneThatIsInstalled) {
  EXPECT_EQ(
      Files(Map{{"requirements.txt", "numpy\n"}, {"pyproject.toml", "[project]\ndependencies = [\"x\"]\n"}}).file(),
      "requirements.txt");
  EXPECT_EQ(Files(Map{{"uv.lock", ""}, {"requirements.txt", ""}}).file(), "uv.lock");
  EXPECT_EQ(Files(Map{{"uv.lock", ""}, {"requirements.txt", ""}}).file("venv"), "requirements.txt");
  EXPECT_EQ(Files(Map{{"requirements.txt", ""}, {"environment.yaml", ""}}).file("conda"), "environment.yaml");
  EXPECT_EQ(Files(Map{{"requirements.txt", ""}}).file("none"), "");
  EXPECT_EQ(Files(Map{{"requirements.txt", ""}}).file("auto", "pip install -r requirements.txt"), "");
  EXPECT_EQ(Files(Map{{"requirements.txt", ""}, {".ferryignore", "requirements.txt\n"}}).file(), "");
  EXPECT_EQ(Files(Map{{"pyproject.toml", "[project]\n  name = 'x'\n  dependencies = [\n  'numpy']\n"}}).file(),
            "pyproject.toml");
  EXPECT_EQ(Files(Map{{"pyproject.toml", "[tool.black]\nline-length = 100\n"}}).file(), "");
  EXPECT_EQ(Files(Map{{"setup.py", "setup(install_requires=['numpy'])"}}).file(), "setup.py");
  EXPECT_EQ(Files(Map{{"setup.py", "setup()"}, {"setup.cfg", "[options]\ninstall_requires =\n  numpy\n"}}).file(),
            "setup.py");
  EXPECT_EQ(Files(Map{{"setup.py", "setup()"}}).file(), "");
}

TEST(Requirements, PoetrysTableIsInstalledWherePipCanAndTheRestIsSaid) {
  const std::string table = "[tool.poetry]\nname = 'x'\n[tool.poetry.dependencies]\npython = '^3.11'\nnumpy = '*'\n";
  EXPECT_EQ(Files(Map{{"pyproject.toml", table + build}}).file(), "pyproject.toml");
  const Files no_build(Map{{"pyproject.toml", table}});
  EXPECT_EQ(no_build.file(), "");
  ASSERT_EQ(no_build.requirements()->notes.size(), 1U);
  EXPECT_NE(no_build.requirements()->notes[0].find("no [build-system]"), std::string::npos);
  const Files no_package(
      Map{{"pyproject.toml",
           "[tool.poetry]\npackage-mode = false\n[tool.poetry.dependencies]\nnumpy = '*'\n" + std::string(build)}});
  EXPECT_EQ(no_package.file(), "");
  EXPECT_NE(no_package.requirements()->notes[0].find("package-mode"), std::string::npos);
  EXPECT_NE(Files(Map{{"Pipfile", "[packages]\nnumpy = '*'\n"}}).requirements()->notes[0].find("Pipfile"),
            std::string::npos);
}

TEST(Requirements, OnlyWhatIsInstalledCountsAsProvided) {
  const auto warned = [](std::map<std::string, std::string> files, const std::string& setup = "") {
    files["train.py"] = "import wandb\n";
    const Files here(files);
    task::Task task;
    task.run = "python train.py";
    task.setup = setup;
    const auto checked = preflight(task, here.work());
    EXPECT_TRUE(checked) << describe(checked.error());
    return checked && join(checked->warnings, "\n").find("nothing in the workdir provides wandb") != std::string::npos;
  };
  EXPECT_TRUE(warned({}));
  EXPECT_FALSE(warned({{"requirements.txt", "-r more/base.txt\n"}, {"more/base.txt", "wandb\n"}}));
  EXPECT_TRUE(warned({{"requirements.txt", "numpy\n"}, {"pyproject.toml", "[project]\ndependencies = ['wandb']\n"}}));
  EXPECT_TRUE(warned({{"Pipfile", "[packages]\nwandb = '*'\n"}}));
  EXPECT_FALSE(warned({{"Pipfile", "[packages]\nwandb = '*'\n"}}, "pipenv install --system"));
  EXPECT_FALSE(warned({{"setup.py", "setup(install_requires=['wandb'])\n"}}));
}

TEST(Requirements, ALineThatNamesWhatWouldNotBeThereIsRefusedWithItsPlace) {
  const auto refused = [](const std::string& text, std::map<std::string, std::string> more = {}) {
    more["requirements.txt"] = text;
    const Files here(more);
    const auto found = here.requirements();
    return found ? std::string("passed") : found.error().what + " / " + found.error().why;
  };
  EXPECT_EQ(refused("numpy\npandas @ file:///croot/pandas_1/work\n"),
            "requirements.txt:2:10: file:///croot/pandas_1/work would not be on the machine / it is a path of this "
            "computer, as `pip freeze` writes it under conda");
  EXPECT_EQ(refused("./custom.whl\n"),
            "requirements.txt:1:1: ./custom.whl would not be on the machine / there is no "
            "such file or folder in the workdir");
  EXPECT_EQ(refused("-r ../outside.txt\n"),
            "requirements.txt:1:4: ../outside.txt would not be on the machine / it "
            "lies outside the workdir, and only the workdir is sent");
  EXPECT_EQ(refused("./custom.whl\n", {{"custom.whl", "x"}, {".gitignore", "*.whl\n"}}),
            "requirements.txt:1:1: ./custom.whl would not be on the machine / left out by .gitignore: *.whl");
  EXPECT_EQ(refused("-r sub/more.txt\n", {{"sub/more.txt", "  /abs/x.whl\n"}}),
            "sub/more.txt:1:3: /abs/x.whl would not be on the machine / it is a path of this computer, as `pip "
            "freeze` writes it under conda");
  for (const char* fine :
       {"./custom.whl[all] ; python_version > '3'\n", "-r sub/more.txt\n-c sub/more.txt\n", "-e .\n", ".\n", ".[dev]\n",
        "numpy>=1.0 # ./no.whl\n", "git+https://h/x.git@main\n", "x @ https://h/x.whl\n",
        "--extra-index-url https://h/\n", "./win.whl ; sys_platform == 'win32'\n", "-f https://h/wheels\n",
        "x @ file:custom.whl\n", "# -r ../no.txt\n"})
    EXPECT_EQ(refused(fine, {{"custom.whl", "x"}, {"sub/more.txt", "numpy\n"}}), "passed") << fine;
}

TEST(Requirements, AScriptThatSaysItsPackagesIsAskedWhereNoFileIsThere) {
  const std::string block = "# /// script\n# dependencies = [\n#   'rich',\n# ]\n# ///\nimport rich\nimport polars\n";
  const auto found = [&](const Map& files, const std::string& kind = "auto") {
    const Files here(files);
    task::Task task;
    task.run = "python3 train.py";
    task.environment.kind = kind;
    return find_requirements(task, here.work(), *list_workdir(here.work(), false))->file;
  };
  EXPECT_EQ(found({{"train.py", block}}), "train.py");
  EXPECT_EQ(found({{"train.py", "#!/usr/bin/env python3\n" + block}}), "train.py");
  EXPECT_EQ(found({{"train.py", block}, {"requirements.txt", "rich\n"}}), "requirements.txt");
  EXPECT_EQ(found({{"train.py", block}}, "none"), "");
  EXPECT_EQ(found({{"train.py", "# /// script\n# dependencies = []\n# ///\n"}}), "");
  EXPECT_EQ(found({{"train.py", "# dependencies = ['rich']\n"}}), "");
  const Files here(Map{{"train.py", block}});
  task::Task task;
  task.run = "python3 train.py";
  const auto looked = preflight(task, here.work());
  ASSERT_TRUE(looked) << describe(looked.error());
  const auto told = join(looked->warnings, "\n");
  EXPECT_NE(told.find("provides polars"), told.npos) << told;
  EXPECT_EQ(told.find("provides rich"), told.npos) << told;
}

TEST(Requirements, WhatATaskInstallsWithIsSeenInItsTextsAndScripts) {
  const std::pair<const char*, const char*> texts[] = {
      {"pip install a", "pip"},
      {"python3 -m pip install -r r.txt && python x.py", "pip"},
      {"if [ ! -d x ]; then pip3 install a; fi", "pip"},
      {"pip list; echo pip install", ""},
      {"uv pip install a", "pip"},
      {"uv venv && uv pip install a", ""},
      {"python -m venv v && v/bin/pip install a && pip install b", ""},
      {"conda activate x", "conda"},
      {"source activate x\npip install a", "pip conda"},
      {"# conda activate x\necho conda", ""},
      {"command -v conda || bash Miniconda3-latest.sh -b\nconda activate x", ""},
      {"! mamba env create -f e.yml", "conda"}};
  for (const auto& [text, installers] : texts) EXPECT_EQ(installers_in(text), installers) << text;
  const Files here(Map{{"go.sh", "conda activate x\n"}});
  task::Task task;
  task.run = "bash go.sh";
  EXPECT_EQ(find_requirements(task, here.work(), *list_workdir(here.work(), false))->installers, "conda");
}

TEST(Preflight, WhetherCondaWillBeThereIsSaidBeforeAnythingIsRented) {
  const Files here(Map{{"x", ""}});
  task::Task task;
  task.run = "conda activate x";
  const auto told = [&] { return join(preflight(task, here.work())->warnings, "\n"); };
  EXPECT_NE(told().find("AWS's images have none any more: Miniforge is installed"), std::string::npos) << told();
  task.resources.image.amis[""] = "ami-0123456789abcdef0";
  EXPECT_NE(told().find("where your image has none"), std::string::npos) << told();
  task.resources.infra = task::Infra{.provider = task::Provider::ssh, .host = "box"};
  EXPECT_NE(told().find("your machine must have it"), std::string::npos) << told();
  task.environment = {.kind = "docker", .name = "a/b", .file = {}};
  EXPECT_NE(told().find("the image must have it"), std::string::npos) << told();
  task.run = "echo";
  task.environment = {};
  EXPECT_EQ(told().find("conda"), std::string::npos) << told();
}

TEST(Preflight, AScriptWithWindowsLineEndsIsRefusedWhereLinuxCannotRunIt) {
  const Files here(
      Map{{"c.sh", "#!/bin/bash\r\necho\r\n"}, {"t.py", "print(1)\r\n"}, {"p.py", "#!/usr/bin/env python3\r\n"}});
  const auto what = [&](const std::string& run) {
    task::Task task;
    task.run = run;
    const auto checked = preflight(task, here.work());
    return checked ? std::string("passed") : checked.error().what + " / " + checked.error().why;
  };
  EXPECT_EQ(what("./c.sh"),
            "the script that run names has Windows line ends: ./c.sh / Linux looks for a program "
            "called '/bin/bash\\x0d'");
  EXPECT_NE(what("bash c.sh").find("Windows line ends"), std::string::npos);
  EXPECT_NE(what("./p.py").find("Windows line ends"), std::string::npos);
  EXPECT_EQ(what("python t.py"), "passed");
}

TEST(Preflight, ASetupThatGoesOnAfterAFailureIsSaid) {
  const Files here(Map{{"x", ""}});
  const auto said = [&](const std::string& setup) {
    task::Task task;
    task.run = "true";
    task.setup = setup;
    return join(preflight(task, here.work())->warnings, "\n").find("no `set -e`") != std::string::npos;
  };
  EXPECT_TRUE(said("apt-get install x\nmake\n"));
  for (const char* fine :
       {"", "make\n", "set -e\na\nb\n", "set -euo pipefail\na\nb\n", "a && \\\n  b\n", "# two\nmake\n"})
    EXPECT_FALSE(said(fine)) << fine;
}

TEST(Preflight, AnOutputThatCanMatchNothingIsRefusedBeforeAnythingIsRented) {
  task::Task task;
  for (const char* fine : {"lo[gs]/", "*.pt", "a{b}", "outputs/"}) {
    task.outputs = {fine};
    EXPECT_TRUE(check_outputs(task)) << fine;
  }
  for (const char* bad : {"lo[gs/", "m.{pt,onnx}", "../x"}) {
    task.outputs = {bad};
    EXPECT_FALSE(check_outputs(task)) << bad;
  }
}

}  // namespace
}  // namespace ferry::job
