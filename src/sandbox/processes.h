#pragma once
/// \file
/// Other processes: naming one for good, waiting for its end, and finding those of an instance.

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/units.h"

namespace ferry::sandbox {

/// Every process of an instance has FERRY_INSTANCE=<instance id> in its environment unless it cleared it.
inline constexpr const char* instance_marker = "FERRY_INSTANCE";

/// A process for good: its pid and the moment it started.
struct Identity {
  pid_t pid = 0;
  std::uint64_t start = 0;
};
Identity identity_of(pid_t pid);
/// False for a zombie: nothing of it runs any more. When the first process of a pid namespace is gone, so are
/// all others in it.
bool is_alive(const Identity& process);
/// Does nothing if it is gone.
void send_signal(const Identity& process, int number);
/// False when `limit` passed first.
bool wait_gone(const Identity& process, Millis limit);

/// Living processes that carry the instance's marker, except the caller.
std::vector<pid_t> marked_processes(std::string_view instance_id);
/// Children of `ancestor`, their children and so on.
std::vector<pid_t> descendants(pid_t ancestor);
/// Kills (SIGKILL) every marked process, until none is left or `limit` passed (false).
bool sweep(std::string_view instance_id, Millis limit);

}  // namespace ferry::sandbox
