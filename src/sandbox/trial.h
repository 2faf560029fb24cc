#pragma once
/// \file
/// Whether instances with a root work here: kernels, file systems and containers differ in what they allow, translate
/// and lay over each other, and no list of them would be right for long.

#include "base/error.h"
#include "sandbox/sandbox.h"

namespace ferry::sandbox {

/// Makes, in a folder of its own below `place`, all that an instance of `mode` (one with a root) is made of, enters it
/// as its root, gives a file to its user, in root mode also writes to the system there, and removes it all again. An
/// error says which step this computer refuses. Call with one thread.
ferry::Status try_with_root(Mode mode, const os::Path& place);

}  // namespace ferry::sandbox
