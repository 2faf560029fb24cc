// main() of every test program.
#include <gtest/gtest.h>

#include <cstdlib>

int main(int argc, char** argv) {
  // A coding agent that runs the tests gets the same as everybody (os/env.h).
  for (const char* name : {"AI_AGENT", "CLAUDECODE", "CODEX_SANDBOX", "CURSOR_AGENT", "GEMINI_CLI"}) ::unsetenv(name);
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
