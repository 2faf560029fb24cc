#pragma once
/// \file
/// Copying both ways between a pair of streams and a socket.

#include "base/error.h"

namespace ferry::agent {

/// Copies `in` to `socket` and `socket` to `out` until any of them closes; what came before is still
/// delivered. Neither way waits for the other. Restores the blocking mode of `in` and
/// `out`.
Status bridge(int in, int out, int socket);

}  // namespace ferry::agent
