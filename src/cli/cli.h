#pragma once
/// \file
/// Words in, words out: the command line of ferry.

#include <functional>
#include <string>
#include <string_view>

namespace ferry::cli {

/// The agent programs carried inside ferry, each as it is or packed (sync/packed.h); `agent("x86_64")` is empty where
/// there is none.
struct Carried {
  std::function<std::string_view(std::string_view arch)> agent;
};

/// Runs one command and returns the exit code: 0, the training's own, 2 for a mistake on the command line,
/// 125 when ferry itself failed (see `ferry run --help`).
int main(int argc, char** argv, const Carried& carried);

}  // namespace ferry::cli
