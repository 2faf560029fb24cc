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
  std::string subnet_id;               ///< "" for a default one
  std::string zone;                    ///< "" if any will do
  std::optional<bool> public_address;  ///< unset: as the subnet has it
  bool spot = false;
  std::optional<Usd> highest_bid;    ///< for spot: the most to pay an hour, if it was said
  std::map<std::string, Tags> tags;  ///< by resource type
};
Api<LaunchOrder> read_launch(Call& call);
/// Its part about subnet, zone, security groups and public address.
Api<std::monostate> read_network(const Call& call, LaunchOrder& order);
/// Its part about the placement group; may narrow the zone.
Api<std::monostate> read_placement_group(const Call& call, LaunchOrder& order);
/// Its part about the market: on demand, spot or capacity-block.
Api<std::monostate> read_market(const Params& params, LaunchOrder& order);
/// Its part about capacity reservations, of any market; may narrow the zone, and `most`.
Api<std::monostate> read_reservation(const Call& call, LaunchOrder& order);
/// Gives an instance for `subnet` the default security group if it has none; InvalidParameter if one of its
/// groups belongs to another VPC.
Api<std::monostate> settle_groups(const State& state, const Subnet& subnet, Instance& instance);
/// Raw bytes, at most 16 KiB, from base64.
Api<std::string> read_user_data(const std::string& encoded);

}  // namespace ferry::rehearsal
