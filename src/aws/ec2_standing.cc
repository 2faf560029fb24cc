#include "aws/ec2_standing.h"

#include <algorithm>

#include "aws/xml.h"
#include "base/text.h"

namespace ferry::aws {
namespace {

/// The items of `set` in an answer to `action`, each read by `read`; those without an id are none.
template <class Record, class Read>
Result<Page<Record>> parse_set(std::string_view xml, const char* action, const char* set, const Read& read) {
  XmlAnswer answer;
  TRY("", load_xml(answer, xml, std::string(action) + "Response"));
  Page<Record> page;
  for (const auto& item : answer.root.child(set).children("item")) {
    Record record = read(item);
    record.tags = xml_tags(item);
    if (!record.id.empty()) page.items.push_back(std::move(record));
  }
  page.next_token = xml_text(answer.root, "nextToken");
  return page;
}

template <class Record, class Parse>
Result<std::vector<Record>> describe_all(Client& client, const char* action, const Params& params, const Parse& parse) {
  return every_page<Record>(action, [&](const std::string& token) -> Result<Page<Record>> {
    Params page = params;
    page.add_given("NextToken", token);
    TRY_SET(xml, "", client.query("ec2", action, page, Repeat::freely));
    return parse(xml);
  });
}

/// The most that EC2 gives.
Params large_pages() { return Params().add("MaxResults", 1000); }

}  // namespace

Result<Page<VolumeRecord>> parse_describe_volumes(std::string_view xml) {
  return parse_set<VolumeRecord>(xml, "DescribeVolumes", "volumeSet", [](const pugi::xml_node& item) {
    VolumeRecord one;
    one.id = xml_text(item, "volumeId");
    one.zone = xml_text(item, "availabilityZone");
    one.type = xml_text(item, "volumeType");
    one.state = xml_text(item, "status");
    const auto attachment = item.child("attachmentSet").child("item");
    one.instance = xml_text(attachment, "instanceId");
    one.device = xml_text(attachment, "device");
    one.attachment = xml_text(attachment, "status");
    one.ends_with_instance = xml_text(attachment, "deleteOnTermination") == "true";
    one.gib = std::max(0, xml_number(item, "size", 0));
    one.iops = std::max(0, xml_number(item, "iops", 0));
    one.mib_per_s = std::max(0, xml_number(item, "throughput", 0));
    one.created_ms = parse_iso_time(xml_text(item, "createTime"));
    return one;
  });
}

Result<Page<SnapshotRecord>> parse_describe_snapshots(std::string_view xml) {
  return parse_set<SnapshotRecord>(xml, "DescribeSnapshots", "snapshotSet", [](const pugi::xml_node& item) {
    SnapshotRecord one;
    one.id = xml_text(item, "snapshotId");
    one.description = xml_text(item, "description");
    one.is_archived = xml_text(item, "storageTier") == "archive";
    one.gib = std::max(0, xml_number(item, "volumeSize", 0));
    one.bytes = std::max<std::int64_t>(-1, parse_int(xml_text(item, "fullSnapshotSizeInBytes")).value_or(-1));
    one.created_ms = parse_iso_time(xml_text(item, "startTime"));
    return one;
  });
}

Result<Page<AddressRecord>> parse_describe_addresses(std::string_view xml) {
  return parse_set<AddressRecord>(xml, "DescribeAddresses", "addressesSet", [](const pugi::xml_node& item) {
    AddressRecord one;
    one.id = xml_text(item, "allocationId");
    one.ip = xml_text(item, "publicIp");
    one.instance = xml_text(item, "instanceId");
    one.interface = xml_text(item, "networkInterfaceId");
    return one;
  });
}

Result<Page<NatGatewayRecord>> parse_describe_nat_gateways(std::string_view xml) {
  return parse_set<NatGatewayRecord>(xml, "DescribeNatGateways", "natGatewaySet", [](const pugi::xml_node& item) {
    NatGatewayRecord one;
    one.id = xml_text(item, "natGatewayId");
    one.vpc = xml_text(item, "vpcId");
    one.state = xml_text(item, "state");
    one.created_ms = parse_iso_time(xml_text(item, "createTime"));
    return one;
  });
}

Result<Page<VpcEndpointRecord>> parse_describe_vpc_endpoints(std::string_view xml) {
  return parse_set<VpcEndpointRecord>(xml, "DescribeVpcEndpoints", "vpcEndpointSet", [](const pugi::xml_node& item) {
    VpcEndpointRecord one;
    one.id = xml_text(item, "vpcEndpointId");
    one.service = xml_text(item, "serviceName");
    one.type = xml_text(item, "vpcEndpointType");
    one.state = lower(xml_text(item, "state"));
    const auto subnets = item.child("subnetIdSet").children("item");
    one.zones = static_cast<int>(std::distance(subnets.begin(), subnets.end()));
    one.created_ms = parse_iso_time(xml_text(item, "creationTimestamp"));
    return one;
  });
}

Result<std::vector<VolumeRecord>> describe_volumes(Client& client, const std::vector<Filter>& filters) {
  auto params = large_pages();
  for (const auto& filter : filters) params.filter(filter.name, filter.values);
  return describe_all<VolumeRecord>(client, "DescribeVolumes", params, parse_describe_volumes);
}

Status attach_volume(Client& client, const std::string& volume, const std::string& instance,
                     const std::string& device) {
  const auto params = Params().add("VolumeId", volume).add("InstanceId", instance).add("Device", device);
  TRY("", client.query("ec2", "AttachVolume", params, Repeat::unless_uncertain));
  return {};
}

Result<std::vector<SnapshotRecord>> describe_own_snapshots(Client& client) {
  return describe_all<SnapshotRecord>(client, "DescribeSnapshots", large_pages().add("Owner.1", "self"),
                                      parse_describe_snapshots);
}

Result<std::vector<AddressRecord>> describe_addresses(Client& client) {
  return describe_all<AddressRecord>(client, "DescribeAddresses", Params(), parse_describe_addresses);
}

Result<std::vector<NatGatewayRecord>> describe_nat_gateways(Client& client) {
  return describe_all<NatGatewayRecord>(client, "DescribeNatGateways", large_pages(), parse_describe_nat_gateways);
}

Result<std::vector<VpcEndpointRecord>> describe_vpc_endpoints(Client& client) {
  return describe_all<VpcEndpointRecord>(client, "DescribeVpcEndpoints", large_pages(), parse_describe_vpc_endpoints);
}

Result<std::vector<CapacityReservationRecord>> describe_capacity_reservations(Client& client) {
  return describe_all<CapacityReservationRecord>(client, "DescribeCapacityReservations", large_pages(),
                                                 parse_describe_capacity_reservations);
}

}  // namespace ferry::aws
