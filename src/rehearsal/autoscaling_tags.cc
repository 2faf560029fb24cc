// Auto Scaling's actions by name; the tags of groups; refusals that they share.
#include <algorithm>

#include "base/text.h"
#include "rehearsal/autoscaling.h"

namespace ferry::rehearsal {

const ActionEntry* find_autoscaling_action(std::string_view name) {
  using enum Effect;
  static const std::map<std::string_view, ActionEntry> all = {
      {"AttachInstances", {attach_instances, writes}},
      {"CreateAutoScalingGroup", {create_scaling_group, writes}},
      {"CreateOrUpdateTags", {create_or_update_group_tags, writes}},
      {"DeleteAutoScalingGroup", {delete_scaling_group, writes}},
      {"DeleteScheduledAction", {delete_scheduled_action, writes}},
      {"DeleteTags", {delete_group_tags, writes}},
      {"DescribeAutoScalingGroups", {describe_scaling_groups, reads}},
      {"DescribeAutoScalingInstances", {describe_scaling_instances, reads}},
      {"DescribeScalingActivities", {describe_scaling_activities, reads}},
      {"DescribeScheduledActions", {describe_scheduled_actions, reads}},
      {"DescribeTags", {describe_group_tags, reads}},
      {"PutScheduledUpdateGroupAction", {put_scheduled_action, writes}},
      {"ResumeProcesses", {resume_processes, writes}},
      {"SetDesiredCapacity", {set_desired_capacity, writes}},
      {"SuspendProcesses", {suspend_processes, writes}},
      {"UpdateAutoScalingGroup", {update_scaling_group, writes}},
  };
  const auto found = all.find(name);
  return found == all.end() ? nullptr : &found->second;
}

tl::unexpected<ApiError> scaling_invalid(std::string message) { return refuse("ValidationError", std::move(message)); }

Api<ScalingGroup*> named_group(Call& call) {
  const auto name = call.params.get("AutoScalingGroupName");
  if (name.empty()) return scaling_invalid("AutoScalingGroupName must not be null");
  const auto found = call.state.scaling_groups.find(name);
  if (found == call.state.scaling_groups.end())
    return scaling_invalid(fmt::format("AutoScalingGroup name not found - AutoScalingGroup '{}' not found", name));
  if (found->second.is_going)
    return refuse("ScalingActivityInProgress", fmt::format("The AutoScalingGroup {} is pending delete.", name));
  return &found->second;
}

Api<std::vector<GroupTag>> read_group_tags(const Params& params) {
  std::vector<GroupTag> tags;
  for (const auto& item : params.items("Tags.member")) {
    GroupTag tag{params.get(item + "Key"), params.get(item + "Value")};
    if (tag.key.empty() || tag.key.size() > 128 || tag.value.size() > 256)
      return scaling_invalid("Tag keys have 1 to 128 characters, values at most 256.");
    if (tag.key.starts_with("aws:")) return scaling_invalid("Tag keys that begin with aws: are reserved.");
    if (const auto type = params.get(item + "ResourceType", "auto-scaling-group"); type != "auto-scaling-group")
      return scaling_invalid(fmt::format("{} is not a valid tag resource type.", type));
    API_SET(at_launch, params.flag(item + "PropagateAtLaunch", false));
    tag.at_launch = at_launch;
    tags.push_back(std::move(tag));
  }
  constexpr std::size_t most_tags = 50;
  if (tags.size() > most_tags) return refuse("LimitExceeded", "A group has at most 50 tags.");
  std::sort(tags.begin(), tags.end(), [](const GroupTag& a, const GroupTag& b) { return a.key < b.key; });
  return tags;
}

void write_group_tag(Xml& xml, const std::string& group, const GroupTag& tag) {
  xml.text("ResourceId", group)
      .text("ResourceType", "auto-scaling-group")
      .text("Key", tag.key)
      .text("Value", tag.value)
      .flag("PropagateAtLaunch", tag.at_launch);
}

namespace {

/// Each tag with the group that Tags.member.N.ResourceId names.
Api<std::vector<std::pair<ScalingGroup*, GroupTag>>> read_tags_of_groups(Call& call) {
  API_SET(all, read_group_tags(call.params));
  std::vector<std::pair<ScalingGroup*, GroupTag>> out;
  for (const auto& item : call.params.items("Tags.member")) {
    const auto name = call.params.get(item + "ResourceId"), key = call.params.get(item + "Key");
    const auto found = call.state.scaling_groups.find(name);
    if (found == call.state.scaling_groups.end())
      return scaling_invalid(fmt::format("AutoScalingGroup name not found - AutoScalingGroup '{}' not found", name));
    const auto value = call.params.get(item + "Value");
    API_SET(at_launch, call.params.flag(item + "PropagateAtLaunch", false));
    out.emplace_back(&found->second, GroupTag{key, value, at_launch});
  }
  return out;
}

}  // namespace

Api<Xml> create_or_update_group_tags(Call& call) {
  API_SET(all, read_tags_of_groups(call));
  for (auto& [group, tag] : all) {
    std::erase_if(group->tags, [key = tag.key](const GroupTag& it) { return it.key == key; });
    group->tags.push_back(tag);
  }
  return Xml();
}

Api<Xml> delete_group_tags(Call& call) {
  API_SET(all, read_tags_of_groups(call));
  for (auto& [group, tag] : all)
    std::erase_if(group->tags, [key = tag.key](const GroupTag& it) { return it.key == key; });
  return Xml();
}

Api<Xml> describe_group_tags(Call& call) {
  using Found = std::pair<std::string, GroupTag>;
  std::vector<Found> found;
  for (const auto& [name, group] : call.state.scaling_groups)
    for (const auto& tag : group.tags) {
      bool fits = true;
      for (const auto& item : call.params.items("Filters.member")) {
        const auto filter = call.params.get(item + "Name");
        const auto values = call.params.list(item + "Values.member");
        const auto word = filter == "auto-scaling-group" ? name
                          : filter == "key"              ? tag.key
                          : filter == "value"            ? tag.value
                                                         : std::string(tag.at_launch ? "true" : "false");
        fits = fits && std::find(values.begin(), values.end(), word) != values.end();
      }
      if (fits) found.emplace_back(name, tag);
    }
  return scaling_page(call.params, "Tags", found,
                      [](Xml& xml, const Found& one) { write_group_tag(xml, one.first, one.second); });
}

}  // namespace ferry::rehearsal
