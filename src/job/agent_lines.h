#pragma once
/// \file
/// What a program of the agent on the machine says of its work, a line now and then. Internal to this room.

#include <functional>
#include <string>
#include <string_view>

#include "fleet/context.h"
#include "mux/client.h"

namespace ferry::job {

/// Hands each line to `hear` until that answers true, and then answers true; false at the end of what is said. An error
/// of `hear` ends it. Ends the program, too, and fails: cancelled by the user; lost after minutes without a word;
/// corrupt for a line without an end. `what`: "the copy", for people.
Result<bool> hear_lines(fleet::Context& context, mux::Command& program, const std::string& what,
                        const std::function<Result<bool>(std::string_view line)>& hear);

}  // namespace ferry::job
