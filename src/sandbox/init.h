#pragma once
/// \file
/// The first process inside an instance: sets the machine up, answers logins and metadata, reaps orphans, and
/// ends it all.

#include "sandbox/channel.h"
#include "sandbox/machine.h"

namespace ferry::sandbox {

/// Words on the channel between the host process and the first process.
namespace word {
inline constexpr std::string_view login = "login";  ///< to the inside, with a connection for sshd
inline constexpr std::string_view keys = "keys";    ///< to the inside, with the file of lend_key()
inline constexpr std::string_view live = "live";    ///< to the inside, with the file of tell(), if there is one
inline constexpr std::string_view open = "open";    ///< to the inside: sshd's address answers now
inline constexpr std::string_view stop = "stop";    ///< to the inside: end everything
/// To the outside, with a socket that listens inside: serve it as the proxy, or with " HOST:PORT" as the door to that.
inline constexpr std::string_view way_out = "way out";
inline constexpr std::string_view ready = "ready";     ///< to the outside: logins can be answered
inline constexpr std::string_view ended = "ended ";    ///< to the outside, last: "ended poweroff", "ended reboot"
inline constexpr std::string_view failed = "failed ";  ///< to the outside, last: "failed <what went wrong>"
}  // namespace word

/// Runs until the machine ends; the value is the exit code. Must be the first process of its namespaces (in
/// plain mode: adopt orphans).
int init_main(Machine machine, Channel host);

}  // namespace ferry::sandbox
