#pragma once
/// \file
/// A task's volumes on the machine that they are attached to (fleet/volumes.h): volumes.sh mounts them, below
/// /mnt/ferry-volumes, and links lead there from where the task wants them (mounts.h). A volume that holds nothing at
/// all gets a file system, ext4, that is the login user's; any other is mounted as it is, or refused. What is on it is
/// no output, and stays.

#include <string>
#include <vector>

#include "fleet/machine.h"
#include "job/connection.h"
#include "task/task.h"

namespace ferry::job {

/// Where each of the task's volumes is mounted. `volumes`: what they are, in the task's order, and attached. What is
/// mounted already stays. Fails conflict, with the volume's place in the task file, for one that can be neither mounted
/// nor formatted safely; lost; cancelled.
Result<std::vector<std::string>> mount_volumes(fleet::Context& context, Connection& connection, const task::Task& task,
                                               const std::vector<cloud::Volume>& volumes);

/// Writes what the machine has not written to its volumes yet, and unmounts them where nobody uses them. Takes half a
/// minute at most, and never fails: EC2 ends a machine as if it were switched off in order.
void unmount_volumes(Connection& connection);

}  // namespace ferry::job
