// What RunInstances says about the machines beneath: the placement group.
#include "rehearsal/launch.h"

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

}  // namespace

Api<std::monostate> read_placement_group(const Call& call, LaunchOrder& order) {
  API_SET(group, named_group(call));
  if (!group) return std::monostate{};
  order.instance.placement_group = group->name;
  if (group->strategy != "cluster") return std::monostate{};
  if (order.type->burstable())
    return refuse(
        "InvalidParameterCombination",
        fmt::format("Cluster placement groups are not supported by the '{}' instance type. Specify a "
                    "supported instance type or change the placement group strategy, and try again.",
                    order.type->name));
  const auto zone = zone_of_group(call.state, group->name);
  if (!zone.empty() && !order.zone.empty() && zone != order.zone)
    return refuse("InvalidPlacementGroup.InUse",
                  fmt::format("The placement group '{}' is in use in another availability zone: {}",
                              group->name, zone));
  if (!zone.empty()) order.zone = zone;
  return std::monostate{};
}

}  // namespace ferry::rehearsal
