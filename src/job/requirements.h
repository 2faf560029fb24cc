#pragma once
/// \file
/// What a workdir asks to be installed: one list, by which check judges imports and the machine installs.

#include <optional>
#include <string>
#include <vector>

#include "os/file.h"
#include "sync/sync.h"
#include "task/task.h"

namespace ferry::job {

struct Requirements {
  /// What the environment is made from, if the task names no file: the first of uv.lock, conda-lock.yml,
  /// environment.yml, requirements.txt, pyproject.toml, setup.py that is sent, fits the kind of environment
  /// and asks for something pip can install; then the Python script that the command names, if it says what it
  /// needs (PEP 723). Empty: nothing.
  std::string file;
  /// What provides packages, `file` and all that it leads to; of a task that installs by itself, or in an
  /// environment of its own, every file that may.
  std::vector<std::string> providers;
  /// What setup, the command and the shell scripts that it names call to install: "pip", "conda", "pip conda".
  std::string installers;
  /// Paths of what is sent that the machine may read while it makes the environment; of a folder, all below it. ".": it
  /// may be anything, as where a package is built from the workdir's own code.
  std::vector<std::string> needed;
  /// Files that ask for packages in a way that nothing here installs; a line each, with what to do.
  std::vector<std::string> notes;
};

/// A task whose setup installs packages itself is left to do so.
bool installs_itself(std::string_view setup);

/// Fails bad_input, with "FILE:LINE:COLUMN:", for a line of what would be installed that names a file which
/// would not be on the machine.
Result<Requirements> find_requirements(const task::Task& task, const os::Path& workdir, const sync::Tree& tree);

}  // namespace ferry::job
