// Zones, regions, the one VPC, its subnets, and the network interfaces of instances.
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
    if (std::none_of(call.state.subnets.begin(), call.state.subnets.end(),
                     [&](const Subnet& subnet) { return subnet.zone == name; }))
      return refuse("InvalidParameterValue", fmt::format("Invalid availability zone: [{}]", name));
  std::vector<std::string> found;
  for (const auto& subnet : call.state.subnets) {
    Facts facts;
    facts.add("zone-name", subnet.zone)
        .add("zone-id", zone_id(subnet.zone))
        .add("region-name", region_name)
        .add("state", "available");
    facts.add("group-name", "us-east-1-zg-1")
        .add("opt-in-status", "opt-in-not-required")
        .add("zone-type", "availability-zone");
    const bool asked =
        (names.empty() && ids.empty()) || listed(names, subnet.zone) || listed(ids, zone_id(subnet.zone));
    if (asked && filters.match(facts)) found.push_back(subnet.zone);
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
    if (name != region_name)
      return refuse("InvalidParameterValue", fmt::format("Invalid region names: [{}]", name));
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
      {"supported-platforms", "VPC"},
      {"default-vpc", call.faults.no_default_vpc() ? "none" : call.state.vpc_id},
      {"max-instances", "1000"},
      {"vpc-max-security-groups-per-interface", "5"},
      {"max-elastic-ips", "5"},
      {"vpc-max-elastic-ips", "5"}};
  const auto wanted = call.params.list("AttributeName");
  std::vector<std::string> names;
  for (const auto& [name, value] : values)
    if (wanted.empty() || std::find(wanted.begin(), wanted.end(), name) != wanted.end())
      names.push_back(name);
  Xml xml;
  return xml.list("accountAttributeSet", names, [&](const std::string& name) {
    xml.text("attributeName", name)
        .list("attributeValueSet", std::array{values.at(name)},
              [&](const std::string& value) { xml.text("attributeValue", value); });
  });
}

Api<Xml> describe_vpcs(Call& call) {
  API_SET(filters,
          Filters::read(call.params, {"vpc-id", "cidr", "cidr-block-association.cidr-block", "is-default",
                                      "isDefault", "owner-id", "state", "dhcp-options-id"}));
  const auto& id = call.state.vpc_id;
  const bool is_default = !call.faults.no_default_vpc();
  const auto wanted = call.params.list("VpcId");
  API_TRY(check_ids(wanted, vpc_ids, [&](const std::string& it) { return it == id; }));
  Facts facts;
  facts.add("vpc-id", id)
      .add("cidr", "172.31.0.0/16")
      .add("cidr-block-association.cidr-block", "172.31.0.0/16")
      .add("is-default", is_default)
      .add("isDefault", is_default);
  facts.add("owner-id", account_id)
      .add("state", "available")
      .add("dhcp-options-id", "dopt-" + id.substr(4))
      .add_tags(tags_of(call.state, id));
  std::vector<std::string> found;
  if (filters.match(facts)) found.push_back(id);
  Xml xml;
  return xml.list("vpcSet", found, [&](const std::string& vpc) {
    xml.text("vpcId", vpc)
        .text("ownerId", account_id)
        .text("state", "available")
        .text("cidrBlock", "172.31.0.0/16");
    xml.list("cidrBlockAssociationSet", std::array{"172.31.0.0/16"}, [&](const char* block) {
      xml.text("associationId", "vpc-cidr-assoc-" + vpc.substr(4))
          .text("cidrBlock", block)
          .node("cidrBlockState", [&] { xml.text("state", "associated"); });
    });
    xml.text("dhcpOptionsId", "dopt-" + vpc.substr(4))
        .text("instanceTenancy", "default")
        .flag("isDefault", is_default);
    write_tags(xml, call.state, vpc);
  });
}

