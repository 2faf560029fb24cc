#pragma once
/// \file
/// What outlives an instance: environments that were installed in one (by content, job/environment.sh), and what pip
/// and uv fetched. The next instance of the same user finds it in its home. So what one rehearsal installs, the next
/// one runs: as on a machine of one's own, and never on the computer itself. An instance that cannot have it is told on
/// its console, and does without.

#include "sandbox/machine.h"

namespace ferry::sandbox {

/// Makes the folders below Spec::kept, as the login user's, where they are missing; nothing if that is empty. Called
/// outside, by the host process.
ferry::Status make_kept(const Machine& machine);

/// Before the machine's root is entered: the folders, as they will be shown.
std::vector<os::Fd> take_kept(const Machine& machine);
/// Shows them in the home: inside, where no link of the machine's leads out; in plain mode (nothing was taken) as
/// links.
void show_kept(const Machine& machine, std::vector<os::Fd> taken);

}  // namespace ferry::sandbox
