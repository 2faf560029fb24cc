#pragma once
/// \file
/// Names, `$VARIABLES` and places that a task's text is made of. Inside this room only; check_variable_name(),
/// fill_variables() and name_from() of task.h are defined beside them.

#include <map>
#include <string>
#include <string_view>

#include "base/error.h"

namespace ferry::task {

/// [a-zA-Z0-9]+([._-]{1,2}[a-zA-Z0-9]+)*
bool is_name(std::string_view text);

/// `text` with `$NAME` and `${NAME}` replaced. Fails for a name that is not among `values`.
Result<std::string> filled_in(std::string_view text, const std::map<std::string, std::string>& values);

/// Where a mount is to be on the machine: relative to the workdir, ~/… or absolute. Fails for what is no place for
/// one thing, and for what is the system's.
Result<std::string> mount_target(std::string_view written);

}  // namespace ferry::task
