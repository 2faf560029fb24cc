#include "aws/ec2_catalog.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "aws/xml.h"
#include "base/text.h"

namespace ferry::aws {
namespace {

constexpr int types_a_page = 100;  // EC2's own limit
constexpr int items_a_page = 1000;

bool is_true(const pugi::xml_node& parent, const char* name) { return xml_text(parent, name) == "true"; }

std::int64_t whole(const pugi::xml_node& parent, const char* name) {
  return std::max<std::int64_t>(0, parse_int(xml_text(parent, name)).value_or(0));
}

void add_accelerators(const pugi::xml_node& list, AcceleratorRecord::Sort sort, const std::string& maker,
                      std::vector<AcceleratorRecord>& out) {
  for (const auto& item : list.children()) {
    AcceleratorRecord device;
    device.sort = sort;
    device.manufacturer = xml_text(item, "manufacturer");
    if (device.manufacturer.empty()) device.manufacturer = maker;
    device.name = xml_text(item, "name");
    device.count = std::max(1, xml_number(item, "count", 1));
    device.memory_mib = std::max(0, xml_number(item.child("memoryInfo"), "sizeInMiB", 0));
    out.push_back(std::move(device));
  }
}

std::vector<AcceleratorRecord> accelerators_of(const pugi::xml_node& item) {
  using Sort = AcceleratorRecord::Sort;
  std::vector<AcceleratorRecord> all;
  add_accelerators(item.child("gpuInfo").child("gpus"), Sort::gpu, "", all);
  const auto gpus = all.size();
  add_accelerators(item.child("neuronInfo").child("neuronDevices"), Sort::neuron, "AWS", all);
  if (all.size() == gpus) {
    add_accelerators(item.child("inferenceAcceleratorInfo").child("accelerators"), Sort::inference, "", all);
  }
  return all;
}

InstanceTypeRecord instance_type_of(const pugi::xml_node& item) {
  InstanceTypeRecord type;
  type.name = xml_text(item, "instanceType");
  type.vcpus = std::max(0, xml_number(item.child("vCpuInfo"), "defaultVCpus", 0));
  type.memory_mib = whole(item.child("memoryInfo"), "sizeInMiB");
  for (const auto& architecture : item.child("processorInfo").child("supportedArchitectures").children()) {
    type.architectures.emplace_back(trim(architecture.text().get()));
  }
  type.accelerators = accelerators_of(item);
  const auto storage = item.child("instanceStorageInfo");
  type.local_disk_gb = whole(storage, "totalSizeInGB");
  const auto nvme = xml_text(storage, "nvmeSupport");
  type.local_disk_is_nvme = nvme == "supported" || nvme == "required";
  type.network = xml_text(item.child("networkInfo"), "networkPerformance");
  type.efa = is_true(item.child("networkInfo"), "efaSupported");
  type.bare_metal = is_true(item, "bareMetal");
  type.current_generation = is_true(item, "currentGeneration");
  for (const auto& market : item.child("supportedUsageClasses").children()) {
    const std::string_view word = trim(market.text().get());
    type.on_demand = type.on_demand || word == "on-demand";
    type.spot = type.spot || word == "spot";
  }
  return type;
}

/// The items of the list `set` of an answer, each by `read`, without those that have no name.
template <class T, class Read>
Result<Page<T>> page_of(std::string_view xml, const std::string& answer_name, const char* set, std::string T::*name,
                        const Read& read) {
  XmlAnswer answer;
  TRY("", load_xml(answer, xml, answer_name));
  Page<T> page;
  for (const auto& item : answer.root.child(set).children("item")) {
    T record = read(item);
    if (!(record.*name).empty()) page.items.push_back(std::move(record));
  }
  page.next_token = xml_text(answer.root, "nextToken");
  return page;
}

template <class T, class Parse>
Result<std::vector<T>> pages_of(Client& client, const std::string& action, const Params& params, const Parse& parse) {
  return every_page<T>(action, [&](const std::string& token) -> Result<Page<T>> {
    Params more = params;
    if (!token.empty()) more.add("NextToken", token);
    TRY_SET(xml, "", client.query("ec2", action, more, Repeat::freely));
    return parse(xml);
  });
}

void add_all(Params& params, const std::vector<Filter>& filters) {
  for (const auto& filter : filters) params.filter(filter.name, filter.values);
}

}  // namespace

Result<Page<InstanceTypeRecord>> parse_describe_instance_types(std::string_view xml) {
  return page_of(xml, "DescribeInstanceTypesResponse", "instanceTypeSet", &InstanceTypeRecord::name, instance_type_of);
}

Result<Page<OfferingRecord>> parse_describe_instance_type_offerings(std::string_view xml) {
  return page_of(xml, "DescribeInstanceTypeOfferingsResponse", "instanceTypeOfferingSet", &OfferingRecord::type,
                 [](const auto& item) {
                   return OfferingRecord{xml_text(item, "instanceType"), xml_text(item, "location")};
                 });
}

Result<Page<SpotPriceRecord>> parse_describe_spot_price_history(std::string_view xml) {
  return page_of(xml, "DescribeSpotPriceHistoryResponse", "spotPriceHistorySet", &SpotPriceRecord::type,
                 [](const auto& item) {
                   const auto price = parse_usd(xml_text(item, "spotPrice"));
                   // An unknown price is no price: without a name the record is left out.
                   return SpotPriceRecord{price && price->micros > 0 ? xml_text(item, "instanceType") : "",
                                          xml_text(item, "availabilityZone"), price.value_or(Usd()),
                                          parse_iso_time(xml_text(item, "timestamp"))};
                 });
}

Result<Page<PlacementScoreRecord>> parse_get_spot_placement_scores(std::string_view xml) {
  return page_of(xml, "GetSpotPlacementScoresResponse", "spotPlacementScoreSet", &PlacementScoreRecord::region,
                 [](const auto& item) {
                   return PlacementScoreRecord{xml_text(item, "region"), xml_text(item, "availabilityZoneId"),
                                               std::clamp(xml_number(item, "score", 0), 0, 10)};
                 });
}

Result<std::vector<RegionRecord>> parse_describe_regions(std::string_view xml) {
  TRY_SET(page, "", page_of(xml, "DescribeRegionsResponse", "regionInfo", &RegionRecord::name, [](const auto& item) {
            return RegionRecord{xml_text(item, "regionName"), xml_text(item, "regionEndpoint"),
                                xml_text(item, "optInStatus") != "not-opted-in"};
          }));
  return std::move(page.items);
}

Result<std::vector<ZoneRecord>> parse_describe_availability_zones(std::string_view xml) {
  TRY_SET(page, "",
          page_of(xml, "DescribeAvailabilityZonesResponse", "availabilityZoneInfo", &ZoneRecord::name,
                  [](const auto& item) {
                    return ZoneRecord{xml_text(item, "zoneName"), xml_text(item, "zoneId"), xml_text(item, "zoneType"),
                                      xml_text(item, "zoneState") == "available"};
                  }));
  return std::move(page.items);
}

Result<Page<VpcRecord>> parse_describe_vpcs(std::string_view xml) {
  return page_of(xml, "DescribeVpcsResponse", "vpcSet", &VpcRecord::id, [](const auto& item) {
    return VpcRecord{xml_text(item, "vpcId"), xml_text(item, "cidrBlock"), is_true(item, "isDefault")};
  });
}

Result<Page<SubnetRecord>> parse_describe_subnets(std::string_view xml) {
  return page_of(xml, "DescribeSubnetsResponse", "subnetSet", &SubnetRecord::id, [](const auto& item) {
    return SubnetRecord{xml_text(item, "subnetId"),           xml_text(item, "vpcId"),
                        xml_text(item, "availabilityZone"),   is_true(item, "defaultForAz"),
                        is_true(item, "mapPublicIpOnLaunch"), xml_number(item, "availableIpAddressCount", 0)};
  });
}

Result<std::vector<InstanceTypeRecord>> describe_instance_types(Client& client, const std::vector<std::string>& names,
                                                                const std::vector<Filter>& filters) {
  Params params;
  params.list("InstanceType", names);
  add_all(params, filters);
  if (names.empty()) params.add("MaxResults", types_a_page);  // EC2 refuses both together
  return pages_of<InstanceTypeRecord>(client, "DescribeInstanceTypes", params, parse_describe_instance_types);
}

Result<std::vector<OfferingRecord>> describe_instance_type_offerings(Client& client,
                                                                     const std::vector<std::string>& types) {
  Params params;
  params.add("LocationType", "availability-zone").add("MaxResults", items_a_page);
  if (!types.empty()) params.filter("instance-type", types);
  return pages_of<OfferingRecord>(client, "DescribeInstanceTypeOfferings", params,
                                  parse_describe_instance_type_offerings);
}

Result<std::vector<SpotPriceRecord>> describe_spot_prices(Client& client, const std::vector<std::string>& types) {
  Params params;
  params.list("InstanceType", types)
      .list("ProductDescription", {"Linux/UNIX"})
      .add("StartTime", os::iso_time(client.clock().now_ms()))  // the prices in force then, and no others
      .add("MaxResults", items_a_page);
  TRY_SET(all, "",
          pages_of<SpotPriceRecord>(client, "DescribeSpotPriceHistory", params, parse_describe_spot_price_history));
  std::map<std::pair<std::string, std::string>, SpotPriceRecord> newest;
  for (auto& price : all) {
    const auto [at, fresh] = newest.try_emplace({price.type, price.zone}, price);
    if (!fresh && price.since_ms > at->second.since_ms) at->second = std::move(price);
  }
  std::vector<SpotPriceRecord> out;
  out.reserve(newest.size());
  for (auto& [place, price] : newest) out.push_back(std::move(price));
  return out;
}

Result<std::vector<SpotPriceRecord>> describe_spot_price_history(Client& client, const std::vector<std::string>& types,
                                                                 std::int64_t from_ms) {
  Params params;
  params.list("InstanceType", types)
      .list("ProductDescription", {"Linux/UNIX"})
      .add("StartTime", os::iso_time(from_ms))
      .add("MaxResults", items_a_page);
  TRY_SET(all, "",
          pages_of<SpotPriceRecord>(client, "DescribeSpotPriceHistory", params, parse_describe_spot_price_history));
  std::ranges::sort(all, {}, [](const auto& it) { return std::tie(it.type, it.zone, it.since_ms); });
  return all;
}

Result<std::vector<PlacementScoreRecord>> get_spot_placement_scores(Client& client,
                                                                    const std::vector<std::string>& types, int machines,
                                                                    const std::vector<std::string>& regions) {
  Params params;
  params.list("InstanceType", types)
      .add("TargetCapacity", machines)
      .add("TargetCapacityUnitType", "units")
      .add("SingleAvailabilityZone", "true")
      .list("RegionName", regions);
  return pages_of<PlacementScoreRecord>(client, "GetSpotPlacementScores", params, parse_get_spot_placement_scores);
}

Result<std::vector<RegionRecord>> describe_regions(Client& client, bool all) {
  Params params;
  if (all) params.add("AllRegions", "true");
  TRY_SET(xml, "", client.query("ec2", "DescribeRegions", params, Repeat::freely));
  return parse_describe_regions(xml);
}

Result<std::vector<ZoneRecord>> describe_availability_zones(Client& client) {
  TRY_SET(xml, "", client.query("ec2", "DescribeAvailabilityZones", Params(), Repeat::freely));
  return parse_describe_availability_zones(xml);
}

Result<std::vector<VpcRecord>> describe_vpcs(Client& client, const std::vector<Filter>& filters) {
  Params params;
  add_all(params, filters);
  return pages_of<VpcRecord>(client, "DescribeVpcs", params, parse_describe_vpcs);
}

Result<std::vector<SubnetRecord>> describe_subnets(Client& client, const std::vector<Filter>& filters) {
  Params params;
  add_all(params, filters);
  return pages_of<SubnetRecord>(client, "DescribeSubnets", params, parse_describe_subnets);
}

}  // namespace ferry::aws
