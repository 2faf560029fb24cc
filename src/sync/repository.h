#pragma once
/// \file
/// What git knows of a folder beyond the rules that lie in it: those of the user and of the repository, and
/// which files are tracked whatever the rules say.

#include <optional>
#include <string>
#include <vector>

#include "os/file.h"
#include "os/process.h"

namespace ferry::sync {

struct Repository {
  /// The way from the work tree's root to the folder: "" or "exp/sub".
  std::string above;
  struct Rules {
    std::string name, text;
  };
  /// core.excludesFile and info/exclude, as far as there are any; the later wins.
  std::vector<Rules> rules;
  /// Below the folder: files that a rule would leave out and git's index has.
  std::vector<std::string> tracked;
  /// Why git could not be asked (there is no such program, or it refuses the folder): then `rules` may be
  /// incomplete, and `tracked` is empty. Empty if it could.
  std::string trouble;
};

/// The nearest folder from `folder` up that holds a ".git".
std::optional<os::Path> repository_top(const os::Path& folder);

/// git in `folder`, whatever repository the environment means; it runs no hook or monitor, and takes no lock.
os::SpawnOptions git_command(const os::Path& folder, const os::Argv& words);

/// Nothing if neither the folder nor one above it holds a ".git". Starts git, if it is here.
std::optional<Repository> repository_of(const os::Path& folder);

}  // namespace ferry::sync
