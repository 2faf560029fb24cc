#pragma once
/// \file
/// Whether root mode works here: kernels, file systems and containers differ in what they translate and lay over each
/// other, and no list of them would be right for long.

#include "base/error.h"
#include "os/file.h"

namespace ferry::sandbox {

/// Makes, in a folder of its own below `place`, all that an instance is made of, enters it as its root, writes to the
/// system there, and removes it again. An error says which step this computer refuses. Call with one thread.
ferry::Status try_root_mode(const os::Path& place);

}  // namespace ferry::sandbox
