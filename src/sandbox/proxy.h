#pragma once
/// \file
/// The way out of an instance, as the host process offers it: a proxy for HTTP (CONNECT for all that is not plain
/// http), and doors to what the user named of this computer. It runs outside, as processes of their own that have few
/// rights, hold nothing, and end with the host process: one for each listening socket, one for each client. Names are
/// looked up outside, once, and what is then connected is what was judged. Bytes of a tunnel are not looked at.

#include "os/fd.h"
#include "sandbox/way_out.h"

namespace ferry::sandbox {

struct ProxyLimits {
  Millis head{20'000};        ///< until a request is complete
  Millis connect{20'000};     ///< for each address
  Millis idle{600'000};       ///< without a byte either way
  std::size_t clients = 128;  ///< at once; more wait to be accepted
};

/// Answers one client of the proxy, to its end: 403 for what it may not reach, 502 for what cannot be found or reached,
/// 400 for what is no request, each with a sentence that says why.
void serve_proxy_client(const WayOut& way, const os::Fd& client, const ProxyLimits& limits = {});

/// Leads one client of a door to `target`.
void serve_door_client(const Target& target, const os::Fd& client, const ProxyLimits& limits = {});

/// Starts the process that serves `listener`, a socket of the instance's network: as the proxy, or, where `door` says
/// so, as a door to that target (which must be one that `way` names). The caller reaps it. Call with one thread.
Result<pid_t> start_way_out(const os::Fd& listener, const WayOut& way, const std::optional<Target>& door);

}  // namespace ferry::sandbox
