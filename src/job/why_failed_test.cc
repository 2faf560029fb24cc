#include "job/why_failed.h"

#include <gtest/gtest.h>

namespace ferry::job::why_failed_test {
namespace {

TEST(WhyFailed, ACommandThatIsNotThereIsNamedWithTheNearest) {
  EXPECT_EQ(why_failed(127, "start\nbash: line 1: pyhton: command not found\n"),
            "pyhton: command not found; did you mean python?");
  EXPECT_EQ(why_failed(127, "sh: 1: torchrn: not found\n"), "torchrn: command not found; did you mean torchrun?");
  EXPECT_EQ(why_failed(127, "bash: line 3: zzyzx: command not found\nbye\n"),
            "zzyzx: command not found; setup has to install it");
  EXPECT_EQ(why_failed(127, "bash: line 1: ./train.sh: No such file or directory\n"),
            "./train.sh: command not found: no such file on the machine");
  EXPECT_EQ(why_failed(126, "bash: line 1: ./train.sh: Permission denied\n"),
            "./train.sh is not a program that may be run; chmod +x, or name its interpreter before it");
}

TEST(WhyFailed, NothingIsSaidAboutOtherCodesOrWithoutTheShellsWord) {
  EXPECT_EQ(why_failed(1, "bash: line 1: pyhton: command not found\n"), "");
  EXPECT_EQ(why_failed(127, "loss 0.3\n"), "");
  EXPECT_EQ(why_failed(127, ""), "");
}

}  // namespace
}  // namespace ferry::job::why_failed_test
