// What RunInstances says about the network: subnet or zone, security groups, and a public address.
#include "rehearsal/launch.h"

namespace ferry::rehearsal {
namespace {

Api<std::monostate> read_zone(const Call& call, LaunchOrder& order) {
  order.zone = call.params.get("Placement.AvailabilityZone");
  if (!order.zone.empty() && std::find(zones().begin(), zones().end(), order.zone) == zones().end())
    return refuse("InvalidParameterValue", fmt::format("Invalid availability zone: [{}]", order.zone));
  if (order.subnet_id.empty()) {
    if (!call.has_default_vpc()) return refuse("VPCIdNotSpecified", "No default VPC for this user");
    return std::monostate{};
  }
  API_TRY(check_ids({order.subnet_id}, subnet_ids,
                    [&](const std::string& id) { return call.state.subnet(id) != nullptr; }));
  const auto& zone = call.state.subnet(order.subnet_id)->zone;
  if (!order.zone.empty() && order.zone != zone)
    return refuse("InvalidParameterValue",
                  fmt::format("The availability zone '{}' does not match the subnet's zone '{}'", order.zone, zone));
  order.zone = zone;
  return std::monostate{};
}

/// Groups are named by id; in the default VPC, and where no subnet is said, also by name.
Api<std::monostate> read_groups(const Call& call, const std::string& interface, LaunchOrder& order) {
  const State& state = call.state;
  auto ids = call.params.list("SecurityGroupId");
  const auto names = call.params.list("SecurityGroup");
  if (!interface.empty()) {
    if (!ids.empty() || !names.empty())
      return refuse("InvalidParameterCombination",
                    "Network interfaces and an instance-level security groups may not be specified on the "
                    "same request");
    ids = call.params.list(interface + "SecurityGroupId");
  }
  if (!names.empty() && !order.subnet_id.empty())
    return refuse("InvalidParameterCombination", "The parameter groupName cannot be used with the parameter subnet");
  API_TRY(check_ids(ids, group_ids, [&](const std::string& id) { return state.groups.contains(id); }));
  for (const auto& name : names) {
    const auto* group = state.group_named(state.vpc_id, name);
    if (!group)
      return refuse("InvalidGroup.NotFound",
                    fmt::format("The security group '{}' does not exist in VPC '{}'", name, state.vpc_id));
    ids.push_back(group->id);
  }
  order.instance.groups = ids;
  return std::monostate{};
}

}  // namespace

Api<std::monostate> read_network(const Call& call, LaunchOrder& order) {
  const auto interfaces = call.params.items("NetworkInterface");
  const std::string interface = interfaces.empty() ? "" : interfaces.front();
  order.subnet_id = call.params.get("SubnetId");
  if (!interface.empty()) {
    if (!order.subnet_id.empty())
      return refuse("InvalidParameterCombination",
                    "Network interfaces and an instance-level subnet ID may not be specified on the same request");
    order.subnet_id = call.params.get(interface + "SubnetId");
    if (call.params.has(interface + "AssociatePublicIpAddress")) {
      API_SET(wanted, call.params.flag(interface + "AssociatePublicIpAddress", false));
      order.public_address = wanted;
    }
  }
  API_TRY(read_zone(call, order));
  return read_groups(call, interface, order);
}

Api<std::monostate> settle_groups(const State& state, const Subnet& subnet, Instance& instance) {
  if (instance.groups.empty()) instance.groups = {state.group_named(subnet.vpc_id, "default")->id};
  for (const auto& id : instance.groups)
    if (state.groups.at(id).vpc_id != subnet.vpc_id)
      return refuse("InvalidParameter",
                    fmt::format("Security group {} and subnet {} belong to different networks.", id, subnet.id));
  return std::monostate{};
}

}  // namespace ferry::rehearsal
