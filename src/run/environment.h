#pragma once
/// \file
/// The environment a training gets on its machine: found or made by environment.sh, which travels there.

#include <string>

#include "run/link.h"
#include "task/task.h"

namespace ferry::run {

struct Environment {
  std::string
      summary;  ///< "python 3.11.2 · torch 2.9.1 · CUDA 12.8 · driver 570.133"; empty: no Python there
  Json facts;   ///< what the machine said: python, program, packages, cuda, driver, gpus, made
  std::string activate;  ///< a line for setup's and the training's shell, before anything of theirs
};

/// Looks at what the machine and the workdir have, and installs what is asked for (cached by content). Run it
/// once the workdir is there. Shows what it does as it goes. Fails bad_input when what is asked for cannot be
/// had, with the tool's last words.
Result<Environment> prepare_environment(Doors& doors, Link& link, const task::Task& task);

/// For the training's shell on a machine that several runs may share: waits until `gpus` of its GPUs are free
/// (0, or a machine without GPUs: until the whole machine is), keeps them until the training ends, and sets
/// CUDA_VISIBLE_DEVICES.
std::string queue_line(int gpus);

/// One line of `facts`.
std::string describe_environment(const Json& facts);

}  // namespace ferry::run
