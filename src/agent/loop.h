#pragma once
/// \file
/// The agent's poll loop.

#include "agent/post.h"
#include "agent/supervisor.h"

namespace ferry::agent {

/// Serves the clients that come to `post`, looks after it, and moves `supervisor` on until it is over. One
/// thread.
void serve_loop(Post& post, Supervisor& supervisor);

}  // namespace ferry::agent
