#pragma once
/// \file
/// From a task to the offers that may be rented, in this user's world: the catalog, their region, what had
/// no capacity lately. Spends nothing and calls nothing.

#include "fleet/machine.h"
#include "plan/plan.h"

namespace ferry::fleet {

struct Planned {
  plan::Ranking ranking;
  CloudLocation location;      ///< of the best offer
  TimeLimits lifetime;         ///< shortened to what the task's budget pays for
  std::optional<Usd> ceiling;  ///< an hour of the dearest offer (one machine) to take when better ones cannot be had
  std::optional<Usd> most;  ///< that the run, all its machines, can cost with any offer that is taken; nothing: unknown
  std::string budget_note;  ///< among the notes: how long the budget lasts, where it cuts the time
};

/// Of a region, by its name.
struct Zone {
  std::string region, name;
};

/// `lifetime`: as the task or its default has it. `data`: ferry's data folder, `now_ms`: the time, for what
/// had no capacity lately. `rehearsal_region` is the local cloud's; for AWS the user's own region is used,
/// or every region where they have none. With `zone`, all offers are in that one; not_found where there are none.
/// Offers that are not to be taken are there too, and say why not.
Result<Planned> plan_task(const task::Task& task, TimeLimits lifetime, const os::Path& data, std::int64_t now_ms,
                          const std::string& rehearsal_region, const std::optional<Zone>& zone = {});

/// CloudLocation, ceiling and lifetime by the best of the offers; to be called again when some were taken out. Offers
/// that are not to be taken are taken out too.
///
/// The lifetime is what the budget pays for with the best offer, by the most that it can cost (plan::most).
/// Another offer is taken when it keeps the budget in that time and costs at most twice what the best one of
/// the same candidate does: what the task itself lists (any_of, ordered, several
/// accelerators, a type by its name) is not held to the price of its other alternatives.
Status set_terms(const task::Task& task, TimeLimits lifetime, Planned& planned);

/// The catalog in force: what `ferry catalog update` fetched over the built-in one.
const plan::Catalog& catalog_in_force();

/// Lays `asked` over the catalog in force, for this process; with `keep`, for those to come, too. To be called while
/// one thread runs. References to the catalog that was in force before stay good.
void learn(const plan::Catalog& asked, bool keep);

/// A root disk cannot be smaller than its image: makes the disks of all offers at least `gib` large.
/// set_terms() is to be called then.
void enlarge_disks(const task::Task& task, int gib, plan::Ranking& ranking);

/// enlarge_disks(), and the terms that follow; what is not to be taken stays, and says why.
Status count_image(const task::Task& task, TimeLimits lifetime, int gib, Planned& planned);

/// Whether the offer with a disk of `gib` GiB still keeps the budget, when launches before it came to nothing and cost
/// `wasted`; no budget is always kept.
bool keeps_budget(const std::optional<Usd>& budget, plan::Offer offer, const std::string& disk_tier, int gib,
                  const TimeLimits& lifetime, Usd wasted = {});

/// The best offer, and what the run can cost at most: "g5.xlarge  4 vCPU  16 GiB  A10G ×1  us-east-1a
/// $1.006/h at most $25.64 for 24:00:00 of training"
std::string describe_plan(const plan::Offer& best, const TimeLimits& lifetime, const std::optional<Usd>& most);

}  // namespace ferry::fleet
