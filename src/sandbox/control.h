#pragma once
/// \file
/// Shared between those who control an instance and its host process.

#include <csignal>

#include "base/error.h"

namespace ferry::sandbox {

/// Plain mode's sshd lets in this process's own account, and runs its shell: unsupported if it has none to
/// log in with.
ferry::Status check_own_account();

/// Names the descriptor of DIR/lock that boot() hands to the host process, so that the lock is never free in
/// between.
inline constexpr const char* lock_variable = "FERRY_INSTANCE_LOCK";

/// Tells the host process that tell() told something new. One that does nothing by default: the host process of an
/// earlier ferry, which knows nothing of it, lives on.
inline constexpr int news_signal = SIGURG;

}  // namespace ferry::sandbox
