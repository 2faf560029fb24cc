#pragma once
/// \file
/// Bytes between two connections, both ways, until both have ended.

#include <cstdint>
#include <optional>
#include <string>

#include "os/fd.h"

namespace ferry::sandbox {

struct Carried {
  std::string first;                  ///< from the client, read already
  std::optional<std::uint64_t> most;  ///< bytes of the client's that are passed on; nothing: all
  Millis idle{600'000};               ///< how long both may be silent
};
/// Holds at most 64 KiB each way. Ends when both sides have ended, one fails, the other side has ended after `most`
/// bytes, or nothing moves for `idle`. Never raises SIGPIPE. The descriptors become non-blocking.
void carry(const os::Fd& client, const os::Fd& other, Carried what);

}  // namespace ferry::sandbox
