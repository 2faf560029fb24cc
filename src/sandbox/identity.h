#pragma once
/// \file
/// Who the machine is: its name, its accounts, its settings in /etc.

#include "sandbox/machine.h"

namespace ferry::sandbox {

/// On every boot: host name and the files that follow from it. On a fresh disk also accounts, sudo rules and
/// login settings. For root and user mode; between mount_system() and enter_system().
ferry::Status write_identity(const Machine& machine);

/// The login user's home on a fresh disk: the usual first files, and the keys that may log in. Every mode.
ferry::Status prepare_home(const Machine& machine, const std::vector<std::string>& keys);

}  // namespace ferry::sandbox
