#pragma once
/// \file
/// A workdir that is a git repository: one commit of it, cloned on this computer and then sent like any folder. The
/// user's own git does it, with the user's own credentials; the machine needs neither.

#include <functional>

#include "os/file.h"
#include "task/task.h"

namespace ferry::job {

struct CloneOptions {
  os::Path cache;           ///< the folder of all clones: CACHE/REPOSITORY/COMMIT/NAME
  bool may_prompt = false;  ///< git and ssh may ask for a password at the terminal; otherwise they fail
  std::function<bool()> is_stopped = [] { return false; };            ///< asked several times a second
  std::function<void(const std::string&)> tell = [](const auto&) {};  ///< a line before what takes time
};

struct Clone {
  os::Path folder;
  std::string commit;  ///< its hash
};

/// What the clone's folder is called: the repository's own name.
std::string repository_name(const std::string& url);

/// Finds out which commit `git.ref` is now, and clones it (shallow where the repository allows it) with its submodules,
/// unless it is there from before, unchanged. Removes clones that nobody used for a month. Fails bad_input without
/// git, for a repository, ref or commit that does not exist, and where the credentials do not suffice, in git's
/// words; lost where it cannot be reached; cancelled.
Result<Clone> clone_workdir(const task::GitSource& git, const CloneOptions& options);

}  // namespace ferry::job
