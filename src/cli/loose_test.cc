#include "cli/loose.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "base/text.h"
#include "os/process.h"

namespace ferry::cli {
namespace {

/// In a folder of its own, with run's options as they are by kind.
class Loose : public testing::Test {
 protected:
  Loose() {
    std::filesystem::current_path(dir.path());
    run->add_option("task", task);
    run->add_option("-n,--name", text);
    run->add_option("--gpus", text);
    run->add_option("-w,--workdir", text);
    run->add_option("-e,--env", list)->allow_extra_args(false);
    run->add_flag("-y,--yes", flag);
    app.add_option("--profile", text);
  }
  ~Loose() override { std::filesystem::current_path(before); }
  Loose(const Loose&) = delete;
  Loose& operator=(const Loose&) = delete;
  void file(const std::string& name) { ASSERT_TRUE(os::write_file(dir.path() / name, "x\n")); }
  std::string put(std::vector<std::string> words, std::string* told = nullptr) {
    const auto line = put_dashes(app, *run, words);
    if (told) *told = line.value_or("");
    return line ? join(words, " ") : "";
  }
  os::Path before = std::filesystem::current_path();
  os::TempDir dir;
  CLI::App app{"", "ferry"};
  CLI::App* run = app.add_subcommand("run", "");
  std::string task, text;
  std::vector<std::string> list;
  bool flag = false;
};

TEST_F(Loose, ACommandGetsItsDashesBehindFerrysOwnOptions) {
  std::string told;
  EXPECT_EQ(put({"python", "train.py", "--name", "x"}, &told), "-- python train.py --name x");
  EXPECT_EQ(told, "a command stands behind --:  ferry run -- python train.py --name x");
  EXPECT_EQ(put({"--gpus", "A10G", "-e", "A=b", "-y", "torchrun", "a b.py"}, &told),
            "--gpus A10G -e A=b -y -- torchrun a b.py");
  EXPECT_TRUE(told.ends_with("-- torchrun 'a b.py'")) << told;
  EXPECT_EQ(put({"--gpus=A10G", "--profile", "p", "bash", "-c", "x"}), "--gpus=A10G --profile p -- bash -c x");
  for (const std::vector<std::string>& fine : {std::vector<std::string>{"--", "python", "x"},
                                               {"task.yaml"},
                                               {"--gpus", "A10G"},
                                               {"examples/digits"},
                                               {"-"},
                                               {}})
    EXPECT_EQ(put(fine), "") << join(fine, " ");
}

TEST_F(Loose, ALineInQuotesAndAModuleAreCommandsToo) {
  EXPECT_EQ(put({"-y", "python train.py --lr 1"}), "-y -- python train.py --lr 1");
  EXPECT_EQ(put({"--gpus", "T4", "-m", "pkg.train", "--name", "x"}), "--gpus T4 -- python3 -m pkg.train --name x");
  EXPECT_EQ(put({"-m"}), "");
  EXPECT_EQ(put({"no program"}), "");
}

TEST_F(Loose, AScriptWithoutAnEndingGoesByItsFirstLine) {
  for (const auto& [line, interpreter] :
       {std::pair("#!/bin/bash\n#SBATCH --time=1:00:00\n", "bash"), std::pair("#!/usr/bin/env python3\n", "python3"),
        std::pair("#!/bin/sh -e\n", "bash")}) {
    ASSERT_TRUE(os::write_file(dir.path() / "job", line));
    EXPECT_EQ(put({"job", "3"}), std::string("-- ") + interpreter + " job 3");
  }
  ASSERT_TRUE(os::write_file(dir.path() / "job", "run: x\n"));
  EXPECT_EQ(put({"job"}), "");
}

TEST_F(Loose, NothingIsTakenOutOfAPipeThatIsATaskFile) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ASSERT_EQ(::write(ends[1], "#!/bin/sh", 9), 9);
  EXPECT_EQ(put({"/dev/fd/" + std::to_string(ends[0])}), "");
  char left[16];
  EXPECT_EQ(::read(ends[0], left, sizeof left), 9);
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_F(Loose, ForSshTheCommandStandsBehindTheRun) {
  const auto put_ssh = [&](std::vector<std::string> words) {
    return put_dashes_behind_run(app, *run, words) ? join(words, " ") : "";
  };
  EXPECT_EQ(put_ssh({"digits", "nvidia-smi", "-l"}), "digits -- nvidia-smi -l");
  EXPECT_EQ(put_ssh({"--profile", "p", "digits", "ls"}), "--profile p digits -- ls");
  for (const std::vector<std::string>& fine :
       {std::vector<std::string>{"digits"}, {"digits", "--", "ls"}, {"digits", "--json"}, {}})
    EXPECT_EQ(put_ssh(fine), "") << join(fine, " ");
}

TEST_F(Loose, AScriptIsRunByItsInterpreterAndOptionsOfFerrysStayFerrys) {
  file("model.py");
  file("go.sh");
  std::string told;
  EXPECT_EQ(put({"model.py", "--epochs", "3", "--gpus", "A10G", "--yes"}, &told),
            "--gpus A10G --yes -- python3 model.py --epochs 3");
  EXPECT_EQ(told, "a script is run:  ferry run --gpus A10G --yes -- python3 model.py --epochs 3");
  EXPECT_EQ(put({"-y", "go.sh", "--", "--name", "x"}), "-y -- bash go.sh --name x");
  EXPECT_EQ(put({"./model.py"}), "-- python3 model.py");
  const auto far = (dir.path() / "model.py").string();
  EXPECT_EQ(put({far}), "--workdir " + dir.path().string() + " -- python3 model.py");
  EXPECT_EQ(put({"-w", ".", far}), "-w . -- python3 " + far);
  EXPECT_EQ(put({"missing.py"}), "");
}

TEST_F(Loose, ANotebookIsExecutedAndComesHome) {
  file("train.ipynb");
  std::string told;
  const auto words = put({"train.ipynb", "--gpus", "T4"}, &told);
  EXPECT_TRUE(words.starts_with("--gpus T4 -- mkdir -p outputs\n")) << words;
  EXPECT_NE(words.find("papermill -k python3 --log-output 'train.ipynb' outputs/'train.ipynb'"), words.npos) << words;
  EXPECT_NE(told.find("comes home as outputs/train.ipynb"), told.npos) << told;
}

TEST_F(Loose, ANotebookIsExecutedByWhatIsThereAndTheRestIsInstalled) {
  file("sub dir.ipynb");
  const auto bin = dir.path() / "bin";
  ASSERT_TRUE(os::make_dirs(bin));
  const auto program = [&](const char* name, const std::string& body) {
    ASSERT_TRUE(os::write_file(bin / name, "#!/bin/sh\n" + body + "\n"));
    std::filesystem::permissions(bin / name, std::filesystem::perms::all);
  };
  const auto run_it = [&] {
    os::SpawnOptions options;
    options.argv = {"/bin/sh", "-c", *command_for("sub dir.ipynb")};
    options.env = {{"PATH", bin.string()}};
    options.cwd = dir.path();
    const auto done = os::run_command(options, {}, Millis(20'000));
    return done ? fmt::format("{} {}", done->exit.code, done->out) : done.error().what;
  };
  program("mkdir", "exec /bin/mkdir \"$@\"");
  program("python3", "[ \"$1\" != -c ] || exit 1; echo \"python3 $*\"");
  EXPECT_EQ(run_it(),
            "0 python3 -m pip install -q nbconvert ipykernel\n"
            "python3 -m nbconvert --to notebook --execute --ExecutePreprocessor.kernel_name=python3 --output-dir "
            "outputs sub dir.ipynb\n");
  program("python3", "[ \"$2\" != pip ] || exit 3; [ \"$1\" = -m ]");
  EXPECT_EQ(run_it(), "3 ");
  program("papermill", "echo \"papermill $*\"; exit 7");
  EXPECT_EQ(run_it(), "7 papermill -k python3 --log-output sub dir.ipynb outputs/sub dir.ipynb\n");
}

TEST_F(Loose, OfAFolderTheScriptIsTakenThatCannotBeAnother) {
  EXPECT_EQ(lone_script("."), std::nullopt);
  file("a.py");
  file("setup.py");
  EXPECT_EQ(lone_script("."), "a.py");
  file("b.ipynb");
  EXPECT_EQ(lone_script("."), std::nullopt);
  file("train.py");
  EXPECT_EQ(lone_script("."), "train.py");
}

}  // namespace
}  // namespace ferry::cli
