#include "cloud/stand_in.h"

#include <algorithm>

#include "aws/autoscaling.h"
#include "aws/ec2_catalog.h"
#include "aws/launch_templates.h"
#include "base/text.h"
#include "os/clock.h"

namespace ferry::cloud {
namespace {

constexpr const char* run_tag = "ferry:run";
constexpr int delete_attempts = 6;
constexpr Millis delete_again{2000};

Status fine_if(Kind kind, Status status) {
  if (status || status.error().kind == kind) return {};
  return status;
}

std::string run_of(const Tags& tags) {
  const auto found = tags.find(run_tag);
  return found == tags.end() ? "" : found->second;
}

/// A thing of that name that was made for something else is not ours to change.
Status check_is_ours(const std::string& what, const StandInOrder& order, const Tags& tags) {
  if (run_of(tags) == run_of(order.machine.tags)) return {};
  return fail(Kind::conflict, fmt::format("there is a {} called {} that was not made for this run", what, order.name),
              {}, "delete or rename it, or use another --name");
}

Result<std::optional<aws::ScalingGroupRecord>> find_group(aws::Client& client, const std::string& name) {
  TRY_SET(all, "", aws::describe_scaling_groups(client, {name}));
  for (auto& one : all)
    if (one.name == name) return std::move(one);
  return std::nullopt;
}

/// The template with what the order says in its newest version. A ferry that was killed may have made it already.
Result<aws::LaunchTemplateVersion> make_template(aws::Client& client, const StandInOrder& order,
                                                 const aws::RunInstances& machine) {
  auto made = aws::create_launch_template(client, order.name, machine, order.machine.tags);
  if (made || made.error().kind != Kind::exists) return made;
  TRY_SET(known, "", aws::describe_launch_template(client, order.name));
  if (known) TRY("", check_is_ours("launch template", order, known->tags));
  return aws::create_launch_template_version(client, order.name, machine);
}

/// The default subnets where such a machine can stand: only the machine's own where something keeps it there.
Result<std::vector<std::string>> subnets_for(aws::Client& client, const StandInOrder& order) {
  if (!order.subnet_ids.empty()) return order.subnet_ids;
  const auto& machine = order.machine;
  if (!machine.subnet_id.empty()) return std::vector{machine.subnet_id};
  const bool stays = !machine.placement_group.empty() || !machine.capacity_reservation_id.empty();
  std::vector<std::string> zones{machine.offer.zone};
  if (!stays) {
    TRY_SET(offerings, "", aws::describe_instance_type_offerings(client, {machine.offer.type.name}));
    for (const auto& offering : offerings) zones.push_back(offering.zone);
  }
  TRY_SET(subnets, "", aws::describe_subnets(client, {{"default-for-az", {"true"}}}));
  std::vector<std::string> ids;
  for (const auto& subnet : subnets)
    if (std::find(zones.begin(), zones.end(), subnet.zone) != zones.end()) ids.push_back(subnet.id);
  if (!ids.empty()) return ids;
  return fail(Kind::not_found, "no default subnet in " + client.config().region + " is for " + machine.offer.type.name,
              {}, "choose a subnet of your own (--subnet), or make one: aws ec2 create-default-subnet");
}

/// The group, with room for one machine; one that is there keeps what it has.
Status make_group(aws::Client& client, const StandInOrder& order, const aws::ScalingGroupOrder& wanted) {
  auto made = aws::create_scaling_group(client, wanted);
  if (made || made.error().kind != Kind::exists) return made;
  TRY_SET(known, "", find_group(client, order.name));
  if (known && known->is_going)
    return fail(Kind::conflict, "the Auto Scaling group " + order.name + " is still being deleted", {},
                "repeat in a minute: it goes when its machine has ended", "ScalingActivityInProgress");
  if (known) TRY("", check_is_ours("Auto Scaling group", order, known->tags));
  return aws::update_scaling_group(client, wanted);
}

/// Auto Scaling says all its refusals with one code; which it was, is looked up.
Status attach(aws::Client& client, const StandInOrder& order) {
  auto attached = aws::attach_instance(client, order.name, order.instance_id);
  if (attached || (attached.error().kind != Kind::bad_input && attached.error().kind != Kind::not_found))
    return attached;
  TRY_SET(group, "", find_group(client, order.name));
  if (group && group->has(order.instance_id)) return {};
  auto error = std::move(attached).error();
  error.kind = Kind::conflict;
  error.advice = "`ferry ps` shows what there is: the machine must be running, and be of no other group";
  return fail("", error);
}

}  // namespace

Status make_stand_in(aws::Client& client, const StandInOrder& order, const aws::RunInstances& machine) {
  const std::string doing = "have AWS replace the machine of " + order.name;
  if (order.until_ms <= client.clock().now_ms())
    return fail(Kind::bad_input, doing, "its end, " + os::iso_time(order.until_ms) + ", is over", {});
  // Nothing is launched by a group that is to have no machine: that comes last, after the end is fixed.
  TRY_SET(version, doing, make_template(client, order, machine));
  TRY_SET(subnets, doing, subnets_for(client, order));
  TRY(doing, make_group(client, order,
                        {.name = order.name, .machine = version, .subnet_ids = subnets, .tags = order.machine.tags}));
  TRY(doing, aws::suspend_processes(client, order.name, {"AZRebalance"}));
  TRY(doing, aws::schedule_end(client, order.name, order.until_ms));
  if (!order.instance_id.empty()) TRY(doing, attach(client, order));
  return {};
}

Result<std::optional<StandIn>> stand_in(aws::Client& client, const std::string& name) {
  TRY_SET(group, "", find_group(client, name));
  if (!group) return std::nullopt;
  StandIn out{group->desired, group->is_going, {}};
  for (auto& member : group->members) out.instances.push_back(std::move(member.id));
  return out;
}

Status delete_stand_in(aws::Client& client, const std::string& name) {
  for (int attempt = 1;; ++attempt) {
    auto deleted = fine_if(Kind::not_found, aws::delete_scaling_group(client, name));
    if (deleted) break;
    const auto group = find_group(client, name);
    if (group && (!*group || (*group)->is_going)) break;
    if (deleted.error().kind != Kind::conflict || attempt == delete_attempts)
      return fail("delete the Auto Scaling group " + name, std::move(deleted).error());
    client.clock().sleep(delete_again);
  }
  auto deleted = fine_if(Kind::not_found, aws::delete_launch_template(client, name));
  if (deleted) return deleted;
  // Other clouds than AWS say otherwise that there is none.
  const auto known = aws::describe_launch_template(client, name);
  return known && !*known ? Status() : fail("delete the launch template " + name, std::move(deleted).error());
}

Result<std::vector<Made>> find_made_stand_ins(aws::Client& client, const aws::Filter& tagged) {
  std::vector<Made> made;
  auto groups = aws::describe_scaling_groups(client, {}, {tagged});
  if (!groups && groups.error().kind != Kind::denied) return fail("", std::move(groups).error());
  if (groups)
    for (auto& one : *groups) made.push_back({"auto-scaling-group", std::move(one.name), std::move(one.tags)});
  auto templates = aws::describe_launch_templates(client, {tagged});
  if (!templates && templates.error().kind != Kind::denied) return fail("", std::move(templates).error());
  if (templates)
    for (auto& one : *templates) made.push_back({"launch-template", std::move(one.name), std::move(one.tags)});
  return made;
}

}  // namespace ferry::cloud
