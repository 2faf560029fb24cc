#pragma once
/// \file
/// Which ferry this is.

#include <string>

namespace ferry {

/// What `git describe` said when the build was configured, or the file VERSION: "0.1.0", "0.1.0+12.g1a2b3c4".
/// Letters, digits, '.', '+' and '~' only. Its definition is generated (cmake/Toolbox.cmake), so that a commit
/// recompiles one file.
std::string ferry_version();

}  // namespace ferry
