#pragma once
/// \file
/// The instance's own file system: what of the computer shows through, and what is private.

#include "sandbox/machine.h"

namespace ferry::sandbox {

/// First of all (root and user mode), in a mount namespace of one's own: nothing that is mounted from here on is seen
/// outside; in root mode this process joins the instance's network, the disk shows translated ids, and files are made
/// as root inside.
ferry::Status open_disk(Machine& machine);

/// Makes the folders every machine has, where they are missing. In every mode.
ferry::Status make_skeleton(const Machine& machine);

/// Mounts the instance's whole file system at Folder::root() (all but plain mode):
///   root mode, root-unmapped   overlays of /usr, /etc and dpkg's database, with what is secret of the computer taken
///                              away. Where overlays do not work (the folder is on an overlay itself), root-unmapped
///                              does as user mode.
///   user mode                  /usr and chosen parts of /etc, read-only.
/// Nothing else of the computer is visible: no /home, /root, /tmp, /srv, /opt, /mnt.
ferry::Status mount_system(const Machine& machine);

/// After mount_system(): /proc, /sys, /dev, /run, then makes it /.
ferry::Status enter_system(const Machine& machine);

}  // namespace ferry::sandbox
