#pragma once
/// \file
/// Whose uids and gids an instance's are outside. In root mode its ids 0 to 65,535 are a range of the computer's that
/// belongs to nobody: root inside is no more than one of these. What lies on disks keeps the ids that it has: the
/// instance's mounts translate (mounts.h: map_ids), so a disk may be used by instances with other ranges, and with
/// none.

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "os/fd.h"

namespace ferry::sandbox {

inline constexpr std::uint32_t ids_of_an_instance = 65'536;

/// First and last of ids that somebody has.
using IdRange = std::pair<std::uint32_t, std::uint32_t>;
/// The ids in texts like /etc/passwd's and /etc/subuid's; lines that are neither are left out.
std::vector<IdRange> ids_in(std::string_view accounts, std::string_view subordinate);

/// Where the instance's range begins: of those that systemd leaves to containers (524,288 and up) one that its id
/// leads to and that touches none of `taken`. Pure.
std::uint32_t first_id_for(std::string_view instance_id, const std::vector<IdRange>& taken);
/// The same, with what this computer's files say is taken.
std::uint32_t first_id_for(std::string_view instance_id);

/// A network namespace that belongs to a user namespace with the range that begins at `first_id`. Nobody runs in
/// either. Needs root; denied, or io, where the computer makes none. Call in a process with one thread.
Result<os::Fd> make_id_space(std::uint32_t first_id);
/// This process's network is that one from here on. Gives the user namespace that it belongs to.
Result<os::Fd> join_network(const os::Fd& network);

/// What this process (root) makes from here on belongs to root of the range. It loses no capability.
ferry::Status make_files_as(std::uint32_t first_id);
/// This process becomes root of that user namespace, with no right to anything outside. It still dies with its parent.
ferry::Status enter_id_space(const os::Fd& owner);

}  // namespace ferry::sandbox
