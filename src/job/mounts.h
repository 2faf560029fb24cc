#pragma once
/// \file
/// A task's file_mounts: files and folders of this computer that go to the machine beside the workdir. They go with
/// the workdir, in the same transfer; what is meant to be outside of it lies in a folder of the workdir there, and
/// a link leads to it.

#include <string>
#include <vector>

#include "base/error.h"
#include "os/file.h"
#include "sync/sync.h"
#include "task/task.h"

namespace ferry::job {

/// Adds what the task mounts to the tree that is sent, by the rules that the workdir has (.gitignore, keys and
/// passwords stay here); a mount replaces what the workdir has at its place. `lines` gets what a user should know.
/// Fails bad_input, with the mount's place in the task file, for a source that is not there or is a secret, and for a
/// target that cannot be made; all of them at once.
Status add_mounts(const task::Task& task, bool follow, sync::Tree& tree, std::vector<std::string>& lines);

/// Where the file is read that goes to `path` of the tree.
os::Path source_of(const sync::Tree& tree, const os::Path& workdir, const std::string& path);

/// One line of shell text for the head of setup and training, which run in the workdir: makes the links for mounts
/// outside of it, and ~/sky_workdir where a script names that. Ends the script when a link cannot be made. Empty:
/// none is needed.
std::string link_line(const task::Task& task);

}  // namespace ferry::job
