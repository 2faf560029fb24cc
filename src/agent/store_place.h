#pragma once
/// \file
/// From what a job calls its store to the open store, with this machine's own role and nothing else.

#include <functional>
#include <memory>

#include "agent/store_settings.h"
#include "store/store.h"

namespace ferry::agent {

/// Connections to one place, each for one thread; safe to call from several. What the role may do counts from now
/// on: for some minutes a refusal may only mean that S3 does not know it yet, and is waited out. `dir`: where uploads
/// under way are noted.
std::function<Result<std::unique_ptr<store::Store>>()> connections_to(const StoreSpec& spec, const os::Path& dir);

}  // namespace ferry::agent
