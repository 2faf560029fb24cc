// Zones, regions, what the account has of them, and the network interfaces of instances.
#include "os/clock.h"
#include "rehearsal/actions.h"
#include "rehearsal/describe.h"
#include "rehearsal/tagging.h"

namespace ferry::rehearsal {

Api<Xml> describe_availability_zones(Call& call) {
  API_SET(filters, Filters::read(call.params, {"zone-name", "zone-id", "region-name", "state", "group-name",
                                               "opt-in-status", "zone-type", "message"}));
  const auto names = call.params.list("ZoneName"), ids = call.params.list("ZoneId");
  const auto listed = [](const auto& list, const auto& word) {
    return std::find(list.begin(), list.end(), word) != list.end();
  };
  for (const auto& name : names)
    if (!listed(zones(), name))
      return refuse("InvalidParameterValue", fmt::format("Invalid availability zone: [{}]", name));
  std::vector<std::string> found;
  for (const auto& zone : zones()) {
    Facts facts;
    facts.add("zone-name", zone)
        .add("zone-id", zone_id(zone))
        .add("region-name", region_name)
        .add("state", "available");
    facts.add("group-name", "us-east-1-zg-1")
        .add("opt-in-status", "opt-in-not-required")
        .add("zone-type", "availability-zone");
    const bool asked = (names.empty() && ids.empty()) || listed(names, zone) || listed(ids, zone_id(zone));
    if (asked && filters.match(facts)) found.push_back(zone);
  }
  Xml xml;
  return xml.list("availabilityZoneInfo", found, [&](const std::string& zone) {
    xml.text("zoneName", zone)
        .text("zoneState", "available")
        .text("regionName", region_name)
        .raw("<messageSet/>")
        .text("zoneId", zone_id(zone));
    xml.text("optInStatus", "opt-in-not-required")
        .text("groupName", "us-east-1-zg-1")
        .text("networkBorderGroup", region_name)
        .text("zoneType", "availability-zone");
  });
}

Api<Xml> describe_regions(Call& call) {
  const auto endpoint = fmt::format("ec2.{}.amazonaws.com", region_name);
  API_SET(filters, Filters::read(call.params, {"region-name", "endpoint", "opt-in-status"}));
  for (const auto& name : call.params.list("RegionName"))
    if (name != region_name) return refuse("InvalidParameterValue", fmt::format("Invalid region names: [{}]", name));
  Facts facts;
  facts.add("region-name", region_name).add("endpoint", endpoint).add("opt-in-status", "opt-in-not-required");
  std::vector<std::string_view> found;
  if (filters.match(facts)) found.push_back(region_name);
  Xml xml;
  return xml.list("regionInfo", found, [&](std::string_view name) {
    xml.text("regionName", name).text("regionEndpoint", endpoint).text("optInStatus", "opt-in-not-required");
  });
}

Api<Xml> describe_account_attributes(Call& call) {
  const std::map<std::string, std::string> values = {
      {"supported-platforms", "VPC"}, {"default-vpc", call.has_default_vpc() ? call.state.vpc_id : "none"},
      {"max-instances", "1000"},      {"vpc-max-security-groups-per-interface", "5"},
      {"max-elastic-ips", "5"},       {"vpc-max-elastic-ips", "5"}};
  const auto wanted = call.params.list("AttributeName");
  std::vector<std::string> names;
  for (const auto& [name, value] : values)
    if (wanted.empty() || std::find(wanted.begin(), wanted.end(), name) != wanted.end()) names.push_back(name);
  Xml xml;
  return xml.list("accountAttributeSet", names, [&](const std::string& name) {
    xml.text("attributeName", name)
        .list("attributeValueSet", std::array{values.at(name)},
              [&](const std::string& value) { xml.text("attributeValue", value); });
  });
}

Api<Xml> describe_vpc_attribute(Call& call) {
  API_SET(id, call.params.required("VpcId"));
  API_SET(attribute, call.params.required("Attribute"));
  API_TRY(check_ids({id}, vpc_ids, [&](const std::string& it) { return call.state.vpcs.contains(it); }));
  if (attribute != "enableDnsSupport" && attribute != "enableDnsHostnames" &&
      attribute != "enableNetworkAddressUsageMetrics")
    return invalid_value(attribute, "attribute");
  Xml xml;
  return xml.text("vpcId", id).node(attribute, [&] {
    xml.flag("value",
             attribute == "enableDnsSupport" || (attribute == "enableDnsHostnames" && id == call.state.vpc_id));
  });
}

Api<Xml> describe_network_interfaces(Call& call) {
  API_SET(filters, Filters::read(call.params, {"network-interface-id",
                                               "attachment.instance-id",
                                               "attachment.status",
                                               "attachment.device-index",
                                               "attachment.instance-owner-id",
                                               "attachment.attachment-id",
                                               "availability-zone",
                                               "group-id",
                                               "group-name",
                                               "mac-address",
                                               "owner-id",
                                               "private-ip-address",
                                               "addresses.private-ip-address",
                                               "association.public-ip",
                                               "subnet-id",
                                               "vpc-id",
                                               "status",
                                               "description",
                                               "interface-type",
                                               "requester-managed",
                                               "requester-id"}));
  std::map<std::string, const Instance*> all;
  for (const auto& [id, instance] : call.state.instances)
    if (instance.phase != Phase::terminated) all[instance.eni_id] = &instance;
  const auto wanted = call.params.list("NetworkInterfaceId");
  API_TRY(check_ids(wanted, interface_ids, [&](const std::string& id) { return all.contains(id); }));
  std::vector<std::string> found;
  for (const auto& [eni, instance] : all) {
    Facts facts;
    facts.add("network-interface-id", eni)
        .add("attachment.instance-id", instance->id)
        .add("attachment.status", "attached")
        .add("attachment.device-index", "0");
    facts.add("attachment.instance-owner-id", account_id)
        .add("attachment.attachment-id", instance->eni_attachment_id)
        .add("availability-zone", instance->zone);
    facts.add("mac-address", instance->mac)
        .add("owner-id", account_id)
        .add("private-ip-address", instance->private_ip)
        .add("addresses.private-ip-address", instance->private_ip);
    facts.add("association.public-ip", instance->public_ip())
        .add("subnet-id", instance->subnet_id)
        .add("vpc-id", call.state.vpc_of(*instance))
        .add("status", "in-use");
    facts.add("description", "")
        .add("interface-type", "interface")
        .add("requester-managed", false)
        .add_tags(tags_of(call.state, eni));
    for (const auto& group : instance->groups) facts.add("group-id", group);
    if ((wanted.empty() || std::find(wanted.begin(), wanted.end(), eni) != wanted.end()) && filters.match(facts))
      found.push_back(eni);
  }
  API_SET(page, page_of(call.params, found));
  Xml xml;
  xml.list("networkInterfaceSet", page.keys, [&](const std::string& eni) {
    const Instance& instance = *all[eni];
    xml.text("availabilityZone", instance.zone).text("ownerId", account_id).flag("requesterManaged", false);
    write_interface(xml, call.state, instance, InterfaceForm::alone);
    write_tags(xml, call.state, eni);
  });
  return xml.some("nextToken", page.next_token);
}

}  // namespace ferry::rehearsal
