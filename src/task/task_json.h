#pragma once
/// \file
/// A Task as JSON, for whoever goes on with it in another process: all of it, but no secret's value.

#include "base/json.h"
#include "task/task.h"

namespace ferry::task {

/// "secrets" has their names alone.
Json to_json(const Task& task);

/// What to_json() wrote, by this ferry or one before, which had fewer members. The secrets have no values. Fails
/// corrupt for a member of another type.
Result<Task> task_from(const Json& json);

}  // namespace ferry::task
