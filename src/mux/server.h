#pragma once
/// \file
/// The machine's end of a connection: `ferry-agent mux`. It runs what it is told to as the login user, as sshd would,
/// and knows nothing of runs.

#include "base/error.h"

namespace ferry::mux {

/// Serves until the link ends, which is no error; then what it started has the ends of its pipes closed, and goes on or
/// ends as it likes, as with a connection of ssh that broke. `unsupported` when the other end speaks no version that
/// this one does, `corrupt` when it breaks the protocol. Uses this thread, and SIGCHLD.
Status serve(int in, int out);

/// Streams at once; one more is refused by its exit (code 255), with the reason on its standard error.
inline constexpr std::size_t most_streams = 512;

}  // namespace ferry::mux
