#pragma once
/// \file
/// The connection to a machine that stays, held in the background by another ferry (ssh/holder.h) for the next command.

#include <string>

#include "fleet/context.h"

namespace ferry::fleet {

/// Used for so long by nobody, it ends.
inline constexpr Seconds usual_hold{600};

/// Starts `ferry hold-connection` in the background, with nothing of this process's terminal or pipes; it logs in by
/// itself, and does nothing where another holds that connection already. Does nothing where Context::hold is 0.
/// Nothing that fails is told: the next command logs in as ever.
void hold_connection(Context& context, const ssh::Target& target);

/// Asks whoever holds the connection to let go of it.
void let_go_of_connection(Context& context, const ssh::Target& target);

/// The connection that is held, if one is and Context::hold says that it may be used.
std::optional<ssh::Session> held_session(Context& context, const ssh::Target& target);

/// What hold_connection() starts: `data` is os::data_dir(), `idle` in seconds, `target` as it wrote it. Ends by
/// SIGTERM, too. The value is the exit code.
int hold_main(const std::function<std::string_view(std::string_view arch)>& agent, const os::Path& data, Seconds idle,
              const std::string& target);

}  // namespace ferry::fleet
