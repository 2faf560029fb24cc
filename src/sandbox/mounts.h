#pragma once
/// \file
/// mount(2) with errors as values. All of it happens in a mount namespace of one's own.

#include "base/error.h"
#include "os/fd.h"
#include "os/file.h"

namespace ferry::sandbox {

enum class Access { read_write, read_only };

/// Makes `target` show `source`, with everything mounted below it. The target is made if it is missing.
ferry::Status bind(const os::Path& source, const os::Path& target, Access access);
/// Makes `target` show `source` without what is mounted below it, uids and gids translated: what lies there as N (of
/// the ids of an instance) is N of that user namespace. Others' are nobody's. Needs Linux 5.12 and a file system that
/// takes part.
ferry::Status map_ids(const os::Path& source, const os::Path& target, const os::Fd& user_namespace);
/// The two halves of map_ids(), for a target that is only there once another root was entered: what `source` shows
/// (without what is mounted below it; `user_namespace` may be empty: ids as they are), and its mounting. Needs
/// Linux 5.2.
Result<os::Fd> take_mount(const os::Path& source, const os::Fd& user_namespace);
ferry::Status put_mount(const os::Fd& taken, const os::Path& target);
/// What is kept of an overlay when it is unmounted. For `on_disk` the kernel then waits until all that anybody wrote to
/// that file system is on the disk, which may take a minute beside a busy program.
enum class Kept { on_disk, not_at_all };

/// Overlay of `lower` at `target`; what is written goes to `layer` (made if missing).
ferry::Status mount_overlay(const os::Path& lower, const os::Path& layer, const os::Path& target, Kept kept);
/// A new file system of `type`; `flags` are MS_…; the target folder is made if it is missing.
ferry::Status mount_new(const char* type, const os::Path& target, unsigned long flags, const std::string& options = {});
/// Device files and set-user-id bits below `target` have no meaning any more; nothing else changes.
ferry::Status forbid_devices(const os::Path& target);
/// In plain mode an instance mounts, if it may, where everybody does. Lets go of all that is mounted below `folder`, as
/// before that is removed: what is in there is not the instance's. Fails conflict if something stays.
ferry::Status unmount_below(const os::Path& folder);
/// `root` (a mount point) becomes /, the old one goes out of sight.
ferry::Status change_root(const os::Path& root);

}  // namespace ferry::sandbox
