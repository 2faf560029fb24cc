#include "job/preflight.h"

#include <gtest/gtest.h>

namespace ferry::job {
namespace {

TEST(Preflight, ScriptsAreFoundBehindTheirInterpreters) {
  using V = std::vector<std::string>;
  EXPECT_EQ(scripts_in("python train.py --data x.py"), V{"train.py"});
  EXPECT_EQ(scripts_in("'python3' '-u' 'src/train.py'"), V{"src/train.py"});
  EXPECT_EQ(scripts_in("set -e\nbash prep.sh && torchrun --nproc-per-node 2 main.py | tee log"),
            (V{"prep.sh", "main.py"}));
  EXPECT_EQ(scripts_in("./go.sh"), V{"./go.sh"});
  EXPECT_EQ(scripts_in("# python old.py"), V{});
  EXPECT_EQ(scripts_in("python -m pkg.train config.py"), V{});
  EXPECT_EQ(scripts_in("cd sub\npython train.py"), V{});
  EXPECT_EQ(scripts_in("python $SCRIPT.py; python /abs/x.py"), V{});
  EXPECT_EQ(scripts_in("cat > made.py <<EOF\nx\nEOF\npython made.py"), V{});
}

TEST(Preflight, AScriptThatIsIgnoredOrMissingIsToldWithTheCure) {
  os::TempDir dir;
  task::Task task;
  task.run = "bash train.sh";
  ASSERT_TRUE(os::write_file(dir.path() / "tarin.sh", "true\n"));
  const auto missing = preflight(task, dir.path());
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.error().advice.find("tarin.sh"), std::string::npos);
  ASSERT_TRUE(os::write_file(dir.path() / "train.sh", "true\n"));
  EXPECT_TRUE(preflight(task, dir.path()));
  ASSERT_TRUE(os::write_file(dir.path() / ".gitignore", "train.sh\n"));
  const auto ignored = preflight(task, dir.path());
  ASSERT_FALSE(ignored);
  EXPECT_NE(ignored.error().why.find("ignore"), std::string::npos);
}

TEST(Preflight, AllThatIsWrongIsToldAtOnce) {
  os::TempDir dir;
  task::Task task;
  task.run = "bash prepare.sh\npython3 broken.py\npython3 ../outside.py --data lost/data.csv";
  task.environment.kind = "docker";
  ASSERT_TRUE(os::write_file(dir.path() / "broken.py", "def f(:\n"));
  const auto checked = preflight(task, dir.path());
  ASSERT_FALSE(checked);
  const auto text = describe(checked.error());
  for (const auto* part : {"docker needs an image", "does not exist: prepare.sh", "broken.py: ", "../outside.py"})
    EXPECT_NE(text.find(part), std::string::npos) << part << " in " << text;
}

}  // namespace
}  // namespace ferry::job
