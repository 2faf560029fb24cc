#pragma once
/// \file
/// The instance's own file system: what of the computer shows through, and what is private.

#include "sandbox/machine.h"

namespace ferry::sandbox {

/// Makes the folders every machine has, where they are missing. First of all, in every mode.
ferry::Status make_skeleton(const Machine& machine);

/// Mounts the instance's whole file system at Folder::root() (root and user mode; in a mount namespace of its
/// own):
///   root mode   overlays of /usr, /etc and dpkg's database, with what is secret of the computer taken away.
///   Where overlays do not
///               work (the folder is on an overlay itself), as in user mode.
///   user mode   /usr and chosen parts of /etc, read-only.
/// Nothing else of the computer is visible: no /home, /root, /tmp, /srv, /opt, /mnt.
ferry::Status mount_system(const Machine& machine);

/// After mount_system(): /proc, /sys, /dev, /run, then makes it /.
ferry::Status enter_system(const Machine& machine);

}  // namespace ferry::sandbox
