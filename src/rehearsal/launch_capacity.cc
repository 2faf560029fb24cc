// What RunInstances says about the machines beneath: placement group, market, capacity reservation.
#include "base/units.h"
#include "rehearsal/launch.h"
#include "rehearsal/reservations.h"

namespace ferry::rehearsal {
namespace {

/// The zone that a cluster group's instances are in; "" if there are none.
std::string zone_of_group(const State& state, const std::string& group) {
  for (const auto& [id, instance] : state.instances)
    if (instance.placement_group == group && instance.phase != Phase::terminated) return instance.zone;
  return "";
}

Api<const PlacementGroup*> named_group(const Call& call) {
  const auto name = call.params.get("Placement.GroupName"), id = call.params.get("Placement.GroupId");
  if (name.empty() && id.empty()) return nullptr;
  if (!name.empty() && !id.empty())
    return refuse("InvalidParameterCombination",
                  "The placement group name and the placement group ID cannot be used together.");
  for (const auto& [key, group] : call.state.placement_groups)
    if (key == name || group.id == id) return &group;
  return unknown_placement_group(name.empty() ? id : name);
}

tl::unexpected<ApiError> mismatch(const CapacityReservation& reservation, std::string_view what, std::string_view has,
                                  std::string_view asked) {
  return refuse("InvalidParameterValue",
                fmt::format("The {} '{}' does not match the {} '{}' of the Capacity Reservation '{}'.", what, asked,
                            what, has, reservation.id));
}

/// Whether the order may run in `it`, whatever room there is.
Api<std::monostate> check_fit(const CapacityReservation& it, const LaunchOrder& order, std::int64_t now_ms) {
  const auto state = state_of(it, now_ms);
  if (state == "scheduled")
    return refuse("InvalidCapacityReservationState.PendingActivation",
                  fmt::format("The Capacity Reservation '{}' is not active yet.", it.id));
  if (state != "active")
    return refuse("InvalidCapacityReservationState.Unavailable",
                  fmt::format("The Capacity Reservation '{}' is {}.", it.id, state));
  if (order.spot || it.block_id.empty() == order.instance.in_block)
    return refuse("InvalidParameterValue",
                  "The market type (purchasing) option is not valid. Choose a different market type and try "
                  "again");
  if (it.type != order.type->name) return mismatch(it, "instance type", it.type, order.type->name);
  if (!order.zone.empty() && it.zone != order.zone) return mismatch(it, "Availability Zone", it.zone, order.zone);
  if (it.tenancy != order.instance.tenancy) return mismatch(it, "tenancy", it.tenancy, order.instance.tenancy);
  if (it.platform != "Linux/UNIX") return mismatch(it, "platform", it.platform, "Linux/UNIX");
  return std::monostate{};
}

}  // namespace

Api<std::monostate> read_placement_group(const Call& call, LaunchOrder& order) {
  API_SET(group, named_group(call));
  if (!group) return std::monostate{};
  order.instance.placement_group = group->name;
  if (group->strategy != "cluster") return std::monostate{};
  if (order.type->burstable())
    return refuse("InvalidParameterCombination",
                  fmt::format("Cluster placement groups are not supported by the '{}' instance type. Specify a "
                              "supported instance type or change the placement group strategy, and try again.",
                              order.type->name));
  const auto zone = zone_of_group(call.state, group->name);
  if (!zone.empty() && !order.zone.empty() && zone != order.zone)
    return refuse(
        "InvalidPlacementGroup.InUse",
        fmt::format("The placement group '{}' is in use in another availability zone: {}", group->name, zone));
  if (!zone.empty()) order.zone = zone;
  return std::monostate{};
}

Api<std::monostate> read_market(const Params& params, LaunchOrder& order) {
  if (!params.any("InstanceMarketOptions.")) return std::monostate{};
  const auto market = params.get("InstanceMarketOptions.MarketType");
  if (market == "capacity-block") {
    order.instance.in_block = true;
    return std::monostate{};
  }
  if (market != "spot") return invalid_value(market, "marketType");
  if (order.type->spot.empty())
    return refuse("InvalidParameterCombination", fmt::format("{} is not offered as spot", order.type->name));
  const auto asked = params.get("InstanceMarketOptions.SpotOptions.MaxPrice");
  const auto least = order.zone.empty() ? order.type->spot : spot_price(*order.type, order.zone);
  const auto price = parse_usd(least);
  if (!asked.empty()) {
    const auto bid = parse_usd(asked);
    if (!bid) return refuse("InvalidParameterValue", "Invalid value for MaxPrice");
    if (price && *bid < *price)
      return refuse("SpotMaxPriceTooLow",
                    fmt::format("Your Spot request price of {} is lower than the minimum required Spot "
                                "request fulfillment price of {}.",
                                asked, least));
    order.highest_bid = *bid;
  }
  order.spot = true;
  return std::monostate{};
}

Api<std::monostate> read_reservation(const Call& call, LaunchOrder& order) {
  const std::string prefix = "CapacityReservationSpecification.";
  const auto target = call.params.get(prefix + "CapacityReservationTarget.CapacityReservationId");
  const auto preference = call.params.get(prefix + "CapacityReservationPreference");
  if (call.params.has(prefix + "CapacityReservationTarget.CapacityReservationResourceGroupArn"))
    return refuse("UnsupportedOperation", "Groups of Capacity Reservations are not offered here");
  if (!preference.empty() && preference != "open" && preference != "none" && preference != only_reserved)
    return invalid_value(preference, "capacityReservationPreference");
  if (!target.empty() && !preference.empty() && preference != only_reserved)
    return refuse("InvalidParameterCombination",
                  "A Capacity Reservation preference cannot be used together with a target.");
  order.instance.capacity_preference = preference.empty() ? "open" : preference;
  if (order.spot && target.empty()) order.instance.capacity_preference = "none";
  if (target.empty() && order.instance.in_block)
    return refuse("InvalidParameterCombination",
                  "The capacity-block market type needs the ID of a Capacity Block as its Capacity Reservation "
                  "target.");
  if (target.empty()) return std::monostate{};
  const auto& all = call.state.capacity_reservations;
  API_TRY(check_ids({target}, reservation_ids, [&](const std::string& id) { return all.contains(id); }));
  const auto& reservation = all.at(target);
  API_TRY(check_fit(reservation, order, call.now_ms));
  const auto room = available(call.state, reservation);
  if (room < order.least) return reservation_full();
  order.zone = reservation.zone;
  order.most = std::min(order.most, room);
  order.instance.capacity_target = order.instance.capacity_reservation = target;
  return std::monostate{};
}

}  // namespace ferry::rehearsal
