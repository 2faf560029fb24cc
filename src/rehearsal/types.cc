// Instance types, where they are offered, and what they cost as spot.
#include "base/text.h"
#include "os/clock.h"
#include "rehearsal/actions.h"
#include "rehearsal/reservations.h"
#include "rehearsal/spot.h"

namespace ferry::rehearsal {
namespace {

bool is_neuron(const InstanceType& type) {
  return type.family().starts_with("inf") || type.family().starts_with("trn");
}
bool is_metal(const InstanceType& type) { return type.name.ends_with(".metal"); }
bool is_old(const InstanceType& type) {
  const auto family = type.family();
  return family == "t2" || family == "p2" || family == "g3" || family == "g3s";
}
std::string_view maker(const InstanceType& type) {
  if (type.family().starts_with("dl")) return "Habana";
  return type.family() == "g4ad" ? "AMD" : "NVIDIA";
}
std::string_view hypervisor(const InstanceType& type) {
  return is_old(type) || type.family().starts_with("p3") ? "xen" : "nitro";
}

Facts facts_of(const InstanceType& type) {
  Facts facts;
  facts.add("instance-type", type.name)
      .add("current-generation", !is_old(type))
      .add("bare-metal", is_metal(type))
      .add("hypervisor", hypervisor(type));
  facts.add("burstable-performance-supported", type.burstable()).add("instance-storage-supported", type.nvme_gb > 0);
  facts.add("memory-info.size-in-mib", std::to_string(type.memory_mib))
      .add("vcpu-info.default-vcpus", std::to_string(type.vcpus));
  facts.add("processor-info.supported-architecture", type.arch)
      .add("supported-root-device-type", "ebs")
      .add("supported-virtualization-type", "hvm");
  facts.add("supported-usage-class", "on-demand")
      .add("free-tier-eligible", type.name == "t2.micro" || type.name == "t3.micro");
  if (!type.spot.empty()) facts.add("supported-usage-class", "spot");
  if (sold_in_blocks(type.name)) facts.add("supported-usage-class", "capacity-block");
  return facts;
}

void write_storage(Xml& xml, const InstanceType& type) {
  xml.flag("instanceStorageSupported", type.nvme_gb > 0);
  if (type.nvme_gb == 0) return;
  xml.node("instanceStorageInfo", [&] {
    const std::array<std::int64_t, 1> disks = {type.nvme_gb};
    xml.number("totalSizeInGB", type.nvme_gb).list("disks", disks, [&](std::int64_t size) {
      xml.number("sizeInGB", size).number("count", 1).text("type", "ssd");
    });
    xml.text("nvmeSupport", "required").text("encryptionSupport", "required");
  });
}

void write_accelerators(Xml& xml, const InstanceType& type) {
  if (type.accelerators == 0) return;
  const std::array<const InstanceType*, 1> one = {&type};
  const auto device = [&](const InstanceType* it) {
    xml.text("name", it->accelerator);
    if (!is_neuron(*it)) xml.text("manufacturer", maker(*it));
    xml.number("count", it->accelerators);
    xml.node("memoryInfo", [&] { xml.number("sizeInMiB", it->accelerator_mib); });
  };
  const auto total = type.accelerators * type.accelerator_mib;
  if (is_neuron(type))
    xml.node("neuronInfo",
             [&] { xml.list("neuronDevices", one, device).number("totalNeuronDeviceMemoryInMiB", total); });
  else
    xml.node("gpuInfo", [&] { xml.list("gpus", one, device).number("totalGpuMemoryInMiB", total); });
}

void write_network(Xml& xml, const InstanceType& type) {
  xml.node("networkInfo", [&] {
    xml.text("networkPerformance", type.network).number("maximumNetworkInterfaces", 4).number("maximumNetworkCards", 1);
    xml.number("defaultNetworkCardIndex", 0)
        .number("ipv4AddressesPerInterface", 15)
        .number("ipv6AddressesPerInterface", 15);
    xml.flag("ipv6Supported", true).text("enaSupport", is_old(type) ? "unsupported" : "required");
    xml.flag("efaSupported", type.network.find("00 Gigabit") != std::string::npos)
        .flag("encryptionInTransitSupported", false);
  });
}

void write_type(Xml& xml, const InstanceType& type) {
  xml.text("instanceType", type.name).flag("currentGeneration", !is_old(type));
  xml.flag("freeTierEligible", type.name == "t2.micro" || type.name == "t3.micro");
  std::vector<std::string> classes = {"on-demand"};
  if (!type.spot.empty()) classes.push_back("spot");
  if (sold_in_blocks(type.name)) classes.push_back("capacity-block");
  xml.texts("supportedUsageClasses", classes);
  xml.texts("supportedRootDeviceTypes", std::array{"ebs"}).texts("supportedVirtualizationTypes", std::array{"hvm"});
  xml.flag("bareMetal", is_metal(type));
  if (!is_metal(type)) xml.text("hypervisor", hypervisor(type));
  xml.node("processorInfo", [&] {
    xml.texts("supportedArchitectures", std::array{type.arch})
        .raw("<sustainedClockSpeedInGhz>2.5</sustainedClockSpeedInGhz>");
  });
  const std::int64_t threads = type.arch == "arm64" || type.vcpus == 1 ? 1 : 2;
  xml.node("vCpuInfo", [&] {
    xml.number("defaultVCpus", type.vcpus)
        .number("defaultCores", type.vcpus / threads)
        .number("defaultThreadsPerCore", threads);
  });
  xml.node("memoryInfo", [&] { xml.number("sizeInMiB", type.memory_mib); });
  write_storage(xml, type);
  xml.node("ebsInfo", [&] {
    xml.text("ebsOptimizedSupport", "default").text("encryptionSupport", "supported").text("nvmeSupport", "required");
  });
  write_network(xml, type);
  write_accelerators(xml, type);
  xml.node("placementGroupInfo", [&] {
    auto strategies = std::vector<std::string>{"partition", "spread"};
    if (!type.burstable()) strategies.insert(strategies.begin(), "cluster");
    xml.texts("supportedStrategies", strategies);
  });
  xml.flag("hibernationSupported", false)
      .flag("burstablePerformanceSupported", type.burstable())
      .flag("dedicatedHostsSupported", !type.burstable());
  xml.flag("autoRecoverySupported", true).texts("supportedBootModes", std::array{"uefi"});
}

}  // namespace

Api<Xml> describe_instance_types(Call& call) {
  API_SET(filters,
          Filters::read(call.params, {"instance-type", "current-generation", "bare-metal", "hypervisor",
                                      "burstable-performance-supported", "instance-storage-supported",
                                      "memory-info.size-in-mib", "vcpu-info.default-vcpus",
                                      "processor-info.supported-architecture", "supported-root-device-type",
                                      "supported-virtualization-type", "supported-usage-class", "free-tier-eligible"}));
  const auto wanted = call.params.list("InstanceType");
  if (!wanted.empty() && call.params.has("MaxResults"))
    return refuse("InvalidParameterCombination",
                  "The parameter InstanceTypes cannot be used with the parameter MaxResults");
  std::vector<std::string> unknown;
  for (const auto& name : wanted)
    if (!find_type(name)) unknown.push_back(name);
  if (!unknown.empty())
    return refuse("InvalidInstanceType",
                  fmt::format("The following supplied instance types do not exist: [{}]", join(unknown, ", ")));
  std::vector<std::string> found;
  for (const auto& type : instance_types())
    if ((wanted.empty() || std::find(wanted.begin(), wanted.end(), type.name) != wanted.end()) &&
        filters.match(facts_of(type)))
      found.push_back(type.name);
  API_SET(page, page_of(call.params, found, 5, 100));
  Xml xml;
  xml.list("instanceTypeSet", page.keys, [&](const std::string& name) { write_type(xml, *find_type(name)); });
  return xml.some("nextToken", page.next_token);
}

Api<Xml> describe_instance_type_offerings(Call& call) {
  API_SET(filters, Filters::read(call.params, {"instance-type", "location"}));
  const auto kind = call.params.get("LocationType", "region");
  std::vector<std::string> locations;
  if (kind == "region") {
    locations = {std::string(region_name)};
  } else if (kind == "availability-zone" || kind == "availability-zone-id") {
    for (const auto& zone : zones()) locations.push_back(kind == "availability-zone" ? zone : zone_id(zone));
  } else if (kind != "outpost") {  // of which there is none
    return invalid_value(kind, "LocationType");
  }
  std::vector<std::string> found;
  for (const auto& type : instance_types())
    for (const auto& location : locations) {
      Facts facts;
      facts.add("instance-type", type.name).add("location", location);
      if (filters.match(facts)) found.push_back(type.name + " " + location);
    }
  std::sort(found.begin(), found.end());
  API_SET(page, page_of(call.params, found));
  Xml xml;
  xml.list("instanceTypeOfferingSet", page.keys, [&](const std::string& key) {
    const auto gap = key.find(' ');
    xml.text("instanceType", key.substr(0, gap)).text("locationType", kind).text("location", key.substr(gap + 1));
  });
  return xml.some("nextToken", page.next_token);
}

Api<Xml> describe_spot_price_history(Call& call) {
  API_SET(filters, Filters::read(call.params, {"instance-type", "availability-zone", "availability-zone-id",
                                               "product-description", "spot-price"}));
  const auto wanted = call.params.list("InstanceType"), products = call.params.list("ProductDescription");
  const auto only_zone = call.params.get("AvailabilityZone"), only_id = call.params.get("AvailabilityZoneId");
  const auto listed = [](const auto& list, std::string_view word) {
    return list.empty() || std::find(list.begin(), list.end(), word) != list.end();
  };
  const auto market = call.faults.market();
  API_SET(until, call.params.time("EndTime", call.now_ms));
  until = std::min(until, call.now_ms);
  API_SET(from, call.params.time("StartTime", until));
  std::vector<std::string> found;
  for (const auto& type : instance_types())
    for (const auto& zone : zones()) {
      if (type.spot.empty() || !listed(wanted, type.name) || (!only_zone.empty() && zone != only_zone) ||
          (!only_id.empty() && zone_id(zone) != only_id))
        continue;
      if (!listed(products, "Linux/UNIX") && !listed(products, "Linux/UNIX (Amazon VPC)")) continue;
      for (const auto& point : price_points(type, zone, market, from, until)) {
        Facts facts;
        facts.add("instance-type", type.name).add("availability-zone", zone).add("availability-zone-id", zone_id(zone));
        facts.add("product-description", "Linux/UNIX").add("spot-price", point.price);
        // (Of one place, the newest sorts first.)
        if (filters.match(facts))
          found.push_back(fmt::format("{} {} {:020} {}", type.name, zone, INT64_MAX - point.ms, point.price));
      }
    }
  std::sort(found.begin(), found.end());
  API_SET(page, page_of(call.params, found, 1));
  Xml xml;
  xml.list("spotPriceHistorySet", page.keys, [&](const std::string& key) {
    const auto words = split(key, ' ');
    const auto ms = INT64_MAX - parse_int(words[2]).value_or(INT64_MAX);
    xml.text("instanceType", words[0]).text("productDescription", "Linux/UNIX").text("spotPrice", words[3]);
    xml.text("timestamp", os::iso_time(ms, true))
        .text("availabilityZone", words[1])
        .text("availabilityZoneId", zone_id(words[1]));
  });
  return xml.text("nextToken", page.next_token);
}

}  // namespace ferry::rehearsal
