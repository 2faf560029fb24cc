#pragma once
/// \file
/// Errors found on the laptop cost nothing: what is checked before anything is rented.

#include "base/error.h"
#include "job/passed_on.h"
#include "os/file.h"
#include "sync/sync.h"
#include "task/task.h"

namespace ferry::job {

struct Preflight {
  sync::Tree tree;      ///< what will be sent
  std::string summary;  ///< "train.py compiles · 6 files, 1.1 MB to send"
  std::vector<std::string> warnings;
  std::string requirements_file;       ///< the file that the environment is made from (job/requirements.h); empty: none
  std::string installers;              ///< Requirements::installers
  std::vector<std::string> needed;     ///< Requirements::needed
  std::string framework;               ///< "pytorch" or "tensorflow": imported, and nothing in the workdir provides it
  Taken taken;                         ///< what the machine takes from the store, and is not in the tree
  std::vector<std::string> installed;  ///< modules that environment.sh installs on a rented machine
};

struct Looking {
  bool follow = false;  ///< links out of the workdir go as what they lead to
  os::Path results;     ///< where outputs come home: not sent, and no word about it
  std::string cut_off;  ///< why nothing can be installed on the machine from a package index; empty: it may be
  const PassedOn* passed_on = nullptr;  ///< what the store has of the run before; none: nothing
};

/// The script named in `run` exists and is among what will be sent; Python files named there compile (when
/// python3 is here); a container's Dockerfile exists and will be sent; what the command and the scripts read is
/// among what will be sent, if it is there at all. bad_input with the cure.
Result<Preflight> preflight(const task::Task& task, const os::Path& workdir, const Looking& looking = {});

/// Fails bad_input for an output that cannot come home. (A task file is refused with the place when it is
/// read.)
Status check_outputs(const task::Task& task);

/// Fails bad_input for what Linux or the agent would refuse to start: a variable or secret of 131,072 bytes
/// and more (its name and an end included), more than about 2 MiB of all of them, scripts that are too large,
/// text that is not UTF-8 or holds a NUL byte.
Status check_start(const task::Task& task);

/// Scripts that a shell text runs by a relative path: the .py, .sh, .R, .jl and .js words behind an
/// interpreter, or ./words.
std::vector<std::string> scripts_in(std::string_view shell_text);

}  // namespace ferry::job
