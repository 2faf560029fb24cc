#pragma once
/// \file
/// For tests only: the test program itself as the one that serves a machine's streams. To be included by one file of a
/// test program.

#include <unistd.h>

#include <cstdlib>
#include <string>

#include "base/text.h"
#include "mux/join.h"
#include "mux/server.h"
#include "os/file.h"
#include "os/process.h"

namespace ferry::mux {

inline constexpr const char* serves_streams = "FERRY_TEST_SERVES_STREAMS";

/// A script that is this test program in that role.
inline std::string serving_script() {
  return fmt::format("#!/bin/sh\n{}=1 exec {} \"$@\"\n", serves_streams, shell_quoted(os::self_program().string()));
}

/// Before main(): what is asked for by the script is done, and the process ends.
inline const bool has_served = [] {
  if (std::getenv(serves_streams) == nullptr) return false;
  ::unsetenv(serves_streams);
  // Its words are not main()'s yet.
  const auto words = split(os::read_file("/proc/self/cmdline").value_or(""), '\0');
  const bool is_link = words.size() > 2 && words[1] == "mux-join";
  ::_exit((is_link ? join(words[2], STDIN_FILENO, STDOUT_FILENO) : serve(STDIN_FILENO, STDOUT_FILENO)) ? 0 : 1);
}();

}  // namespace ferry::mux
