#pragma once
/// \file
/// Where on this computer the things are that a task names: from the caller's folder, or beside the task's file.

#include "os/file.h"
#include "task/task.h"

namespace ferry::cli {

/// The task file that `path` means: itself, or task.yaml (ferry.yaml) in that folder. Fails not_found.
Result<os::Path> task_file(const std::string& path);

os::Path absolute_path(const os::Path& path);

/// The task's folder where it says none; a relative workdir is looked for from here, then beside the task
/// file.
os::Path find_workdir(const task::Task& task, const os::Path& file);

/// Where a mount's source is: as with a workdir, from the caller's folder, then beside the task file.
void find_sources(task::Task& task, const os::Path& file);

/// The same of a repository that is a folder of this computer. Fails bad_input where there is none, and it is no
/// address either.
Status find_repository(task::GitSource& git, const os::Path& file);

}  // namespace ferry::cli
