#pragma once
/// \file
/// Which accelerator people mean. Inside this room only.

#include <string>
#include <string_view>

#include "plan/plan.h"

namespace ferry::plan {

/// An accelerator of the catalog, and how much memory one must have where the name said so.
struct Wanted {
  std::string name;
  double memory_gb = 0;  ///< 0: any
};

/// `written` without regard to case, hyphens and makers' names; by the other names that it has; and with a
/// memory size at its end. Fails bad_input with the nearest name, unsupported for what only other clouds
/// have.
Result<Wanted> wanted_accelerator(std::string_view written, const Catalog& catalog);

/// True if one accelerator of `type` has the memory that the name asked for, within what makers round.
bool has_memory(const InstanceType& type, const Wanted& wanted);

/// True if `type` has only a slice of a GPU.
bool is_slice(const InstanceType& type);

}  // namespace ferry::plan
