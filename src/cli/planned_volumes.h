#pragma once
/// \file
/// A task's volumes, as `ferry plan` looks at them: found by name, and nothing done with them.

#include "fleet/planning.h"

namespace ferry::cli {

struct PlannedVolumes {
  std::vector<cloud::Volume> found;  ///< in the task's order; none: they were not looked for
  std::vector<std::string> used_by;  ///< of each, which machine has it; "": none
  std::string why_not;               ///< why they were not looked for: no credentials, say
};

/// Fails as fleet::find_volumes() where the cloud has answered.
Result<PlannedVolumes> look_at_volumes(const task::Task& task, const fleet::Planned& anywhere);

/// A list with an object for each of the task's.
Json volumes_json(const task::Task& task, const PlannedVolumes& volumes);

/// Lines for people, each with its end.
std::string volumes_text(const task::Task& task, const PlannedVolumes& volumes);

}  // namespace ferry::cli
