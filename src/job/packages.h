#pragma once
/// \file
/// Which package brings a Python module, where their names differ, and what a training lacked that ended for want of
/// one.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "os/file.h"

namespace ferry::job {

/// Packages that bring the module ("cv2", "torch.utils.tensorboard"), the likeliest first; of a module that is not in
/// the table, its first name. Never empty.
std::vector<std::string> packages_of(std::string_view module);

/// The table for imports.py: "MODULE PACKAGE…" in each line.
std::string package_table();

/// The module, or the package by its own name, for want of which a program ended whose output ends with `text`. Only
/// what the last lines say counts.
struct Lacking {
  std::string module, package;
};
std::optional<Lacking> lacking_in(std::string_view text);

/// A closing line with what to write where, for a training whose output is the local log `log`; empty: it says of no
/// module. A module that is in the workdir is not called a package.
std::string lacking_line(const os::Path& log, const os::Path& workdir);

}  // namespace ferry::job
