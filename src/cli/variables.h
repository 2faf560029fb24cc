#pragma once
/// \file
/// The variables and secrets of a task: from flags, files of KEY=VALUE lines, and the environment.

#include "cli/task_options.h"

namespace ferry::cli {

/// Lays what the options say over the task's own; what is left open there is taken from the environment, and stays
/// in missing_envs or missing_secrets where that has none. All that fails is a mistake on the command line.
Status lay_variables(const TaskOptions& options, task::Task& task);

}  // namespace ferry::cli
