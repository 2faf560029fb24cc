#pragma once
/// \file
/// EC2 Auto Scaling (Query, version 2011-01-01): groups that launch machines from a launch template until there are as
/// many as desired, and replace those that end. Launch configurations, mixed instances, load balancers, scaling
/// policies, lifecycle hooks, warm pools and recurring actions are not offered.
///
/// What the actions change, scale() makes true: at once where the machines allow it, and never more machines than
/// desired, those that are still ending counted. A launch goes the way of RunInstances, with all that may go wrong
/// there; then it is tried again, later each time.

#include <string>
#include <string_view>

#include "rehearsal/actions.h"

namespace ferry::rehearsal {

inline constexpr std::string_view autoscaling_version = "2011-01-01";

/// Nothing for an action that is not offered.
const ActionEntry* find_autoscaling_action(std::string_view name);

// autoscaling_groups.cc
Api<Xml> create_scaling_group(Call& call);
Api<Xml> update_scaling_group(Call& call);
Api<Xml> delete_scaling_group(Call& call);
Api<Xml> describe_scaling_groups(Call& call);
// autoscaling_sizes.cc
Api<Xml> set_desired_capacity(Call& call);
Api<Xml> attach_instances(Call& call);
Api<Xml> suspend_processes(Call& call);
Api<Xml> resume_processes(Call& call);
Api<Xml> put_scheduled_action(Call& call);
Api<Xml> delete_scheduled_action(Call& call);
Api<Xml> describe_scheduled_actions(Call& call);
Api<Xml> describe_scaling_activities(Call& call);
Api<Xml> describe_scaling_instances(Call& call);
// autoscaling_tags.cc
Api<Xml> create_or_update_group_tags(Call& call);
Api<Xml> delete_group_tags(Call& call);
Api<Xml> describe_group_tags(Call& call);

/// The group that AutoScalingGroupName names, and that is not being deleted. ValidationError, or
/// ScalingActivityInProgress.
Api<ScalingGroup*> named_group(Call& call);
/// Tags.member.N with PropagateAtLaunch. ValidationError.
Api<std::vector<GroupTag>> read_group_tags(const Params& params);
void write_group_tag(Xml& xml, const std::string& group, const GroupTag& tag);
[[nodiscard]] tl::unexpected<ApiError> scaling_invalid(std::string message);
/// <list><member>…</member></list>, then NextToken: the page that MaxRecords and NextToken ask for, of `all`.
template <class T, class Write>
Api<Xml> scaling_page(const Params& params, std::string_view name, const std::vector<T>& all, Write write) {
  API_SET(most, params.number("MaxRecords", 50));
  API_SET(from, params.number("NextToken", 0));
  const auto size = static_cast<std::int64_t>(all.size());
  if (most < 1 || most > 100) return scaling_invalid("MaxRecords must be between 1 and 100.");
  if (from < 0 || from > size) return refuse("InvalidNextToken", "The NextToken value is not valid.");
  const auto end = std::min(from + most, size);
  Xml xml;
  xml.node(name, [&] {
    for (auto at = from; at < end; ++at) xml.node("member", [&] { write(xml, all[static_cast<std::size_t>(at)]); });
  });
  if (end < size) xml.number("NextToken", end);
  return xml;
}
/// The template of a group and the version that it launches now; ValidationError where one is not there.
struct GroupTemplate {
  const LaunchTemplate* of = nullptr;
  const TemplateVersion* version = nullptr;
};
Api<GroupTemplate> template_of(const State& state, const ScalingGroup& group);
/// The subnets where a group launches.
std::vector<std::string> subnets_of(const State& state, const ScalingGroup& group);
/// "InService", "Pending", "Terminating", …
std::string_view lifecycle_name(const State& state, const std::string& instance_id);

// scaling.cc
/// True if scale() has something to do.
bool needs_scaling(const State& state, std::int64_t now_ms);
/// When that may become so by time alone; 0: not.
std::int64_t next_scaling_ms(const State& state, std::int64_t now_ms);
/// Does it. The call's params are not read.
void scale(Call& call);

}  // namespace ferry::rehearsal
