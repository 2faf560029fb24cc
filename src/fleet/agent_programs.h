#pragma once
/// \file
/// The agents that this ferry carries: the program that serves a machine's connection, and its runs.

#include <string>

#include "fleet/context.h"

namespace ferry::fleet {

/// One for each kind of processor for which there is one. `agent`: Context::agent, whose bytes must outlive what is
/// returned.
ssh::Programs agent_programs(const std::function<std::string_view(std::string_view arch)>& agent);

/// The program that stands at `path` of a machine. Fails not_found for another ferry's.
Result<std::string> agent_program(const Context& context, const std::string& path);

}  // namespace ferry::fleet
