#pragma once
/// \file
/// What stands for a volume of the cloud: a folder that is moved, in one step, onto the disk of the instance that it is
/// attached to, and back. Inside it is /srv/rehearsal-volumes/ID (in plain mode, below what stands for /). An instance
/// has no block devices, so that what is made there is files; they outlive it.

#include "base/error.h"
#include "os/file.h"

namespace ferry::sandbox {

/// Moves the volume's folder from `store` (made if there is none) to the instance in `dir`. Calm if it is there
/// already. `store` must be on the file system of `dir`.
ferry::Status give_volume(const os::Path& dir, const os::Path& store, const std::string& id);
/// And back. Calm if it is in `store`.
ferry::Status take_volume(const os::Path& dir, const os::Path& store, const std::string& id);

}  // namespace ferry::sandbox
