// Security groups.
#include "rehearsal/actions.h"
#include "rehearsal/rules.h"
#include "rehearsal/tagging.h"

namespace ferry::rehearsal {
namespace {

std::string group_arn(const Group& group) {
  return fmt::format("arn:aws:ec2:{}:{}:security-group/{}", region_name, account_id, group.id);
}

/// The group that GroupId or GroupName names.
Api<Group*> named_group(Call& call) {
  if (const auto id = call.params.get("GroupId"); !id.empty()) {
    API_TRY(check_ids({id}, group_ids, [&](const std::string& it) { return call.state.groups.contains(it); }));
    return &call.state.groups[id];
  }
  const auto name = call.params.get("GroupName");
  if (name.empty()) return refuse("MissingParameter", "The request must contain the parameter groupName or groupId");
  if (!call.has_default_vpc())
    return refuse("VPCIdNotSpecified",
                  "No default VPC for this user. GroupName is only supported for EC2-Classic and default VPC.");
  const auto* group = call.state.group_named(call.state.vpc_id, name);
  if (!group)
    return refuse("InvalidGroup.NotFound",
                  fmt::format("The security group '{}' does not exist in default VPC '{}'", name, call.state.vpc_id));
  return &call.state.groups[group->id];
}

std::string peer_of(const Rule& rule) {
  for (const auto* text : {&rule.cidr4, &rule.cidr6, &rule.group_id, &rule.prefix_list_id})
    if (!text->empty()) return *text;
  return "";
}

std::string described(const Rule& rule) {
  if (rule.protocol == "-1") return fmt::format("peer: {}, ALL, ALLOW", peer_of(rule));
  std::string protocol = rule.protocol;
  for (char& c : protocol) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return fmt::format("peer: {}, {}, from port: {}, to port: {}, ALLOW", peer_of(rule), protocol, rule.from_port,
                     rule.to_port);
}

Api<Xml> authorize(Call& call, Direction direction) {
  API_SET(group, named_group(call));
  API_SET(rules, read_rules(call.params, call.state, direction));
  API_SET(tags, read_tag_specifications(call.params, {"security-group-rule"}));
  if (group->rules.size() + rules.size() > 120)
    return refuse("RulesPerSecurityGroupLimitExceeded",
                  "The maximum number of rules per security group has been reached.");
  for (auto& rule : rules) {
    if (!rule.group_id.empty() && call.state.groups[rule.group_id].vpc_id != group->vpc_id) return other_network();
    for (const auto& old : group->rules)
      if (old.same_traffic(rule))
        return refuse("InvalidPermission.Duplicate",
                      fmt::format("the specified rule \"{}\" already exists", described(rule)));
    rule.id = new_id("sgr-");
    set_tags(call.state, rule.id, tags["security-group-rule"]);
  }
  group->rules.insert(group->rules.end(), rules.begin(), rules.end());
  Xml xml;
  xml.flag("return", true);
  return xml.list("securityGroupRuleSet", rules, [&](const Rule& rule) { write_rule(xml, call.state, *group, rule); });
}

Api<Xml> revoke(Call& call, Direction direction) {
  API_SET(group, named_group(call));
  const auto ids = call.params.list("SecurityGroupRuleId");
  std::vector<std::string> doomed;
  for (const auto& id : ids) {
    const auto found = std::find_if(group->rules.begin(), group->rules.end(),
                                    [&](const Rule& rule) { return rule.id == id && rule.direction == direction; });
    if (found == group->rules.end())
      return refuse("InvalidSecurityGroupRuleId.NotFound",
                    fmt::format("The security group rule ID '{}' does not exist", id));
    doomed.push_back(id);
  }
  if (ids.empty()) {
    API_SET(rules, read_rules(call.params, call.state, direction));
    for (const auto& rule : rules) {
      const auto found = std::find_if(group->rules.begin(), group->rules.end(),
                                      [&](const Rule& old) { return old.same_traffic(rule); });
      if (found == group->rules.end())
        return refuse("InvalidPermission.NotFound", "The specified rule does not exist in this security group.");
      doomed.push_back(found->id);
    }
  }
  for (const auto& id : doomed) {
    std::erase_if(group->rules, [&](const Rule& rule) { return rule.id == id; });
    call.state.tags.erase(id);
  }
  Xml xml;
  return xml.flag("return", true).raw("<unknownIpPermissionSet/>");
}

bool in_use(const State& state, const std::string& group_id) {
  for (const auto& [id, instance] : state.instances)
    if (instance.phase != Phase::terminated &&
        std::find(instance.groups.begin(), instance.groups.end(), group_id) != instance.groups.end())
      return true;
  for (const auto& [id, group] : state.groups)
    if (id != group_id && std::any_of(group.rules.begin(), group.rules.end(),
                                      [&](const Rule& rule) { return rule.group_id == group_id; }))
      return true;
  return false;
}

Facts facts_of(const State& state, const Group& group) {
  Facts facts;
  facts.add("group-id", group.id)
      .add("group-name", group.name)
      .add("description", group.description)
      .add("vpc-id", group.vpc_id);
  facts.add("owner-id", account_id).add_tags(tags_of(state, group.id));
  for (const auto& rule : group.rules) {
    const std::string prefix = rule.direction == Direction::egress ? "egress.ip-permission." : "ip-permission.";
    facts.add(prefix + "protocol", rule.protocol)
        .add(prefix + "from-port", std::to_string(rule.from_port))
        .add(prefix + "to-port", std::to_string(rule.to_port));
    if (!rule.cidr4.empty()) facts.add(prefix + "cidr", rule.cidr4);
    if (!rule.cidr6.empty()) facts.add(prefix + "ipv6-cidr", rule.cidr6);
    if (!rule.group_id.empty()) facts.add(prefix + "group-id", rule.group_id);
  }
  return facts;
}

}  // namespace

Api<Xml> create_security_group(Call& call) {
  API_SET(name, call.params.required("GroupName"));
  API_SET(description, call.params.required("GroupDescription"));
  if (name.starts_with("sg-"))
    return refuse("InvalidParameterValue",
                  fmt::format("Invalid value '{}' for groupName. Group names may not be in the format sg-*.", name));
  if (name.size() > 255 || description.size() > 255)
    return refuse("InvalidParameterValue", "The name and description of a security group have at most 255 characters.");
  if (!call.params.has("VpcId") && !call.has_default_vpc())
    return refuse("VPCIdNotSpecified", "No default VPC for this user");
  const auto vpc = call.params.get("VpcId", call.state.vpc_id);
  API_TRY(check_ids({vpc}, vpc_ids, [&](const std::string& id) { return call.state.vpcs.contains(id); }));
  if (call.state.group_named(vpc, name))
    return refuse("InvalidGroup.Duplicate",
                  fmt::format("The security group '{}' already exists for VPC '{}'", name, vpc));
  API_SET(tags, read_tag_specifications(call.params, {"security-group"}));
  Group group;
  group.id = new_id("sg-");
  group.name = name;
  group.description = description;
  group.vpc_id = vpc;
  Rule out;
  out.id = new_id("sgr-");
  out.direction = Direction::egress;
  out.protocol = "-1";
  out.cidr4 = "0.0.0.0/0";
  group.rules = {out};
  call.state.groups[group.id] = group;
  set_tags(call.state, group.id, tags["security-group"]);
  Xml xml;
  xml.text("groupId", group.id);
  write_tags(xml, call.state, group.id);
  return xml.text("securityGroupArn", group_arn(group));
}

Api<Xml> describe_security_groups(Call& call) {
  API_SET(filters,
          Filters::read(call.params,
                        {"group-id", "group-name", "description", "vpc-id", "owner-id", "ip-permission.protocol",
                         "ip-permission.from-port", "ip-permission.to-port", "ip-permission.cidr",
                         "ip-permission.ipv6-cidr", "ip-permission.group-id", "egress.ip-permission.protocol",
                         "egress.ip-permission.from-port", "egress.ip-permission.to-port", "egress.ip-permission.cidr",
                         "egress.ip-permission.ipv6-cidr", "egress.ip-permission.group-id"}));
  auto wanted = call.params.list("GroupId");
  API_TRY(check_ids(wanted, group_ids, [&](const std::string& id) { return call.state.groups.contains(id); }));
  for (const auto& name : call.params.list("GroupName")) {
    const auto* group = call.state.group_named(call.state.vpc_id, name);
    if (!group) return refuse("InvalidGroup.NotFound", fmt::format("The security group '{}' does not exist", name));
    wanted.push_back(group->id);
  }
  std::vector<std::string> found;
  for (const auto& [id, group] : call.state.groups)
    if ((wanted.empty() || std::find(wanted.begin(), wanted.end(), id) != wanted.end()) &&
        filters.match(facts_of(call.state, group)))
      found.push_back(id);
  API_SET(page, page_of(call.params, found));
  Xml xml;
  xml.list("securityGroupInfo", page.keys, [&](const std::string& id) {
    const Group& group = call.state.groups[id];
    xml.text("ownerId", account_id)
        .text("groupId", id)
        .text("groupName", group.name)
        .text("groupDescription", group.description)
        .text("vpcId", group.vpc_id);
    xml.text("securityGroupArn", group_arn(group));
    write_permissions(xml, "ipPermissions", group.rules, Direction::ingress);
    write_permissions(xml, "ipPermissionsEgress", group.rules, Direction::egress);
    write_tags(xml, call.state, id);
  });
  return xml.some("nextToken", page.next_token);
}

Api<Xml> describe_security_group_rules(Call& call) {
  API_SET(filters, Filters::read(call.params, {"group-id", "security-group-rule-id"}));
  const auto wanted = call.params.list("SecurityGroupRuleId");
  std::map<std::string, std::pair<const Group*, const Rule*>> found;
  for (const auto& [id, group] : call.state.groups)
    for (const auto& rule : group.rules) {
      Facts facts;
      facts.add("group-id", id).add("security-group-rule-id", rule.id).add_tags(tags_of(call.state, rule.id));
      if ((wanted.empty() || std::find(wanted.begin(), wanted.end(), rule.id) != wanted.end()) && filters.match(facts))
        found[rule.id] = {&group, &rule};
    }
  for (const auto& id : wanted)
    if (!found.contains(id) && filters.all().empty())
      return refuse("InvalidSecurityGroupRuleId.NotFound",
                    fmt::format("The security group rule ID '{}' does not exist", id));
  std::vector<std::string> keys;
  for (const auto& [id, rule] : found) keys.push_back(id);
  API_SET(page, page_of(call.params, keys));
  Xml xml;
  xml.list("securityGroupRuleSet", page.keys,
           [&](const std::string& id) { write_rule(xml, call.state, *found[id].first, *found[id].second); });
  return xml.some("nextToken", page.next_token);
}

Api<Xml> delete_security_group(Call& call) {
  API_SET(group, named_group(call));
  const std::string id = group->id;
  if (group->name == "default")
    return refuse("CannotDelete", "the specified group: \"" + id + "\" name: \"default\" cannot be deleted by a user");
  if (in_use(call.state, id))
    return refuse("DependencyViolation", fmt::format("resource {} has a dependent object", id));
  for (const auto& rule : group->rules) call.state.tags.erase(rule.id);
  call.state.tags.erase(id);
  call.state.groups.erase(id);
  Xml xml;
  return xml.flag("return", true).text("groupId", id);
}

Api<Xml> authorize_security_group_ingress(Call& call) { return authorize(call, Direction::ingress); }
Api<Xml> authorize_security_group_egress(Call& call) { return authorize(call, Direction::egress); }
Api<Xml> revoke_security_group_ingress(Call& call) { return revoke(call, Direction::ingress); }
Api<Xml> revoke_security_group_egress(Call& call) { return revoke(call, Direction::egress); }

}  // namespace ferry::rehearsal
