#pragma once
/// \file
/// Which accelerator people mean. Inside this room only.

#include <string>
#include <string_view>

#include "plan/plan.h"

namespace ferry::plan {

/// An accelerator of the catalog, and how much memory one must have where that was said.
struct Wanted {
  std::string name;        ///< empty: any GPU of `maker` with the memory
  double memory_gb = 0;    ///< 0: any
  bool at_least = false;   ///< more memory will do
  std::string maker = {};  ///< "nvidia" or "amd"; only where the name is empty
};

/// `written` without regard to case, hyphens and makers' names; by the other names that it has; and with a
/// memory size at its end, as in V100-32GB. A memory size alone (80GB, 24GB+, AMD:8GB) is any GPU that has
/// it: NVIDIA's where no maker is named. Fails bad_input with the nearest name, unsupported for what only
/// other clouds have, with what comes nearest to `count` of it; both with the code no_such_hardware.
Result<Wanted> wanted_accelerator(std::string_view written, int count, const Catalog& catalog);

/// True if one accelerator of `type` has the memory that was asked for, within what makers round.
bool has_memory(const InstanceType& type, const Wanted& wanted);

/// True if the accelerators of `type` are those that are wanted, in whatever number.
bool is_wanted(const InstanceType& type, const Wanted& wanted);

/// True if `type` has only a slice of a GPU.
bool is_slice(const InstanceType& type);

}  // namespace ferry::plan
