#include "rehearsal/rules.h"

#include "base/text.h"
#include "rehearsal/catalog.h"
#include "rehearsal/cidr.h"
#include "rehearsal/filters.h"
#include "rehearsal/tagging.h"

namespace ferry::rehearsal {
namespace {

Api<std::monostate> read_traffic(const Params& params, const std::string& prefix, Rule& rule) {
  rule.protocol = lower(params.get(prefix + "IpProtocol"));
  if (rule.protocol.empty()) return missing_parameter("ipProtocol");
  static const std::map<std::string, std::string> numbers = {
      {"6", "tcp"}, {"17", "udp"}, {"1", "icmp"}, {"58", "icmpv6"}, {"all", "-1"}};
  if (const auto named = numbers.find(rule.protocol); named != numbers.end()) rule.protocol = named->second;
  API_SET(from, params.number(prefix + "FromPort", -1));
  API_SET(to, params.number(prefix + "ToPort", -1));
  const bool has_ports = rule.protocol == "tcp" || rule.protocol == "udp";
  if (has_ports) {
    if (!params.has(prefix + "FromPort")) return missing_parameter("fromPort");
    if (from < 0 || from > 65535 || to < from || to > 65535)
      return refuse("InvalidParameterValue",
                    fmt::format("Invalid value for portRange. Must specify both from and to ports with {} "
                                "between 0 and 65535, got {}-{}",
                                rule.protocol, from, to));
  } else if (rule.protocol != "-1" && rule.protocol != "icmp" && rule.protocol != "icmpv6") {
    const auto number = parse_int(rule.protocol);
    if (!number || *number < 0 || *number > 255)
      return refuse("InvalidParameterValue",
                    fmt::format("Invalid value '{}' for IP protocol. Unknown protocol.", rule.protocol));
  }
  rule.from_port = rule.protocol == "-1" ? -1 : from;
  rule.to_port = rule.protocol == "-1" ? -1 : to;
  return std::monostate{};
}

Api<std::string> peer_group(const Params& params, const std::string& prefix, const State& state) {
  if (const auto id = params.get(prefix + "GroupId"); !id.empty()) {
    API_TRY(check_ids({id}, group_ids, [&](const std::string& it) { return state.groups.contains(it); }));
    return id;
  }
  const auto name = params.get(prefix + "GroupName");
  if (const auto* group = state.group_named(state.vpc_id, name)) return group->id;
  return refuse("InvalidGroup.NotFound", fmt::format("The security group '{}' does not exist", name));
}

/// Adds a copy of `base` for every peer below `prefix`.
Api<std::monostate> read_peers(const Params& params, const std::string& prefix, const State& state, const Rule& base,
                               std::vector<Rule>& out) {
  const auto add = [&](const std::string& item, auto set) {
    Rule rule = base;
    rule.description = params.get(item + "Description");
    set(rule);
    out.push_back(std::move(rule));
  };
  for (const auto& item : params.items(prefix + "IpRanges")) {
    const auto cidr = params.get(item + "CidrIp");
    if (!is_cidr4(cidr)) return refuse("InvalidParameterValue", fmt::format("CIDR block {} is malformed", cidr));
    add(item, [&](Rule& rule) { rule.cidr4 = cidr; });
  }
  for (const auto& item : params.items(prefix + "Ipv6Ranges")) {
    const auto cidr = params.get(item + "CidrIpv6");
    if (cidr.find(':') == cidr.npos || cidr.find('/') == cidr.npos ||
        cidr.find_first_not_of("0123456789abcdefABCDEF:/.") != cidr.npos)
      return refuse("InvalidParameterValue", fmt::format("CIDR block {} is malformed", cidr));
    add(item, [&](Rule& rule) { rule.cidr6 = lower(cidr); });
  }
  for (const auto& item : params.items(prefix + "Groups")) {
    API_SET(id, peer_group(params, item, state));
    add(item, [&](Rule& rule) { rule.group_id = id; });
  }
  for (const auto& item : params.items(prefix + "PrefixListIds"))
    add(item, [&](Rule& rule) { rule.prefix_list_id = params.get(item + "PrefixListId"); });
  return std::monostate{};
}

}  // namespace

Api<std::vector<Rule>> read_rules(const Params& params, const State& state, Direction direction) {
  std::vector<Rule> rules;
  Rule base;
  base.direction = direction;
  for (const auto& item : params.items("IpPermissions")) {
    API_TRY(read_traffic(params, item, base));
    API_TRY(read_peers(params, item, state, base, rules));
  }
  if (params.has("IpProtocol")) {
    API_TRY(read_traffic(params, "", base));
    base.cidr4 = params.get("CidrIp");
    const auto source = params.get("SourceSecurityGroupName");
    if (base.cidr4.empty() && !source.empty()) {
      const auto* group = state.group_named(state.vpc_id, source);
      if (!group) return refuse("InvalidGroup.NotFound", fmt::format("The security group '{}' does not exist", source));
      base.group_id = group->id;
    } else if (!is_cidr4(base.cidr4)) {
      return refuse("InvalidParameterValue", fmt::format("CIDR block {} is malformed", base.cidr4));
    }
    rules.push_back(base);
  }
  if (rules.empty()) return refuse("MissingParameter", "Source group or CIDR missing in IP permission");
  for (std::size_t i = 0; i < rules.size(); ++i)
    for (std::size_t k = 0; k < i; ++k)
      if (rules[i].same_traffic(rules[k]))
        return refuse("InvalidParameterValue", "The same permission must not appear multiple times");
  return rules;
}

void write_permissions(Xml& xml, std::string_view name, const std::vector<Rule>& rules, Direction direction) {
  using Traffic = std::tuple<std::string, std::int64_t, std::int64_t>;
  std::map<Traffic, std::vector<const Rule*>> gathered;
  for (const auto& rule : rules)
    if (rule.direction == direction) gathered[{rule.protocol, rule.from_port, rule.to_port}].push_back(&rule);
  xml.list(name, gathered, [&](const auto& entry) {
    const auto& [protocol, from, to] = entry.first;
    xml.text("ipProtocol", protocol);
    if (protocol != "-1") xml.number("fromPort", from).number("toPort", to);
    const auto peers = [&](std::string_view list, std::string Rule::*peer, auto write) {
      std::vector<const Rule*> some;
      for (const Rule* rule : entry.second)
        if (!(rule->*peer).empty()) some.push_back(rule);
      xml.list(list, some, [&](const Rule* rule) {
        write(*rule);
        xml.some("description", rule->description);
      });
    };
    peers("groups", &Rule::group_id,
          [&](const Rule& rule) { xml.text("userId", account_id).text("groupId", rule.group_id); });
    peers("ipRanges", &Rule::cidr4, [&](const Rule& rule) { xml.text("cidrIp", rule.cidr4); });
    peers("ipv6Ranges", &Rule::cidr6, [&](const Rule& rule) { xml.text("cidrIpv6", rule.cidr6); });
    peers("prefixListIds", &Rule::prefix_list_id,
          [&](const Rule& rule) { xml.text("prefixListId", rule.prefix_list_id); });
  });
}

void write_rule(Xml& xml, const State& state, const Group& group, const Rule& rule) {
  xml.text("securityGroupRuleId", rule.id).text("groupId", group.id).text("groupOwnerId", account_id);
  xml.flag("isEgress", rule.direction == Direction::egress).text("ipProtocol", rule.protocol);
  xml.number("fromPort", rule.from_port).number("toPort", rule.to_port);
  xml.some("cidrIpv4", rule.cidr4).some("cidrIpv6", rule.cidr6).some("prefixListId", rule.prefix_list_id);
  if (!rule.group_id.empty())
    xml.node("referencedGroupInfo", [&] { xml.text("groupId", rule.group_id).text("userId", account_id); });
  xml.some("description", rule.description);
  write_tags(xml, state, rule.id);
  xml.text("securityGroupRuleArn",
           fmt::format("arn:aws:ec2:{}:{}:security-group-rule/{}", region_name, account_id, rule.id));
}

}  // namespace ferry::rehearsal
