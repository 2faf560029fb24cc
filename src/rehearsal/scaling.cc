// What makes Auto Scaling's groups true: one piece of work after the other, until there is none.
#include <algorithm>

#include "base/text.h"
#include "os/clock.h"
#include "rehearsal/autoscaling.h"
#include "rehearsal/launch_templates.h"
#include "rehearsal/tagging.h"

namespace ferry::rehearsal {
namespace {

constexpr std::int64_t first_retry_ms = 1000, longest_retry_ms = 30'000;
constexpr std::size_t most_activities = 100;

enum class Work { none, schedule, forget, end, launch, erase };

/// What a group needs next, and which of its machines that is about.
struct Next {
  Work work = Work::none;
  std::string instance = {};
};

bool lives(const Instance& instance) { return instance.phase == Phase::pending || instance.phase == Phase::running; }

bool is_off(const Instance& instance) { return instance.phase == Phase::stopping || instance.phase == Phase::stopped; }

Next next_work(const State& state, const ScalingGroup& group, std::int64_t now_ms) {
  const auto is_due = [&](const ScheduledAction& it) { return it.start_ms <= now_ms; };
  if (group.does("ScheduledActions") && std::any_of(group.scheduled.begin(), group.scheduled.end(), is_due))
    return {Work::schedule};
  std::int64_t living = 0;
  std::string oldest;
  for (const auto& member : group.members) {
    const auto found = state.instances.find(member.id);
    if (found == state.instances.end() || found->second.phase == Phase::terminated) return {Work::forget, member.id};
    if (is_off(found->second) && (group.is_going || (group.does("HealthCheck") && group.does("ReplaceUnhealthy"))))
      return {Work::end, member.id};
    if (!lives(found->second)) continue;
    ++living;
    if (oldest.empty()) oldest = member.id;
  }
  if (group.is_going && group.members.empty()) return {Work::erase};
  if (living > group.desired && group.does("Terminate")) return {Work::end, oldest};
  const auto all = static_cast<std::int64_t>(group.members.size());
  if (all < group.desired && group.does("Launch") && now_ms >= group.retry_ms) return {Work::launch};
  return {};
}

void note(ScalingGroup& group, std::int64_t now_ms, std::string description, std::string cause,
          std::string status = "Successful", std::string message = {}) {
  group.activities.push_back(
      {new_uuid(), std::move(description), std::move(cause), std::move(status), std::move(message), now_ms, now_ms});
  if (group.activities.size() > most_activities) group.activities.erase(group.activities.begin());
}

void run_schedule(ScalingGroup& group, std::int64_t now_ms) {
  for (const auto& action : group.scheduled) {
    if (action.start_ms > now_ms) continue;
    if (action.min >= 0) group.min = action.min;
    if (action.max >= 0) group.max = action.max;
    const auto wanted = action.desired >= 0 ? action.desired : group.desired;
    group.desired = std::clamp(wanted, group.min, std::max(group.min, group.max));
  }
  std::erase_if(group.scheduled, [&](const ScheduledAction& it) { return it.start_ms <= now_ms; });
}

void end_instance(Call& call, ScalingGroup& group, const std::string& id) {
  Instance& instance = call.state.instances.at(id);
  const auto time = os::iso_time(call.now_ms);
  note(group, call.now_ms, "Terminating EC2 instance: " + id,
       is_off(instance)
           ? fmt::format("At {} an instance was taken out of service in response to an EC2 health check indicating it "
                         "has been terminated or stopped.",
                         time)
           : fmt::format("At {} an instance was taken out of service in response to a difference between desired and "
                         "actual capacity.",
                         time));
  instance.phase = Phase::shutting_down;
  instance.phase_ms = call.now_ms;
  instance.reason_code = "Client.UserInitiatedShutdown";
  instance.reason_message = "Client.UserInitiatedShutdown: User initiated shutdown";
  instance.transition_reason = fmt::format("User initiated ({} {} GMT)", time.substr(0, 10), time.substr(11, 8));
}

/// RunInstances of a group's template, in the first of its subnets where it goes; the id.
Api<std::string> launch_one(Call& call, const ScalingGroup& group) {
  API_SET(from, template_of(call.state, group));
  const auto subnets = subnets_of(call.state, group);
  if (subnets.empty()) return scaling_invalid("No default subnet for the availability zones of the group.");
  std::optional<ApiError> refused;
  for (const auto& subnet : subnets) {
    auto params = params_of(*from.version, subnet);
    params.set("ClientToken", new_uuid());
    Call launch{params, call.state, call.faults, call.now_ms, call.boot_ms, call.machines};
    const auto answer = run_instances(launch);
    if (answer) return call.state.tokens.at(params.get("ClientToken")).instance_ids.front();
    if (!refused) refused = answer.error();
    if (answer.error().code != "InsufficientInstanceCapacity") return tl::unexpected(answer.error());
  }
  return tl::unexpected(*refused);
}

void launch(Call& call, ScalingGroup& group) {
  const auto time = os::iso_time(call.now_ms);
  const auto actual = static_cast<std::int64_t>(group.members.size());
  const auto cause = fmt::format(
      "At {} an instance was started in response to a difference between desired and actual capacity, increasing the "
      "capacity from {} to {}.",
      time, actual, actual + 1);
  const auto id = launch_one(call, group);
  if (!id) {
    group.retry_ms =
        call.now_ms + std::min(longest_retry_ms, first_retry_ms << std::min<std::int64_t>(10, group.failures));
    ++group.failures;
    const auto& why = id.error().message;
    note(group, call.now_ms,
         fmt::format("Launching a new EC2 instance.  Status Reason: {} Launching EC2 instance failed.", why), cause,
         "Failed", why + " Launching EC2 instance failed.");
    return;
  }
  group.failures = group.retry_ms = 0;
  const auto from = template_of(call.state, group);
  group.members.push_back({*id, from->version->number});
  auto& tags = call.state.tags[*id];
  for (const auto& tag : group.tags)
    if (tag.at_launch) tags[tag.key] = tag.value;
  tags["aws:autoscaling:groupName"] = group.name;
  tags["aws:ec2launchtemplate:id"] = from->of->id;
  tags["aws:ec2launchtemplate:version"] = std::to_string(from->version->number);
  note(group, call.now_ms, "Launching a new EC2 instance: " + *id, cause);
}

void forget(Call& call, ScalingGroup& group, const std::string& id) {
  std::erase_if(group.members, [&](const GroupMember& it) { return it.id == id; });
  const auto last = group.activities.empty() ? "" : group.activities.back().description;
  if (last != "Terminating EC2 instance: " + id)  // it ended by itself
    note(group, call.now_ms, "Terminating EC2 instance: " + id,
         fmt::format("At {} an instance was taken out of service in response to an EC2 health check indicating it has "
                     "been terminated or stopped.",
                     os::iso_time(call.now_ms)));
}

}  // namespace

std::string_view lifecycle_name(const State& state, const std::string& instance_id) {
  const auto found = state.instances.find(instance_id);
  if (found == state.instances.end()) return "Terminated";
  switch (found->second.phase) {
    case Phase::pending:
      return "Pending";
    case Phase::running:
    case Phase::stopping:
    case Phase::stopped:
      return "InService";
    case Phase::shutting_down:
      return "Terminating";
    case Phase::terminated:
      return "Terminated";
  }
  return "Terminated";
}

bool needs_scaling(const State& state, std::int64_t now_ms) {
  return std::any_of(state.scaling_groups.begin(), state.scaling_groups.end(),
                     [&](const auto& it) { return next_work(state, it.second, now_ms).work != Work::none; });
}

std::int64_t next_scaling_ms(const State& state, std::int64_t now_ms) {
  std::int64_t next = 0;
  const auto sooner = [&](std::int64_t at) {
    if (at > now_ms && (next == 0 || at < next)) next = at;
  };
  for (const auto& [name, group] : state.scaling_groups) {
    for (const auto& action : group.scheduled) sooner(action.start_ms);
    if (static_cast<std::int64_t>(group.members.size()) < group.desired) sooner(group.retry_ms);
  }
  return next;
}

void scale(Call& call) {
  std::vector<std::string> names;
  for (const auto& [name, group] : call.state.scaling_groups) names.push_back(name);
  for (const auto& name : names) {
    while (true) {
      auto& group = call.state.scaling_groups.at(name);
      const auto next = next_work(call.state, group, call.now_ms);
      if (next.work == Work::none) break;
      if (next.work == Work::schedule) run_schedule(group, call.now_ms);
      if (next.work == Work::forget) forget(call, group, next.instance);
      if (next.work == Work::end) end_instance(call, group, next.instance);
      if (next.work == Work::launch) launch(call, group);
      if (next.work != Work::erase) continue;
      call.state.scaling_groups.erase(name);
      break;
    }
  }
}

}  // namespace ferry::rehearsal
