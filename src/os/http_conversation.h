#pragma once
/// \file
/// One client of an HTTP server, from its first request to its last. Part of the library `http_server`; the
/// one file that includes Boost.Beast is behind it.

#include "os/http_server.h"

namespace ferry::os {

/// On the caller's thread, on a non-blocking socket. `end` becomes readable when the server ends; -1: never.
void converse(Fd connection, int end, const HttpServer::Handler& handler, const ServerLimits& limits);

}  // namespace ferry::os
