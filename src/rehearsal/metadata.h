#pragma once
/// \file
/// What an instance is told at boot: its sandbox's spec, with the tree its metadata service (IMDS) answers
/// from. What changes while it runs, its role, is told apart from that (roles.h).

#include "rehearsal/model.h"
#include "sandbox/sandbox.h"

namespace ferry::rehearsal {

/// Everything sandbox::boot needs for the next boot of `instance`.
sandbox::Spec boot_spec(const State& state, const Instance& instance, sandbox::Mode mode);
/// path → text, for example "latest/meta-data/instance-id" → "i-…". Folders are not listed: the service
/// derives them.
Json metadata_tree(const State& state, const Instance& instance);

}  // namespace ferry::rehearsal
