// VPCs and subnets: the default ones, and those that people make.
#include "rehearsal/actions.h"
#include "rehearsal/cidr.h"
#include "rehearsal/tagging.h"

namespace ferry::rehearsal {
namespace {

constexpr std::size_t most_vpcs = 5, most_subnets = 200;

std::string subnet_arn(const Subnet& subnet) {
  return fmt::format("arn:aws:ec2:{}:{}:subnet/{}", region_name, account_id, subnet.id);
}

bool is_default(const Call& call, const std::string& vpc_id) {
  return call.has_default_vpc() && vpc_id == call.state.vpc_id;
}

/// The block of a network of 16 to 65536 addresses.
std::optional<Cidr> network_cidr(const std::string& text) {
  const auto cidr = parse_cidr4(text);
  return cidr && cidr->length >= 16 && cidr->length <= 28 ? cidr : std::nullopt;
}

Api<std::string> existing_vpc(const Call& call) {
  API_SET(id, call.params.required("VpcId"));
  API_TRY(check_ids({id}, vpc_ids, [&](const std::string& it) { return call.state.vpcs.contains(it); }));
  return id;
}

Api<Subnet*> existing_subnet(Call& call) {
  API_SET(id, call.params.required("SubnetId"));
  API_TRY(check_ids({id}, subnet_ids, [&](const std::string& it) { return call.state.subnet(it) != nullptr; }));
  return &*std::find_if(call.state.subnets.begin(), call.state.subnets.end(),
                        [&](const Subnet& it) { return it.id == id; });
}

void write_vpc(Xml& xml, const Call& call, const Vpc& vpc) {
  xml.text("vpcId", vpc.id).text("ownerId", account_id).text("state", "available").text("cidrBlock", vpc.cidr);
  xml.list("cidrBlockAssociationSet", std::array{vpc.cidr}, [&](const std::string& block) {
    xml.text("associationId", "vpc-cidr-assoc-" + vpc.id.substr(4))
        .text("cidrBlock", block)
        .node("cidrBlockState", [&] { xml.text("state", "associated"); });
  });
  xml.text("dhcpOptionsId", "dopt-" + vpc.id.substr(4))
      .text("instanceTenancy", "default")
      .flag("isDefault", is_default(call, vpc.id));
  write_tags(xml, call.state, vpc.id);
}

void write_subnet(Xml& xml, const Call& call, const Subnet& subnet) {
  xml.text("subnetId", subnet.id).text("subnetArn", subnet_arn(subnet)).text("state", "available");
  xml.text("ownerId", account_id)
      .text("vpcId", subnet.vpc_id)
      .text("cidrBlock", subnet.cidr)
      .raw("<ipv6CidrBlockAssociationSet/>");
  xml.number("availableIpAddressCount", call.state.free_addresses(subnet))
      .text("availabilityZone", subnet.zone)
      .text("availabilityZoneId", zone_id(subnet.zone))
      .flag("defaultForAz", subnet.default_for_zone && is_default(call, subnet.vpc_id));
  xml.flag("mapPublicIpOnLaunch", subnet.maps_public_ip).flag("assignIpv6AddressOnCreation", false);
  write_tags(xml, call.state, subnet.id);
}

/// The zone that the request names, by name or id; the first if it names none.
Api<std::string> subnet_zone(const Params& params) {
  const auto name = params.get("AvailabilityZone"), id = params.get("AvailabilityZoneId");
  for (const auto& zone : zones())
    if ((name.empty() || name == zone) && (id.empty() || id == zone_id(zone))) return zone;
  return invalid_value(name.empty() ? id : name, name.empty() ? "availabilityZoneId" : "availabilityZone",
                       "Subnets can currently only be created in the following availability zones: " +
                           fmt::format("{}.", fmt::join(zones(), ", ")));
}

void forget_group(State& state, const std::string& id) {
  for (const auto& rule : state.groups[id].rules) state.tags.erase(rule.id);
  state.tags.erase(id);
  state.groups.erase(id);
}

}  // namespace

Api<Xml> create_vpc(Call& call) {
  API_SET(text, call.params.required("CidrBlock"));
  const auto cidr = network_cidr(text);
  if (!cidr) return refuse("InvalidVpc.Range", fmt::format("The CIDR '{}' is invalid.", text));
  API_SET(tags, read_tag_specifications(call.params, {"vpc"}));
  if (call.state.vpcs.size() >= most_vpcs)
    return refuse("VpcLimitExceeded", "The maximum number of VPCs has been reached.");
  const auto id = add_vpc(call.state, cidr->text());
  set_tags(call.state, id, tags["vpc"]);
  Xml xml;
  return xml.node("vpc", [&] { write_vpc(xml, call, call.state.vpcs[id]); });
}

Api<Xml> delete_vpc(Call& call) {
  API_SET(id, existing_vpc(call));
  const auto in_it = [&](const auto& it) { return it.vpc_id == id; };
  bool used = std::any_of(call.state.subnets.begin(), call.state.subnets.end(), in_it);
  for (const auto& [group_id, group] : call.state.groups) used |= in_it(group) && group.name != "default";
  if (used)
    return refuse("DependencyViolation", fmt::format("The vpc '{}' has dependencies and cannot be deleted.", id));
  forget_group(call.state, call.state.group_named(id, "default")->id);
  call.state.tags.erase(id);
  call.state.vpcs.erase(id);
  if (id == call.state.vpc_id) call.state.vpc_id.clear();
  return Xml().flag("return", true);
}

Api<Xml> describe_vpcs(Call& call) {
  API_SET(filters, Filters::read(call.params, {"vpc-id", "cidr", "cidr-block-association.cidr-block",
                                               "cidr-block-association.association-id", "cidr-block-association.state",
                                               "is-default", "isDefault", "owner-id", "state", "dhcp-options-id"}));
  const auto wanted = call.params.list("VpcId");
  API_TRY(check_ids(wanted, vpc_ids, [&](const std::string& it) { return call.state.vpcs.contains(it); }));
  std::vector<std::string> found;
  for (const auto& [id, vpc] : call.state.vpcs) {
    Facts facts;
    facts.add("vpc-id", id)
        .add("cidr", vpc.cidr)
        .add("cidr-block-association.cidr-block", vpc.cidr)
        .add("cidr-block-association.association-id", "vpc-cidr-assoc-" + id.substr(4))
        .add("cidr-block-association.state", "associated");
    facts.add("is-default", is_default(call, id)).add("isDefault", is_default(call, id));
    facts.add("owner-id", account_id)
        .add("state", "available")
        .add("dhcp-options-id", "dopt-" + id.substr(4))
        .add_tags(tags_of(call.state, id));
    const bool asked = wanted.empty() || std::find(wanted.begin(), wanted.end(), id) != wanted.end();
    if (asked && filters.match(facts)) found.push_back(id);
  }
  API_SET(page, page_of(call.params, found));
  Xml xml;
  xml.list("vpcSet", page.keys, [&](const std::string& id) { write_vpc(xml, call, call.state.vpcs[id]); });
  return xml.some("nextToken", page.next_token);
}

Api<Xml> create_subnet(Call& call) {
  API_SET(vpc_id, existing_vpc(call));
  API_SET(text, call.params.required("CidrBlock"));
  API_SET(zone, subnet_zone(call.params));
  API_SET(tags, read_tag_specifications(call.params, {"subnet"}));
  const auto cidr = network_cidr(text);
  if (!cidr || !parse_cidr4(call.state.vpcs[vpc_id].cidr)->contains(*cidr))
    return refuse("InvalidSubnet.Range", fmt::format("The CIDR '{}' is invalid.", text));
  std::size_t siblings = 0;
  for (const auto& other : call.state.subnets) {
    if (other.vpc_id != vpc_id) continue;
    if (parse_cidr4(other.cidr)->overlaps(*cidr))
      return refuse("InvalidSubnet.Conflict", fmt::format("The CIDR '{}' conflicts with another subnet", cidr->text()));
    ++siblings;
  }
  if (siblings >= most_subnets) return refuse("SubnetLimitExceeded", "The maximum number of subnets has been reached.");
  Subnet subnet{.id = new_id("subnet-"), .vpc_id = vpc_id, .zone = zone, .cidr = cidr->text()};
  set_tags(call.state, subnet.id, tags["subnet"]);
  call.state.subnets.push_back(subnet);
  Xml xml;
  return xml.node("subnet", [&] { write_subnet(xml, call, subnet); });
}

Api<Xml> delete_subnet(Call& call) {
  API_SET(subnet, existing_subnet(call));
  const std::string id = subnet->id;
  for (const auto& [instance_id, instance] : call.state.instances)
    if (instance.subnet_id == id && instance.phase != Phase::terminated)
      return refuse("DependencyViolation", fmt::format("The subnet '{}' has dependencies and cannot be deleted.", id));
  call.state.tags.erase(id);
  std::erase_if(call.state.subnets, [&](const Subnet& it) { return it.id == id; });
  return Xml().flag("return", true);
}

Api<Xml> modify_subnet_attribute(Call& call) {
  API_SET(subnet, existing_subnet(call));
  if (!call.params.has("MapPublicIpOnLaunch.Value"))
    return refuse("UnsupportedOperation", "MapPublicIpOnLaunch is the only attribute that can be changed here");
  API_SET(maps, call.params.flag("MapPublicIpOnLaunch.Value", false));
  subnet->maps_public_ip = maps;
  return Xml().flag("return", true);
}

Api<Xml> describe_subnets(Call& call) {
  API_SET(filters, Filters::read(call.params, {"subnet-id", "vpc-id", "availability-zone", "availabilityZone",
                                               "availability-zone-id", "available-ip-address-count", "cidr-block",
                                               "cidr", "cidrBlock", "default-for-az", "defaultForAz", "state",
                                               "owner-id", "map-public-ip-on-launch", "subnet-arn"}));
  const auto wanted = call.params.list("SubnetId");
  API_TRY(check_ids(wanted, subnet_ids, [&](const std::string& id) { return call.state.subnet(id) != nullptr; }));
  std::vector<std::string> found;
  for (const auto& subnet : call.state.subnets) {
    const bool zone_default = subnet.default_for_zone && is_default(call, subnet.vpc_id);
    Facts facts;
    facts.add("subnet-id", subnet.id)
        .add("vpc-id", subnet.vpc_id)
        .add("availability-zone", subnet.zone)
        .add("availabilityZone", subnet.zone)
        .add("availability-zone-id", zone_id(subnet.zone));
    for (const char* name : {"cidr-block", "cidr", "cidrBlock"}) facts.add(name, subnet.cidr);
    for (const char* name : {"default-for-az", "defaultForAz"}) facts.add(name, zone_default);
    facts.add("available-ip-address-count", std::to_string(call.state.free_addresses(subnet)))
        .add("state", "available")
        .add("owner-id", account_id)
        .add("map-public-ip-on-launch", subnet.maps_public_ip)
        .add("subnet-arn", subnet_arn(subnet));
    facts.add_tags(tags_of(call.state, subnet.id));
    const bool asked = wanted.empty() || std::find(wanted.begin(), wanted.end(), subnet.id) != wanted.end();
    if (asked && filters.match(facts)) found.push_back(subnet.id);
  }
  std::sort(found.begin(), found.end());
  API_SET(page, page_of(call.params, found));
  Xml xml;
  xml.list("subnetSet", page.keys, [&](const std::string& id) { write_subnet(xml, call, *call.state.subnet(id)); });
  return xml.some("nextToken", page.next_token);
}

}  // namespace ferry::rehearsal
