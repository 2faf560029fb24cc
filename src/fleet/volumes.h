#pragma once
/// \file
/// A task's volumes (task/task.h: Volume): disks of EBS that are there before a run and after it. They are found by
/// name, confine the run to their zone, and are attached to its machine. None is made, changed or deleted: what they
/// cost is the user's own. That they are mounted, job/volumes.h sees to.

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "fleet/machine.h"
#include "fleet/planning.h"

namespace ferry::fleet {

using OpenRegion = std::function<Result<std::unique_ptr<cloud::Cloud>>(const std::string& region)>;

/// The volumes that the task names, in its order, looked for in all of the regions. Fails not_found with how to make
/// one; bad_input for a name that several have, and for volumes that are not all in one zone; as Cloud::volumes() where
/// a region cannot be asked and the volume is in none of the others.
Result<std::vector<cloud::Volume>> find_volumes(const task::Task& task, std::span<const std::string> regions,
                                                const OpenRegion& open);

/// Where the offers are, each once, best first.
std::vector<std::string> regions_of(const plan::Ranking& ranking);

/// plan_task() of the task in the volumes' zone. Fails not_found when there are no such machines there.
Result<Planned> plan_beside(const task::Task& task, std::span<const cloud::Volume> volumes, TimeLimits lifetime,
                            const os::Path& data, std::int64_t now_ms, const std::string& rehearsal_region);

/// "attached to i-0abc (of the run digits-7k2)", of one that a machine has which lives; else empty.
std::string used_by(cloud::Cloud& cloud, const cloud::Volume& volume);

/// Returns when each of them can be attached; waits, for a few minutes, for those that come free by themselves, as
/// their machine ends. Fails conflict for one that another machine has; cancelled; timeout.
Status await_free(Context& context, cloud::Cloud& cloud, std::span<const cloud::Volume> volumes);

/// Attaches them to the machine, each as the device that device_of() says; calm about those that are. What was asked
/// for is looked at before it is asked for again. Fails conflict for one that another machine has by now; timeout;
/// denied with what the policy lacks.
Status attach_volumes(Context& context, cloud::Cloud& cloud, std::span<const cloud::Volume> volumes,
                      const ledger::Instance& instance);

/// "/dev/sdf" of the first volume, and so on: what EC2 is told. The machine may call it otherwise.
std::string device_of(std::size_t index);

/// "the volume my-data (vol-0abc, 100 GiB, in us-east-1a)"
std::string describe_volume(const cloud::Volume& volume);

}  // namespace ferry::fleet
