#pragma once
/// \file
/// The agent as a process: `ferry-agent serve` and `ferry-agent connect`.

#include "agent/supervisor.h"
#include "os/fd.h"

namespace ferry::agent {

/// Makes sure that an agent serves the folder: if none does, forks one away from the caller (setsid,
/// standard streams to /dev/null and DIR/agent.log) and returns once its socket answers. Call with one
/// thread.
Status serve(const ServeOptions& options);

/// Copies between (in, out) and the socket of the agent that serves the folder, which is started first if
/// need be. Returns when either side closes.
Status connect(const ServeOptions& options, int in, int out);

}  // namespace ferry::agent
