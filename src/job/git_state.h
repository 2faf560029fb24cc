#pragma once
/// \file
/// Which commit a workdir is at.

#include "base/json.h"
#include "os/file.h"

namespace ferry::job {

/// {"commit": 40 hex digits, "branch": name (absent: none), "dirty": whether a tracked file of the workdir is
/// another one than there (absent: git did not say in time)}; null outside of a repository, before its first
/// commit, and where git is not on this computer.
Json git_state(const os::Path& workdir);

}  // namespace ferry::job
