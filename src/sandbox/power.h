#pragma once
/// \file
/// How programs inside end or restart the machine: small commands in its PATH write a request into /run/ferry
/// and wake the first process, which reads it. In root mode only root may, as on any machine.

#include "sandbox/machine.h"

namespace ferry::sandbox {

/// shutdown, poweroff, halt, reboot, systemctl (for its power verbs; others go to the real one), and where
/// the login user is the only one, a sudo that just runs the command. Written to Machine::shims() on every
/// boot; `init_pid` as processes inside see it.
ferry::Status write_power_commands(const Machine& machine, std::int64_t init_pid);

struct PowerRequest {
  std::string action;    ///< "poweroff" or "reboot"
  std::int64_t due = 0;  ///< seconds since 1970; 0: now
};
/// What was asked for: nothing when there is no request (or no sensible one).
std::optional<PowerRequest> read_power_request(const Machine& machine);
ferry::Status clear_power_request(const Machine& machine);

}  // namespace ferry::sandbox
