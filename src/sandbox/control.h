#pragma once
/// \file
/// Shared between those who control an instance and its host process.

namespace ferry::sandbox {

/// Names the descriptor of DIR/lock that boot() hands to the host process, so that the lock is never free in
/// between.
inline constexpr const char* lock_variable = "FERRY_INSTANCE_LOCK";

}  // namespace ferry::sandbox
