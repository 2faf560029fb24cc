#pragma once
/// \file
/// Copies of a file within one machine.

#include "base/error.h"

namespace ferry::sync {

/// Makes `to`, which is empty, the same content as `from`: with the same blocks on the disk, where the file system can
/// (FICLONE, ioctl_ficlone(2)), else as a copy with the same holes. Each may be written to afterwards without a change
/// to the other. Both at offset 0 or not: offsets do not matter and are undefined afterwards.
Status clone_content(int from, int to);

/// The part of it that takes no copying: false if the file system cannot, and then `to` is as before.
bool share_content(int from, int to);

}  // namespace ferry::sync
