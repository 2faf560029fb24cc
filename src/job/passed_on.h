#pragma once
/// \file
/// What one run made and the next one gets, where both have the same store: the machine takes it from there, and only
/// what is not there goes over from this computer.

#include "base/error.h"
#include "os/file.h"
#include "store/manifest.h"
#include "sync/sync.h"

namespace ferry::job {

struct PassedOn {
  os::Path home;             ///< where the run's outputs came home
  store::Manifest manifest;  ///< a complete one
};

struct Taken {
  std::uint64_t files = 0, bytes = 0;
};

/// Takes the files that the store has out of the tree, which is what the next run's machine is to have: all of them, or
/// none, where one of the store's is not in the tree from `home` with the same content (it was changed or removed here
/// meanwhile, or something else is wanted in its place). Reads what is home. Links stay in the tree.
Result<Taken> leave_to_store(sync::Tree& tree, const os::Path& workdir, const PassedOn& passed_on);

}  // namespace ferry::job
