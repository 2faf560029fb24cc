#pragma once
/// \file
/// What a task asks of one machine, and why a machine may not have it. Inside this room only.

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "plan/accelerators.h"
#include "plan/plan.h"

namespace ferry::plan {

/// One of a task's candidates with one of its accelerators.
struct Ask {
  const task::Resources* candidate = nullptr;
  std::size_t number = 0;                      ///< of the candidate among task.all_candidates()
  const task::Accelerator* written = nullptr;  ///< nothing: none asked for
  Wanted accelerator;                          ///< what `written` means
  const InstanceType* type = nullptr;          ///< the one that the candidate names
  std::uint32_t group = 0;                     ///< offers of a lower group go first
  Market market = Market::on_demand;
  Usd address;  ///< an hour of it

  /// An hour of the root disk there.
  Usd disk(std::string_view region) const {
    return disk_hour(disk_of(candidate->disk_tier, candidate->disk_gib), region);
  }
  /// An hour of all that is billed beside the machine there.
  Usd beside(std::string_view region) const { return disk(region) + address; }
  /// True if the task says nothing about the machine itself.
  bool nothing() const;
  bool accelerator_fits(const InstanceType& type) const;
  bool fits(const InstanceType& type) const;
  /// Whether a machine that the task did not name may be chosen for it.
  bool sensible(const InstanceType& type, const Catalog& catalog) const;
  /// "A10G ×1, 4+ vCPU"
  std::string text() const;
  /// `error`, with the place in front where `field` stands in the task file; if it does not, that of the
  /// accelerator or the whole candidate.
  tl::unexpected<Error> refuse(std::string_view field, Error error) const;
};

/// Every ask of a task. An alternative that cannot be understood becomes a note; the first one's error if
/// there is no other.
Result<std::vector<Ask>> asks_of(const task::Task& task, const Catalog& catalog, std::vector<std::string>& notes);

/// The types that have what is asked. Fails not_found with the sizes that there are.
Result<std::vector<const InstanceType*>> fitting(const Ask& ask, const Catalog& catalog);

/// "A10G ×1, 4 vCPU, 16 GiB"
std::string show(const InstanceType& type);

}  // namespace ferry::plan
