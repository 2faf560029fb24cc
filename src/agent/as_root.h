#pragma once
/// \file
/// What the login user cannot read of a run's outputs, root can, where sudo asks for no password.

#include <string>

#include "os/process.h"

namespace ferry::agent {

/// Whether `program` (ours) runs as root when asked. Takes up to 20 s.
bool may_be_root(const std::string& program);

/// The command as root, in place of this process, with standard streams as they are. (sudo drops the environment.)
/// Returns only if it cannot be started.
void go_on_as_root(const os::Argv& line);

}  // namespace ferry::agent
