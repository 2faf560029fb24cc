#pragma once
/// \file
/// The plainest store: a folder, of this computer, of a shared disk or of NFS. An object is the file of its
/// key; it is written beside (in .ferry-store/), flushed and renamed. Who reads sees the old content or the
/// new one.
///
/// Versions are the SHA-256 of the content. look() reads the whole file for it; a listing tells none for more
/// than 64 KB.
///
/// `if_absent` is one link(2), which fails where the name is taken, also between computers. Where the file
/// system knows no links, and for `if_still`, a lock file of the key's is taken (flock(2), which NFS passes
/// on since Linux 2.6.12); every other put and removal of that key takes it for its last step.

#include <memory>

#include "store/store.h"

namespace ferry::store {

struct FolderOptions {
  Millis lock_limit{60'000};  ///< how long somebody else's change of the same key is waited for; then `timeout`
  /// For tests: called before each step that changes the disk ("write", "flush", "lock", "place", "unlink").
  std::function<void(const char*)> step = {};
  bool has_links = true;  ///< false: as on a file system without link(2)
};

/// Makes the folder where it is missing, and removes what killed writers left there more than a day ago.
/// Fails denied, disk_full, io; bad_input when something else than a folder stands there.
Result<std::unique_ptr<Store>> open_folder(const os::Path& path, FolderOptions options = {});

}  // namespace ferry::store
