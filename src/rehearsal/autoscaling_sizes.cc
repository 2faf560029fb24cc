// How many machines an Auto Scaling group has: said now, by time, or by a machine that is put in; and what it did.
#include <algorithm>

#include "base/text.h"
#include "os/clock.h"
#include "rehearsal/autoscaling.h"

namespace ferry::rehearsal {
namespace {

constexpr std::array<std::string_view, 9> all_processes = {
    "Launch",      "Terminate",        "AddToLoadBalancer", "AlarmNotification", "AZRebalance",
    "HealthCheck", "ReplaceUnhealthy", "ScheduledActions",  "InstanceRefresh"};

Api<std::vector<std::string>> read_processes(const Params& params) {
  auto asked = params.list("ScalingProcesses.member");
  for (const auto& process : asked)
    if (std::find(all_processes.begin(), all_processes.end(), process) == all_processes.end())
      return scaling_invalid(fmt::format("{} is not a valid scaling process.", process));
  if (asked.empty()) asked.assign(all_processes.begin(), all_processes.end());
  return asked;
}

const ScalingGroup* group_with(const State& state, const std::string& instance) {
  for (const auto& [name, group] : state.scaling_groups)
    for (const auto& member : group.members)
      if (member.id == instance) return &group;
  return nullptr;
}

Api<std::monostate> check_attachable(const State& state, const ScalingGroup& group, const std::string& id) {
  const auto found = state.instances.find(id);
  if (found == state.instances.end()) return scaling_invalid(fmt::format("Invalid Instance ID(s): [{}] specified", id));
  const auto& instance = found->second;
  if (const auto* other = group_with(state, id))
    return scaling_invalid(fmt::format("Instance {} is already part of AutoScalingGroup:{}", id, other->name));
  if (instance.phase != Phase::running)
    return scaling_invalid(
        fmt::format("Instance {} is not in correct state. Instance(s) must be in 'running' state.", id));
  if (std::find(group.zones.begin(), group.zones.end(), instance.zone) == group.zones.end())
    return scaling_invalid(fmt::format(
        "The availability zone {} of the instance {} is not one of the AutoScalingGroup.", instance.zone, id));
  const auto subnets = subnets_of(state, group);
  const auto* first = subnets.empty() ? nullptr : state.subnet(subnets.front());
  if (first && state.vpc_of(instance) != first->vpc_id)
    return scaling_invalid(fmt::format("The instance {} is not in the VPC of the AutoScalingGroup.", id));
  return std::monostate{};
}

/// A size of a scheduled action; -1: it stays.
Api<std::int64_t> read_size(const Params& params, const std::string& name) {
  API_SET(size, params.number(name, -1));
  if (params.has(name) && size < 0) return scaling_invalid(name + " must not be negative.");
  return size;
}

}  // namespace

Api<Xml> set_desired_capacity(Call& call) {
  API_SET(group, named_group(call));
  if (!call.params.has("DesiredCapacity")) return scaling_invalid("DesiredCapacity must not be null");
  API_SET(desired, call.params.number("DesiredCapacity", 0));
  if (desired > group->max)
    return scaling_invalid(fmt::format(
        "New SetDesiredCapacity value {} is above max value {} for the AutoScalingGroup.", desired, group->max));
  if (desired < group->min)
    return scaling_invalid(fmt::format(
        "New SetDesiredCapacity value {} is below min value {} for the AutoScalingGroup.", desired, group->min));
  group->desired = desired;
  return Xml();
}

Api<Xml> attach_instances(Call& call) {
  API_SET(group, named_group(call));
  const auto ids = call.params.list("InstanceIds.member");
  if (ids.empty()) return scaling_invalid("InstanceIds must not be empty.");
  for (const auto& id : ids) {
    API_TRY(check_attachable(call.state, *group, id));
  }
  const auto more = static_cast<std::int64_t>(ids.size());
  if (group->desired + more > group->max)
    return scaling_invalid(
        fmt::format("AutoScalingGroup {} has min-size={}, max-size={}, and desired-size={}. To attach {} "
                    "more instance{}, please update the AutoScalingGroup sizes appropriately.",
                    group->name, group->min, group->max, group->desired, more, more == 1 ? "" : "s"));
  group->desired += more;
  for (const auto& id : ids) {
    group->members.push_back({id, 0});
    call.state.tags[id]["aws:autoscaling:groupName"] = group->name;
    group->activities.push_back(
        {new_uuid(), "Attaching an existing EC2 instance: " + id,
         fmt::format("At {} an instance was added in response to user request.", os::iso_time(call.now_ms)),
         "Successful", "", call.now_ms, call.now_ms});
  }
  return Xml();
}

Api<Xml> suspend_processes(Call& call) {
  API_SET(group, named_group(call));
  API_SET(processes, read_processes(call.params));
  for (const auto& process : processes)
    if (group->does(process)) group->suspended.push_back(process);
  return Xml();
}

Api<Xml> resume_processes(Call& call) {
  API_SET(group, named_group(call));
  API_SET(processes, read_processes(call.params));
  for (const auto& process : processes) std::erase(group->suspended, process);
  return Xml();
}

Api<Xml> put_scheduled_action(Call& call) {
  API_SET(group, named_group(call));
  const Params& params = call.params;
  ScheduledAction action;
  action.name = params.get("ScheduledActionName");
  if (action.name.empty() || action.name.size() > 255)
    return scaling_invalid("ScheduledActionName must have 1 to 255 characters.");
  if (params.has("Recurrence")) return scaling_invalid("Recurring actions are not offered here.");
  API_SET(old_name, params.time("Time", 0));
  API_SET(start, params.time("StartTime", old_name));
  if (start <= call.now_ms) return scaling_invalid("Given start time is in the past");
  action.start_ms = start;
  API_SET(min, read_size(params, "MinSize"));
  API_SET(max, read_size(params, "MaxSize"));
  API_SET(desired, read_size(params, "DesiredCapacity"));
  if (min < 0 && max < 0 && desired < 0)
    return scaling_invalid("At least one of MinSize, MaxSize and DesiredCapacity must be specified.");
  if (min >= 0 && max >= 0 && min > max) return scaling_invalid("MinSize must not be greater than MaxSize.");
  action.min = min;
  action.max = max;
  action.desired = desired;
  for (const auto& other : group->scheduled)
    if (other.name != action.name && other.start_ms == start)
      return refuse("AlreadyExists", "There is already a scheduled action at that time.");
  std::erase_if(group->scheduled, [&](const ScheduledAction& it) { return it.name == action.name; });
  const auto at = std::find_if(group->scheduled.begin(), group->scheduled.end(),
                               [&](const ScheduledAction& it) { return it.name > action.name; });
  group->scheduled.insert(at, action);
  return Xml();
}

Api<Xml> delete_scheduled_action(Call& call) {
  API_SET(group, named_group(call));
  const auto name = call.params.get("ScheduledActionName");
  if (std::erase_if(group->scheduled, [&](const ScheduledAction& it) { return it.name == name; }) == 0)
    return scaling_invalid(fmt::format("Scheduled action name not found: {}", name));
  return Xml();
}

Api<Xml> describe_scheduled_actions(Call& call) {
  const auto group_name = call.params.get("AutoScalingGroupName");
  const auto names = call.params.list("ScheduledActionNames.member");
  using Found = std::pair<const ScalingGroup*, const ScheduledAction*>;
  std::vector<Found> found;
  for (const auto& [name, group] : call.state.scaling_groups)
    for (const auto& action : group.scheduled)
      if ((group_name.empty() || name == group_name) &&
          (names.empty() || std::find(names.begin(), names.end(), action.name) != names.end()))
        found.emplace_back(&group, &action);
  return scaling_page(call.params, "ScheduledUpdateGroupActions", found, [](Xml& xml, const Found& one) {
    const auto& [group, action] = one;
    const auto time = os::iso_time(action->start_ms);
    xml.text("AutoScalingGroupName", group->name)
        .text("ScheduledActionName", action->name)
        .text("ScheduledActionARN",
              fmt::format("arn:aws:autoscaling:{}:{}:scheduledUpdateGroupAction:{}:autoScalingGroupName/{}:"
                          "scheduledActionName/{}",
                          region_name, account_id, group->uuid, group->name, action->name))
        .text("Time", time)
        .text("StartTime", time);
    if (action->min >= 0) xml.number("MinSize", action->min);
    if (action->max >= 0) xml.number("MaxSize", action->max);
    if (action->desired >= 0) xml.number("DesiredCapacity", action->desired);
  });
}

Api<Xml> describe_scaling_activities(Call& call) {
  const auto group_name = call.params.get("AutoScalingGroupName");
  using Found = std::pair<const ScalingGroup*, const ScalingActivity*>;
  std::vector<Found> found;
  for (const auto& [name, group] : call.state.scaling_groups)
    if (group_name.empty() || name == group_name)
      for (auto it = group.activities.rbegin(); it != group.activities.rend(); ++it) found.emplace_back(&group, &*it);
  return scaling_page(call.params, "Activities", found, [](Xml& xml, const Found& one) {
    const auto& [group, it] = one;
    xml.text("ActivityId", it->id)
        .text("AutoScalingGroupName", group->name)
        .text("Description", it->description)
        .text("Cause", it->cause)
        .text("StartTime", os::iso_time(it->start_ms, true))
        .text("EndTime", os::iso_time(it->end_ms, true))
        .text("StatusCode", it->status)
        .some("StatusMessage", it->message)
        .number("Progress", 100)
        .text("Details", "{}")
        .text("AutoScalingGroupARN", group->arn());
  });
}

Api<Xml> describe_scaling_instances(Call& call) {
  const auto ids = call.params.list("InstanceIds.member");
  using Found = std::pair<const ScalingGroup*, const Instance*>;
  std::vector<Found> found;
  for (const auto& [name, group] : call.state.scaling_groups)
    for (const auto& member : group.members) {
      const auto at = call.state.instances.find(member.id);
      const bool asked = ids.empty() || std::find(ids.begin(), ids.end(), member.id) != ids.end();
      if (asked && at != call.state.instances.end()) found.emplace_back(&group, &at->second);
    }
  return scaling_page(call.params, "AutoScalingInstances", found, [&](Xml& xml, const Found& one) {
    const auto& [group, instance] = one;
    const bool well = instance->phase == Phase::pending || instance->phase == Phase::running;
    xml.text("InstanceId", instance->id)
        .text("InstanceType", instance->type)
        .text("AutoScalingGroupName", group->name)
        .text("AvailabilityZone", instance->zone)
        .text("LifecycleState", lifecycle_name(call.state, instance->id))
        .text("HealthStatus", well ? "HEALTHY" : "UNHEALTHY")
        .flag("ProtectedFromScaleIn", false);
  });
}

}  // namespace ferry::rehearsal
