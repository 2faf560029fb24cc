#pragma once
/// \file
/// From a task to the offers that may be rented, in this person's world: the catalog, their region, what had
/// no capacity lately. Spends nothing and calls nothing.

#include "plan/plan.h"
#include "run/machine.h"

namespace ferry::run {

struct Planned {
  plan::Ranking ranking;
  Place place;                 ///< of the best offer
  Lifetime lifetime;           ///< shortened to what the task's budget pays for
  std::optional<Usd> ceiling;  ///< an hour of the dearest offer to take when better ones cannot be had
};

/// `lifetime`: as the task or its default has it. `data`: ferry's data folder, `now_ms`: the time, for what
/// had no capacity lately. `rehearsal_region` is the local cloud's; for AWS the person's own region is used,
/// or every region where they have none.
Result<Planned> plan_task(const task::Task& task, Lifetime lifetime, const os::Path& data,
                          std::int64_t now_ms, const std::string& rehearsal_region);

/// Place, ceiling and lifetime by the best of the offers; to be called again when some were taken out.
Status set_terms(const task::Task& task, Lifetime lifetime, Planned& planned);

/// The catalog in force: what `ferry catalog update` fetched over the built-in one.
const plan::Catalog& catalog_in_force();

/// "g5.xlarge  4 vCPU  16 GiB  A10G ×1  us-east-1a  $1.006/h  at most $24.14 in 24:00:00"
std::string describe_offer(const plan::Offer& offer, const Lifetime& lifetime);

}  // namespace ferry::run
