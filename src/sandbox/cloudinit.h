#pragma once
/// \file
/// Doing what user-data says, in cloud-init's order, as a child of the first process.

#include "sandbox/machine.h"
#include "sandbox/userdata.h"

namespace ferry::sandbox {

/// What cloud-init does before sshd answers: bootcmd, and on the first boot write_files. Returns when it is
/// done.
void run_before_login(const Machine& machine, const UserData& user_data);
/// After: on the first boot runcmd, or the script. Returns when it is done.
void run_after_login(const Machine& machine, const UserData& user_data);

}  // namespace ferry::sandbox