Api<Xml> describe_vpc_attribute(Call& call) {
  API_SET(id, call.params.required("VpcId"));
  API_SET(attribute, call.params.required("Attribute"));
  API_TRY(check_ids({id}, vpc_ids, [&](const std::string& it) { return it == call.state.vpc_id; }));
  if (attribute != "enableDnsSupport" && attribute != "enableDnsHostnames" &&
      attribute != "enableNetworkAddressUsageMetrics")
    return invalid_value(attribute, "attribute");
  Xml xml;
  return xml.text("vpcId", id).node(attribute, [&] {
    xml.flag("value", attribute != "enableNetworkAddressUsageMetrics");
  });
}

Api<Xml> describe_subnets(Call& call) {
  API_SET(filters, Filters::read(call.params, {"subnet-id", "vpc-id", "availability-zone", "availabilityZone",
                                               "availability-zone-id", "cidr-block", "cidr", "cidrBlock",
                                               "default-for-az", "defaultForAz", "state", "owner-id",
                                               "map-public-ip-on-launch", "subnet-arn"}));
  const bool is_default = !call.faults.no_default_vpc();
  const auto wanted = call.params.list("SubnetId");
  API_TRY(check_ids(wanted, subnet_ids,
                    [&](const std::string& id) { return resource_type(call.state, id) == "subnet"; }));
  std::map<std::string, const Subnet*> found;
  for (const auto& subnet : call.state.subnets) {
    const auto arn = fmt::format("arn:aws:ec2:{}:{}:subnet/{}", region_name, account_id, subnet.id);
    Facts facts;
    facts.add("subnet-id", subnet.id)
        .add("vpc-id", call.state.vpc_id)
        .add("availability-zone", subnet.zone)
        .add("availabilityZone", subnet.zone);
    facts.add("availability-zone-id", zone_id(subnet.zone))
        .add("cidr-block", subnet.cidr)
        .add("cidr", subnet.cidr)
        .add("cidrBlock", subnet.cidr)
        .add("default-for-az", is_default);
    facts.add("defaultForAz", is_default)
        .add("state", "available")
        .add("owner-id", account_id)
        .add("map-public-ip-on-launch", true)
        .add("subnet-arn", arn);
    facts.add_tags(tags_of(call.state, subnet.id));
    if ((wanted.empty() || std::find(wanted.begin(), wanted.end(), subnet.id) != wanted.end()) &&
        filters.match(facts))
      found[subnet.id] = &subnet;
  }
  std::vector<std::string> keys;
  for (const auto& [id, subnet] : found) keys.push_back(id);
  API_SET(page, page_of(call.params, keys));
  Xml xml;
  xml.list("subnetSet", page.keys, [&](const std::string& id) {
    const Subnet& subnet = *found[id];
    xml.text("subnetId", id)
        .text("subnetArn", fmt::format("arn:aws:ec2:{}:{}:subnet/{}", region_name, account_id, id))
        .text("state", "available");
    xml.text("ownerId", account_id)
        .text("vpcId", call.state.vpc_id)
        .text("cidrBlock", subnet.cidr)
        .raw("<ipv6CidrBlockAssociationSet/>");
    xml.number("availableIpAddressCount", 4091)
        .text("availabilityZone", subnet.zone)
        .text("availabilityZoneId", zone_id(subnet.zone))
        .flag("defaultForAz", is_default);
    xml.flag("mapPublicIpOnLaunch", true).flag("assignIpv6AddressOnCreation", false);
    write_tags(xml, call.state, id);
  });
  return xml.some("nextToken", page.next_token);
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
    facts.add("association.public-ip", instance->public_ip)
        .add("subnet-id", instance->subnet_id)
        .add("vpc-id", call.state.vpc_id)
        .add("status", "in-use");
    facts.add("description", "")
        .add("interface-type", "interface")
        .add("requester-managed", false)
        .add_tags(tags_of(call.state, eni));
    for (const auto& group : instance->groups) facts.add("group-id", group);
    if ((wanted.empty() || std::find(wanted.begin(), wanted.end(), eni) != wanted.end()) &&
        filters.match(facts))
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
