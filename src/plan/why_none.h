#pragma once
/// \file
/// Why nothing of what fits can be offered, and what comes nearest. Inside this room only.

#include "plan/ask.h"

namespace ferry::plan {

/// What stood in the way of the offers of one ask.
struct Refused {
  std::size_t unpriced = 0, too_dear = 0, over_budget = 0;
  std::optional<Usd> least;  ///< the lowest price an hour among the last two
  const InstanceType* least_type = nullptr;
  std::string least_region;

  void note(Usd price, const InstanceType& type, const std::string& region) {
    if (least && *least <= price) return;
    least = price;
    least_type = &type;
    least_region = region;
  }
};

/// "$5", "$1.31"
std::string amount(Usd money);

/// The complaint about one ask that no offer satisfies although some types do.
struct WhyNone {
  const task::Task& task;
  const Catalog& catalog;
  std::span<const std::string> all_regions;
  std::optional<Seconds> duration;

  using Types = std::span<const InstanceType* const>;
  using Regions = std::span<const std::string>;
  /// `regions`: where they were looked for.
  Status tell(const Ask& ask, Types types, Regions regions, const Refused& refused) const;

 private:
  struct Lowest {
    Usd price;  // zero: none is known
    std::string region;
  };
  Lowest lowest(Types types, Market market, Regions regions) const;
  bool allowed(const Ask& ask, const Lowest& lowest) const;
  Error not_in_zone(const Ask& ask, Types types) const;
  Error too_dear(const Ask& ask, Types types, Regions regions, const Refused& refused) const;
  Error no_price(const Ask& ask, Types types, Regions regions) const;
};

}  // namespace ferry::plan
