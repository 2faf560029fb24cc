// Placement groups.
#include "rehearsal/actions.h"
#include "rehearsal/tagging.h"

namespace ferry::rehearsal {
namespace {

constexpr std::size_t most_groups = 500;
constexpr std::int64_t most_partitions = 7;

std::string group_arn(const PlacementGroup& group) {
  return fmt::format("arn:aws:ec2:{}:{}:placement-group/{}", region_name, account_id, group.name);
}

void write_group(Xml& xml, const State& state, const PlacementGroup& group) {
  xml.text("groupName", group.name).text("state", "available").text("strategy", group.strategy);
  if (group.strategy == "partition") xml.number("partitionCount", group.partitions);
  xml.text("groupId", group.id);
  write_tags(xml, state, group.id);
  xml.text("groupArn", group_arn(group)).some("spreadLevel", group.spread_level);
}

Api<PlacementGroup> read_group(const Params& params) {
  PlacementGroup group;
  API_SET(name, params.required("GroupName"));
  if (name.size() > 255) return invalid_value(name, "groupName", "Length exceeds maximum of 255.");
  group.name = name;
  group.strategy = params.get("Strategy", "cluster");
  if (group.strategy != "cluster" && group.strategy != "spread" && group.strategy != "partition")
    return invalid_value(group.strategy, "strategy");
  API_SET(partitions, params.number("PartitionCount", 2));
  if (params.has("PartitionCount") && group.strategy != "partition")
    return refuse("InvalidParameterCombination",
                  "The parameter PartitionCount is valid only when Strategy is set to partition.");
  if (partitions < 1 || partitions > most_partitions)
    return invalid_value(std::to_string(partitions), "partitionCount", "Must be between 1 and 7.");
  group.partitions = group.strategy == "partition" ? partitions : 0;
  const auto level = params.get("SpreadLevel", "rack");
  if (level != "rack" && level != "host") return invalid_value(level, "spreadLevel");
  if (group.strategy == "spread") group.spread_level = level;
  return group;
}

}  // namespace

Api<Xml> create_placement_group(Call& call) {
  API_SET(group, read_group(call.params));
  API_SET(tags, read_tag_specifications(call.params, {"placement-group"}));
  auto& groups = call.state.placement_groups;
  if (groups.contains(group.name))
    return refuse("InvalidPlacementGroup.Duplicate",
                  fmt::format("The placement group '{}' already exists.", group.name));
  if (groups.size() >= most_groups)
    return refuse("PlacementGroupLimitExceeded", "The maximum number of placement groups has been reached.");
  group.id = new_id("pg-");
  groups[group.name] = group;
  set_tags(call.state, group.id, tags["placement-group"]);
  Xml xml;
  return xml.node("placementGroup", [&] { write_group(xml, call.state, group); });
}

Api<Xml> delete_placement_group(Call& call) {
  API_SET(name, call.params.required("GroupName"));
  const auto found = call.state.placement_groups.find(name);
  if (found == call.state.placement_groups.end()) return unknown_placement_group(name);
  for (const auto& [id, instance] : call.state.instances)
    if (instance.placement_group == name && instance.phase != Phase::terminated)
      return refuse("InvalidPlacementGroup.InUse",
                    fmt::format("The placement group '{}' is in use and may not be deleted.", name));
  call.state.tags.erase(found->second.id);
  call.state.placement_groups.erase(found);
  return Xml().flag("return", true);
}

Api<Xml> describe_placement_groups(Call& call) {
  API_SET(filters, Filters::read(call.params, {"group-name", "group-arn", "spread-level", "state", "strategy"}));
  const auto names = call.params.list("GroupName"), ids = call.params.list("GroupId");
  const auto& all = call.state.placement_groups;
  for (const auto& name : names)
    if (!all.contains(name)) return unknown_placement_group(name);
  for (const auto& id : ids)
    if (resource_type(call.state, id) != "placement-group") return unknown_placement_group(id);
  const auto listed = [](const auto& list, const auto& word) {
    return std::find(list.begin(), list.end(), word) != list.end();
  };
  std::vector<const PlacementGroup*> found;
  for (const auto& [name, group] : all) {
    Facts facts;
    facts.add("group-name", name)
        .add("group-arn", group_arn(group))
        .add("spread-level", group.spread_level)
        .add("state", "available")
        .add("strategy", group.strategy);
    facts.add_tags(tags_of(call.state, group.id));
    const bool asked = (names.empty() && ids.empty()) || listed(names, name) || listed(ids, group.id);
    if (asked && filters.match(facts)) found.push_back(&group);
  }
  Xml xml;
  return xml.list("placementGroupSet", found,
                  [&](const PlacementGroup* group) { write_group(xml, call.state, *group); });
}

}  // namespace ferry::rehearsal
