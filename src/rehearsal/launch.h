#pragma once
/// \file
/// Reading and judging what RunInstances asks for.

#include <string>
#include <vector>

#include "base/units.h"
#include "rehearsal/actions.h"

namespace ferry::rehearsal {

/// A request that has been found right: the instance as it will be, without what differs between several
/// (ids, addresses, zone if open).
struct LaunchOrder {
  Instance instance;
  const InstanceType* type = nullptr;
  std::int64_t least = 1, most = 1;
  std::string zone;  ///< "" if any will do
  bool spot = false;
  std::optional<Usd> highest_bid;    ///< for spot: the most to pay an hour, if it was said
  std::map<std::string, Tags> tags;  ///< by resource type
};
Api<LaunchOrder> read_launch(Call& call);
/// Raw bytes, at most 16 KiB, from base64.
Api<std::string> read_user_data(const std::string& encoded);

}  // namespace ferry::rehearsal
