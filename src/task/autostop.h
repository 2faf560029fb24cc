#pragma once
/// \file
/// SkyPilot's autostop: there it stops a cluster on which nothing was run for a while. Here it is the limit of a
/// training that does nothing (Task::idle), as far as it can be.

#include <optional>
#include <string>

#include "base/units.h"
#include "task/yaml.h"

namespace ferry::task {

/// `true` (five minutes), `10`, `2h`, {idle_minutes: 10, wait_for: none}; what was checked before (fields.h). Nothing
/// where it asks for no limit, and where a job that runs is to be waited for whatever it does (wait_for: jobs).
std::optional<Seconds> idle_of_autostop(const Node& value);
/// What becomes of it here.
std::string autostop_words(const Entry& entry);

}  // namespace ferry::task
