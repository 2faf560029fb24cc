#pragma once
/// \file
/// What a task marks as late (`late:`): a part of the workdir that goes over while the machine's environment is made.
/// What the environment is made from never is.

#include <string>
#include <vector>

#include "base/error.h"
#include "sync/sync.h"
#include "task/task.h"

namespace ferry::job {

struct Parts {
  sync::Tree early;  ///< all folders and links, and the files that are not late
  sync::Tree late;   ///< the late files, and the folders that they lie in; without a file: nothing is late
};

/// `needed` is Requirements::needed. Fails bad_input for a glob that is none.
Result<Parts> split_late(sync::Tree tree, const std::vector<std::string>& globs,
                         const std::vector<std::string>& needed);

/// A line for each glob that matches nothing of what is sent, and one for what matches and is needed before.
std::vector<std::string> tell_late(const task::Task& task, const sync::Tree& tree,
                                   const std::vector<std::string>& needed);

}  // namespace ferry::job
