#pragma once
/// \file
/// Unix-domain and loopback TCP sockets.

#include <sys/types.h>

#include <optional>

#include "base/error.h"
#include "os/fd.h"
#include "os/file.h"

namespace ferry::os {

/// Listening stream socket at `path` (mode 0600 from the first moment; a stale one is replaced). The folder
/// may be as deep as files can be; the socket's own name has at most 80 bytes: longer is bad_input.
Result<Fd> listen_unix(const Path& path);
/// Fails not_found or lost when nobody listens there, timeout when whoever does takes nobody in within `limit`
/// (negative: that is waited for).
Result<Fd> connect_unix(const Path& path, Millis limit = Millis(-1));
/// The user at the other end of a unix socket: who connected, or who listened; nothing where that cannot be told.
std::optional<uid_t> peer_user(int fd);
/// Waits for a connection; nothing when `limit` passed.
Result<Fd> accept_one(int listener, Millis limit = Millis(-1));
/// Listening TCP socket on `address` (IPv4, dotted) and `port` (0: the kernel picks). Fails `exists` where it is taken.
Result<Fd> listen_tcp(const std::string& address, int port);
/// The port a TCP socket is bound to.
int local_port(int fd);
/// TCP connection to a numeric address.
Result<Fd> connect_tcp(const std::string& address, int port, Millis limit);

}  // namespace ferry::os
