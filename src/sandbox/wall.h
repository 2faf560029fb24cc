#pragma once
/// \file
/// What root inside an instance may not do, whatever its uid is outside.

#include "base/error.h"
#include "os/file.h"

namespace ferry::sandbox {

/// Where there is a root inside, with `proc` and `sys` just mounted: covers or makes read-only what belongs to the
/// whole computer, whoever asks (core_pattern, sysrq-trigger, kcore, kernel keys, interrupts, buses, firmware). Only
/// who may mount could take that away again.
ferry::Status cover_kernel_views(const os::Path& proc, const os::Path& sys);

/// Where there is a root inside, once everything is mounted. From here on nothing in the instance mounts, makes
/// namespaces or enters others, loads code into the kernel, opens files by handle, or reaches the computer's
/// key rings, clock or log: a filter of system calls that this process and all its children keep. Programs
/// started from now on have the capabilities that sshd, sudo and package managers need, and no others.
ferry::Status raise_wall();

}  // namespace ferry::sandbox
