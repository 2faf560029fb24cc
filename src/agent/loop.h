#pragma once
/// \file
/// The agent's poll loop.

#include "agent/supervisor.h"
#include "os/fd.h"

namespace ferry::agent {

/// Serves clients of `listener` and moves `supervisor` on until it is over. One thread.
void serve_loop(os::Fd listener, Supervisor& supervisor);

}  // namespace ferry::agent
