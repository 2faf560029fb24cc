// Auto Scaling groups: making, changing, describing and deleting them.
#include <algorithm>

#include "base/text.h"
#include "os/clock.h"
#include "rehearsal/autoscaling.h"
#include "rehearsal/launch.h"
#include "rehearsal/launch_templates.h"

namespace ferry::rehearsal {
namespace {

constexpr std::size_t most_groups = 500;

tl::unexpected<ApiError> bad_template(const std::string& why) {
  return scaling_invalid("You must use a valid fully-formed launch template. " + why);
}

Api<std::monostate> read_template(const Call& call, ScalingGroup& group) {
  const auto id = call.params.get("LaunchTemplate.LaunchTemplateId"),
             name = call.params.get("LaunchTemplate.LaunchTemplateName");
  if (id.empty() && name.empty()) return std::monostate{};
  if (!id.empty() && !name.empty())
    return scaling_invalid("Valid requests must contain either launchTemplateId or LaunchTemplateName");
  const auto* found = find_template(call.state, id, name);
  if (!found)
    return bad_template(fmt::format("The specified launch template, with template {} {}, does not exist.",
                                    id.empty() ? "name" : "ID", id.empty() ? name : id));
  group.template_id = found->id;
  group.template_version = call.params.get("LaunchTemplate.Version", "$Default");
  API_TRY(template_of(call.state, group));
  return std::monostate{};
}

Api<std::monostate> read_sizes(const Params& params, ScalingGroup& group) {
  API_SET(min, params.number("MinSize", group.min));
  API_SET(max, params.number("MaxSize", group.max));
  if (min < 0 || max < 0) return scaling_invalid("MinSize and MaxSize must not be negative.");
  if (max < min)
    return scaling_invalid(fmt::format("Max bound, {}, must be greater than or equal to min bound, {}", max, min));
  API_SET(desired, params.number("DesiredCapacity", std::clamp(group.desired, min, max)));
  if (desired < min || desired > max)
    return scaling_invalid(fmt::format("Desired capacity:{} must be between the specified min size:{} and max size:{}",
                                       desired, min, max));
  group.min = min;
  group.max = max;
  group.desired = desired;
  return std::monostate{};
}

Api<std::monostate> read_place(const Call& call, ScalingGroup& group) {
  if (call.params.has("VPCZoneIdentifier")) {
    group.subnet_ids.clear();
    group.zones.clear();
    for (const auto& each : split(call.params.get("VPCZoneIdentifier"), ',')) {
      const std::string id(trim(each));
      const auto* subnet = call.state.subnet(id);
      if (!subnet) return scaling_invalid(fmt::format("The subnet ID '{}' does not exist", id));
      group.subnet_ids.push_back(id);
      if (std::find(group.zones.begin(), group.zones.end(), subnet->zone) == group.zones.end())
        group.zones.push_back(subnet->zone);
    }
  }
  if (const auto asked = call.params.list("AvailabilityZones.member"); !asked.empty()) {
    for (const auto& zone : asked)
      if (std::find(zones().begin(), zones().end(), zone) == zones().end())
        return scaling_invalid(fmt::format("Invalid availability zone: [{}]", zone));
    if (!group.subnet_ids.empty() &&
        !std::is_permutation(asked.begin(), asked.end(), group.zones.begin(), group.zones.end()))
      return scaling_invalid("The availability zones of the specified subnets and the AutoScalingGroup do not match");
    group.zones = asked;
  }
  std::sort(group.zones.begin(), group.zones.end());
  return std::monostate{};
}

Api<std::monostate> read_habits(const Params& params, ScalingGroup& group) {
  group.health_check = params.get("HealthCheckType", group.health_check);
  if (group.health_check != "EC2" && group.health_check != "ELB")
    return scaling_invalid("HealthCheckType must be EC2 or ELB.");
  API_SET(grace, params.number("HealthCheckGracePeriod", group.grace_s));
  API_SET(cooldown, params.number("DefaultCooldown", group.cooldown_s));
  API_SET(protects, params.flag("NewInstancesProtectedFromScaleIn", group.protects_new));
  API_SET(rebalances, params.flag("CapacityRebalance", group.rebalances));
  group.grace_s = grace;
  group.cooldown_s = cooldown;
  group.protects_new = protects;
  group.rebalances = rebalances;
  if (auto policies = params.list("TerminationPolicies.member"); !policies.empty())
    group.termination_policies = policies;
  return std::monostate{};
}

/// What is not offered must not be taken for granted.
Api<std::monostate> check_offered(const Params& params) {
  for (const char* member : {"LaunchConfigurationName", "InstanceId", "MixedInstancesPolicy.", "LoadBalancerNames.",
                             "TargetGroupARNs.", "LifecycleHookSpecificationList.", "TrafficSources."})
    if (params.any(member)) return scaling_invalid(fmt::format("{} is not offered here.", member));
  return std::monostate{};
}

/// Auto Scaling tries whether a machine could be launched so, before it takes the template.
Api<std::monostate> check_launch(const Call& call, const ScalingGroup& group) {
  API_SET(from, template_of(call.state, group));
  State trial = call.state;
  Faults faults = call.faults.for_dry_run();
  const auto subnets = subnets_of(call.state, group);
  const auto params = params_of(*from.version, subnets.empty() ? "" : subnets.front());
  Call probe{params, trial, faults, call.now_ms, call.boot_ms, call.machines};
  if (const auto order = read_launch(probe); !order) return bad_template(order.error().message);
  return std::monostate{};
}

Api<std::monostate> read_group(const Call& call, ScalingGroup& group) {
  API_TRY(check_offered(call.params));
  API_TRY(read_template(call, group));
  if (group.template_id.empty())
    return scaling_invalid(
        "Valid requests must contain either LaunchTemplate, LaunchConfigurationName, InstanceId or "
        "MixedInstancesPolicy "
        "parameter.");
  API_TRY(read_sizes(call.params, group));
  API_TRY(read_place(call, group));
  if (group.zones.empty()) return scaling_invalid("At least one Availability Zone or VPC Subnet is required.");
  API_TRY(read_habits(call.params, group));
  return check_launch(call, group);
}

void write_template(Xml& xml, const LaunchTemplate* of, const std::string& id, const std::string& version) {
  xml.node("LaunchTemplate", [&] {
    xml.text("LaunchTemplateId", id).some("LaunchTemplateName", of ? of->name : "").text("Version", version);
  });
}

void write_member(Xml& xml, const State& state, const ScalingGroup& group, const GroupMember& member) {
  const auto found = state.instances.find(member.id);
  if (found == state.instances.end()) return;
  const auto& instance = found->second;
  const bool well = instance.phase == Phase::pending || instance.phase == Phase::running;
  xml.text("InstanceId", member.id)
      .text("InstanceType", instance.type)
      .text("AvailabilityZone", instance.zone)
      .text("LifecycleState", lifecycle_name(state, member.id))
      .text("HealthStatus", well ? "Healthy" : "Unhealthy")
      .flag("ProtectedFromScaleIn", false);
  const auto* of = find_template(state, group.template_id, "");
  if (member.version > 0) write_template(xml, of, group.template_id, std::to_string(member.version));
}

template <class Range, class Body>
void members(Xml& xml, std::string_view name, const Range& range, Body body) {
  xml.node(name, [&] {
    for (const auto& each : range) xml.node("member", [&] { body(each); });
  });
}

void write_group(Xml& xml, const State& state, const ScalingGroup& group, bool with_instances) {
  xml.text("AutoScalingGroupName", group.name).text("AutoScalingGroupARN", group.arn());
  write_template(xml, find_template(state, group.template_id, ""), group.template_id, group.template_version);
  xml.number("MinSize", group.min)
      .number("MaxSize", group.max)
      .number("DesiredCapacity", group.desired)
      .number("DefaultCooldown", group.cooldown_s);
  members(xml, "AvailabilityZones", group.zones, [&](const std::string& zone) { xml.raw(zone); });
  xml.raw("<LoadBalancerNames/><TargetGroupARNs/>");
  xml.text("HealthCheckType", group.health_check).number("HealthCheckGracePeriod", group.grace_s);
  if (with_instances)
    members(xml, "Instances", group.members,
            [&](const GroupMember& member) { write_member(xml, state, group, member); });
  xml.text("CreatedTime", os::iso_time(group.created_ms, true));
  members(xml, "SuspendedProcesses", group.suspended, [&](const std::string& process) {
    xml.text("ProcessName", process).text("SuspensionReason", "User suspended");
  });
  xml.text("VPCZoneIdentifier", join(group.subnet_ids, ",")).raw("<EnabledMetrics/>");
  if (group.is_going) xml.text("Status", "Delete in progress");
  members(xml, "Tags", group.tags, [&](const GroupTag& tag) { write_group_tag(xml, group.name, tag); });
  const auto policies =
      group.termination_policies.empty() ? std::vector<std::string>{"Default"} : group.termination_policies;
  members(xml, "TerminationPolicies", policies, [&](const std::string& policy) { xml.raw(xml_escaped(policy)); });
  xml.flag("NewInstancesProtectedFromScaleIn", group.protects_new)
      .text("ServiceLinkedRoleARN", fmt::format("arn:aws:iam::{}:role/aws-service-role/autoscaling.amazonaws.com/"
                                                "AWSServiceRoleForAutoScaling",
                                                account_id))
      .flag("CapacityRebalance", group.rebalances)
      .raw("<TrafficSources/>");
}

struct TagFilter {
  std::string name;
  std::vector<std::string> values;
};

Api<std::vector<TagFilter>> read_filters(const Params& params) {
  std::vector<TagFilter> filters;
  for (const auto& item : params.items("Filters.member")) {
    TagFilter filter{params.get(item + "Name"), params.list(item + "Values.member")};
    if (filter.name != "tag-key" && filter.name != "tag-value" && !filter.name.starts_with("tag:"))
      return scaling_invalid(
          fmt::format("Filter type {} is not correct. Allowed Filter types are: tag-key, tag-value, "
                      "tag:<key>",
                      filter.name));
    filters.push_back(std::move(filter));
  }
  return filters;
}

bool matches(const ScalingGroup& group, const std::vector<TagFilter>& filters) {
  return std::all_of(filters.begin(), filters.end(), [&](const TagFilter& filter) {
    return std::any_of(group.tags.begin(), group.tags.end(), [&](const GroupTag& tag) {
      const auto& word = filter.name == "tag-key" ? tag.key : tag.value;
      const bool of_key = !filter.name.starts_with("tag:") || filter.name.substr(4) == tag.key;
      return of_key && std::find(filter.values.begin(), filter.values.end(), word) != filter.values.end();
    });
  });
}

}  // namespace

Api<GroupTemplate> template_of(const State& state, const ScalingGroup& group) {
  const auto* of = find_template(state, group.template_id, "");
  if (!of)
    return bad_template(
        fmt::format("The specified launch template, with template ID {}, does not exist.", group.template_id));
  const auto* version = of->version(group.template_version);
  if (!version)
    return bad_template(fmt::format("Could not find the version {} of the launch template {}.", group.template_version,
                                    group.template_id));
  return GroupTemplate{of, version};
}

std::vector<std::string> subnets_of(const State& state, const ScalingGroup& group) {
  if (!group.subnet_ids.empty()) return group.subnet_ids;
  std::vector<std::string> ids;
  for (const auto& subnet : state.subnets)
    if (subnet.default_for_zone && subnet.vpc_id == state.vpc_id &&
        std::find(group.zones.begin(), group.zones.end(), subnet.zone) != group.zones.end())
      ids.push_back(subnet.id);
  return ids;
}

Api<Xml> create_scaling_group(Call& call) {
  const auto name = call.params.get("AutoScalingGroupName");
  if (name.empty() || name.size() > 255) return scaling_invalid("AutoScalingGroupName must have 1 to 255 characters.");
  auto& groups = call.state.scaling_groups;
  if (groups.contains(name))
    return refuse("AlreadyExists",
                  fmt::format("AutoScalingGroup by this name already exists - A group with the name {} "
                              "already exists",
                              name));
  if (groups.size() >= most_groups)
    return refuse("LimitExceeded", "You have already reached the maximum number of Auto Scaling groups.");
  for (const char* size : {"MinSize", "MaxSize"})
    if (!call.params.has(size)) return scaling_invalid(fmt::format("{} must not be null", size));
  ScalingGroup group;
  group.name = name;
  group.uuid = new_uuid();
  group.created_ms = call.now_ms;
  API_SET(tags, read_group_tags(call.params));
  group.tags = std::move(tags);
  API_TRY(read_group(call, group));
  groups[name] = std::move(group);
  return Xml();
}

Api<Xml> update_scaling_group(Call& call) {
  API_SET(known, named_group(call));
  ScalingGroup group = *known;
  API_TRY(read_group(call, group));
  *known = std::move(group);
  return Xml();
}

Api<Xml> delete_scaling_group(Call& call) {
  API_SET(group, named_group(call));
  API_SET(by_force, call.params.flag("ForceDelete", false));
  if (!group->members.empty() && !by_force)
    return refuse("ResourceInUse",
                  "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance request(s) "
                  "still in the group.");
  group->is_going = true;
  group->min = group->max = group->desired = 0;
  group->scheduled.clear();
  group->suspended.clear();
  if (group->members.empty()) call.state.scaling_groups.erase(std::string(group->name));
  return Xml();
}

Api<Xml> describe_scaling_groups(Call& call) {
  API_SET(filters, read_filters(call.params));
  API_SET(with_instances, call.params.flag("IncludeInstances", true));
  const auto names = call.params.list("AutoScalingGroupNames.member");
  std::vector<const ScalingGroup*> found;
  for (const auto& [name, group] : call.state.scaling_groups) {
    const bool asked = names.empty() || std::find(names.begin(), names.end(), name) != names.end();
    if (asked && matches(group, filters)) found.push_back(&group);
  }
  return scaling_page(call.params, "AutoScalingGroups", found, [&](Xml& xml, const ScalingGroup* group) {
    write_group(xml, call.state, *group, with_instances);
  });
}

}  // namespace ferry::rehearsal
