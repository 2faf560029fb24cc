#include "rehearsal/tagging.h"

#include "rehearsal/actions.h"

namespace ferry::rehearsal {
namespace {

constexpr std::size_t most_tags = 50;

Api<std::monostate> check_tag(const std::string& key, const std::string& value) {
  if (key.empty()) return refuse("InvalidParameterValue", "Tag key cannot be null or empty.");
  if (key.size() > 127 * 4)
    return refuse("InvalidParameterValue", fmt::format("Tag key exceeds the maximum length of 127 characters"));
  if (value.size() > 255 * 4)
    return refuse("InvalidParameterValue", "Tag value exceeds the maximum length of 255 characters");
  if (key.starts_with("aws:"))
    return refuse("InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for internal use");
  return std::monostate{};
}

template <class Has>
bool any_instance(const State& state, Has has) {
  return std::any_of(state.instances.begin(), state.instances.end(),
                     [&](const auto& entry) { return has(entry.second); });
}

}  // namespace

std::string_view resource_type(const State& state, const std::string& id) {
  if (state.instances.contains(id)) return "instance";
  if (state.volumes.contains(id)) return "volume";
  if (state.keys.contains(id)) return "key-pair";
  if (state.groups.contains(id)) return "security-group";
  if (state.vpcs.contains(id)) return "vpc";
  if (state.subnet(id)) return "subnet";
  if (state.launch_templates.contains(id)) return "launch-template";
  if (state.capacity_reservations.contains(id)) return "capacity-reservation";
  for (const auto& [name, group] : state.placement_groups)
    if (group.id == id) return "placement-group";
  for (const auto& [group_id, group] : state.groups)
    for (const auto& rule : group.rules)
      if (rule.id == id) return "security-group-rule";
  if (any_instance(state, [&](const Instance& instance) { return instance.eni_id == id; })) return "network-interface";
  if (any_instance(state, [&](const Instance& instance) { return instance.spot_request_id == id; }))
    return "spot-instances-request";
  if (any_instance(state, [&](const Instance& instance) {
        return std::any_of(instance.disks.begin(), instance.disks.end(),
                           [&](const Disk& disk) { return disk.volume_id == id; });
      }))
    return "volume";
  return "";
}

Api<Tags> read_tags(const Params& params, const std::string& prefix) {
  Tags tags;
  for (const auto& item : params.items(prefix + "Tag")) {
    const auto key = params.get(item + "Key"), value = params.get(item + "Value");
    API_TRY(check_tag(key, value));
    if (!tags.emplace(key, value).second)
      return refuse("InvalidParameterValue", fmt::format("Duplicate tag key '{}' specified.", key));
  }
  if (tags.size() > most_tags)
    return refuse("TagLimitExceeded", "The maximum number of Tags for a resource has been reached.");
  return tags;
}

Api<std::map<std::string, Tags>> read_tag_specifications(const Params& params,
                                                         std::initializer_list<std::string_view> allowed,
                                                         const std::string& list) {
  std::map<std::string, Tags> out;
  for (const auto& item : params.items(list)) {
    const auto type = params.get(item + "ResourceType");
    if (std::find(allowed.begin(), allowed.end(), type) == allowed.end())
      return refuse("InvalidParameterValue",
                    fmt::format("'{}' is not a valid taggable resource type for this operation.", type));
    if (out.contains(type)) return refuse("InvalidParameterValue", "Tag specification resource types must be unique");
    API_SET(tags, read_tags(params, item));
    if (tags.empty()) return refuse("InvalidParameterValue", "Tag specification must have at least one tag");
    out[type] = std::move(tags);
  }
  return out;
}

const Tags& tags_of(const State& state, const std::string& id) {
  static const Tags none;
  const auto found = state.tags.find(id);
  return found == state.tags.end() ? none : found->second;
}

void set_tags(State& state, const std::string& id, const Tags& tags) {
  if (!tags.empty()) state.tags[id] = tags;
}

void write_tags(Xml& xml, const State& state, const std::string& id) {
  xml.list("tagSet", tags_of(state, id),
           [&](const auto& tag) { xml.text("key", tag.first).text("value", tag.second); });
}

Api<Xml> create_tags(Call& call) {
  const auto ids = call.params.list("ResourceId");
  if (ids.empty()) return missing_parameter("resourceIdSet");
  API_SET(tags, read_tags(call.params, ""));
  if (tags.empty()) return missing_parameter("tagSet");
  for (const auto& id : ids) {
    if (resource_type(call.state, id).empty()) return refuse("InvalidID", fmt::format("The ID '{}' is not valid", id));
    Tags merged = tags;
    merged.merge(Tags(tags_of(call.state, id)));
    if (merged.size() > most_tags)
      return refuse("TagLimitExceeded", "The maximum number of Tags for a resource has been reached.");
    call.state.tags[id] = std::move(merged);
  }
  return Xml().flag("return", true);
}

Api<Xml> delete_tags(Call& call) {
  const auto ids = call.params.list("ResourceId");
  if (ids.empty()) return missing_parameter("resourceIdSet");
  const auto items = call.params.items("Tag");
  for (const auto& id : ids) {
    if (resource_type(call.state, id).empty()) return refuse("InvalidID", fmt::format("The ID '{}' is not valid", id));
    auto& tags = call.state.tags[id];
    if (items.empty()) tags.clear();
    for (const auto& item : items) {
      const auto found = tags.find(call.params.get(item + "Key"));
      const bool any_value = !call.params.has(item + "Value");
      if (found != tags.end() && (any_value || found->second == call.params.get(item + "Value"))) tags.erase(found);
    }
    if (tags.empty()) call.state.tags.erase(id);
  }
  return Xml().flag("return", true);
}

Api<Xml> describe_tags(Call& call) {
  API_SET(filters, Filters::read(call.params, {"key", "value", "resource-id", "resource-type"}));
  struct Row {
    std::string id, key, value;
    std::string_view type;
  };
  std::map<std::string, Row> rows;
  for (const auto& [id, tags] : call.state.tags)
    for (const auto& [key, value] : tags) {
      const auto type = resource_type(call.state, id);
      Facts facts;
      facts.add("key", key)
          .add("value", value)
          .add("resource-id", id)
          .add("resource-type", type)
          .add_tags({{key, value}});
      if (filters.match(facts)) rows[id + " " + key] = {id, key, value, type};
    }
  std::vector<std::string> keys;
  for (const auto& [key, row] : rows) keys.push_back(key);
  API_SET(page, page_of(call.params, keys));
  Xml xml;
  xml.list("tagSet", page.keys, [&](const std::string& key) {
    const Row& row = rows[key];
    xml.text("resourceId", row.id).text("resourceType", row.type).text("key", row.key).text("value", row.value);
  });
  xml.some("nextToken", page.next_token);
  return xml;
}

}  // namespace ferry::rehearsal
