#pragma once
/// \file
/// What goes to the machine, and what is said of it before anything is rented.

#include <string>
#include <vector>

#include "os/file.h"
#include "sync/sync.h"
#include "task/task.h"

namespace ferry::job {

/// The workdir as it goes over (sync::Selection::ignore_rules); with `follow`, links out of it go as what
/// they lead to. Fails bad_input for a workdir that is the home folder, holds it, or is "/".
Result<sync::Tree> list_workdir(const os::Path& workdir, bool follow);

/// What a user should know about it, one line each: keys that stay, what rules and links leave out (with
/// sizes), files that go over and better did not, what takes long. `outputs` are the task's: what is left out
/// of those needs no word.
std::vector<std::string> tell_sent(const sync::Tree& tree, const os::Path& workdir,
                                   const std::vector<std::string>& outputs);

/// What keeps `path` (relative to the workdir) from going although it is there; null if it goes, or is not
/// there, or nothing is known of it.
const sync::Unsent* unsent_at(const sync::Tree& tree, const std::string& path);
/// "left out by .gitignore: data/"
std::string why(const sync::Unsent& unsent);
/// What to do for it to go.
std::string cure(const sync::Unsent& unsent);

/// True for what a task calls its outputs (`outputs`; empty: outputs/).
bool is_output(const std::vector<std::string>& outputs, const std::string& path);

}  // namespace ferry::job
