#pragma once
/// \file
/// Buckets of S3 that a machine mounts (`mode: MOUNT`, `MOUNT_CACHED`, `-v s3://…:/x:rw`), by mount-s3 or rclone where
/// it has them and FUSE; the others are copied (data.h). buckets.sh does it there, as the login user: mounts lie in
/// the run's folder, and a process of its own keeps each. What the training writes is in the bucket once a file is
/// closed (mount-s3) or moments after (rclone); what rclone has not put yet is among the checkpoints, and the training
/// is not over before all of it is there.

#include <map>
#include <string>

#include "agent/stand_in.h"
#include "fleet/machine.h"
#include "job/connection.h"
#include "task/task.h"

namespace ferry::job {

struct Mounted {
  std::map<std::size_t, std::string> places;    ///< by index of task::Task::data: where on the machine
  std::map<std::size_t, std::string> refusals;  ///< of those that were to be mounted: why they are copied
  std::vector<agent::StandInStep> steps;        ///< what mounted them: for a machine that is to have the same
  std::vector<std::string> volumes;             ///< where each of the task's volumes is (volumes.h)
  std::string script, folder;                   ///< buckets.sh there, and ALL of it; "": nothing is mounted

  /// Shell text: before the training is started, `ferry_watch` being what ends it when a mount dies.
  std::string before_training() const;
  /// Shell text: after it, with its exit code in `ferry_code`.
  std::string after_training() const;
};

/// A line for each bucket that is to be mounted, before anything is rented: what will be tried.
std::vector<std::string> tell_mounts(const task::Task& task);

/// Run it before the environment is made, whose container sees what is mounted by then; what is mounted already stays.
/// Fails denied, not_found and the like for buckets that the machine may not read, lost, and cancelled; where mounting
/// itself fails, that is a refusal.
Result<Mounted> mount_buckets(fleet::Context& context, Connection& connection, const task::Task& task,
                              const fleet::CloudLocation& location);

}  // namespace ferry::job
