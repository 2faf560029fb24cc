#pragma once
/// \file
/// Which files are being written at the moment.

#include <cstdint>
#include <set>

namespace ferry::sync {

/// Inode numbers of the regular files that some process has open for writing: of those processes that we may look at
/// (proc(5)): our own user's, every one for root. Of files on different file systems with one number, either counts.
std::set<std::uint64_t> inodes_open_for_writing();

}  // namespace ferry::sync
