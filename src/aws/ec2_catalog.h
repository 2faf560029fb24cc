#pragma once
/// \file
/// What EC2 has to offer: instance types, where they are offered, what they cost on the spot market, regions,
/// zones, and the network an account starts with. All calls only read, and all read every page.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "aws/client.h"
#include "aws/ec2.h"
#include "aws/paging.h"
#include "base/units.h"

namespace ferry::aws {

/// One kind of accelerator in an instance type.
struct AcceleratorRecord {
  enum class Sort { gpu, neuron, inference };
  Sort sort = Sort::gpu;
  std::string manufacturer, name;  ///< "NVIDIA", "A10G"
  int count = 0;                   ///< devices; a slice of a device counts as one
  int memory_mib = 0;              ///< of each; 0: EC2 does not say
};

/// One <item> of an <instanceTypeSet>.
struct InstanceTypeRecord {
  std::string name;
  int vcpus = 0;
  std::int64_t memory_mib = 0;
  std::vector<std::string> architectures;  ///< "x86_64", "arm64"; also "i386" and the like
  /// GPUs first, then Neuron devices. An inference accelerator that is a Neuron device too is listed once.
  std::vector<AcceleratorRecord> accelerators;
  std::int64_t local_disk_gb = 0;  ///< all disks inside the machine together (decimal GB); 0: none
  bool local_disk_is_nvme = false;
  std::string network;  ///< EC2's words: "Up to 10 Gigabit"
  bool efa = false;
  bool bare_metal = false, current_generation = false;
  bool on_demand = false, spot = false;  ///< the markets it is sold on
};

/// Of the region. `names` may have at most 100; with no names, all types (about 1,000, ten calls).
Result<std::vector<InstanceTypeRecord>> describe_instance_types(Client& client,
                                                                const std::vector<std::string>& names = {},
                                                                const std::vector<Filter>& filters = {});

struct OfferingRecord {
  std::string type, zone;
};
/// Which of `types` (none: all) each zone of the region has at all; that says nothing about capacity.
Result<std::vector<OfferingRecord>> describe_instance_type_offerings(Client& client,
                                                                     const std::vector<std::string>& types = {});

struct SpotPriceRecord {
  std::string type, zone;
  Usd hourly;
  std::int64_t since_ms = 0;
};
/// The price now of `types` (none: all) for Linux in each zone; each type and zone once, sorted by them.
Result<std::vector<SpotPriceRecord>> describe_spot_prices(Client& client, const std::vector<std::string>& types = {});

/// Every price that was in force at some time since `from_ms` (the one at that time with it), of Linux, in each zone
/// of the region: sorted by type, zone and time. EC2 keeps 90 days.
Result<std::vector<SpotPriceRecord>> describe_spot_price_history(Client& client, const std::vector<std::string>& types,
                                                                 std::int64_t from_ms);

/// How likely EC2 thinks it that a request for spot machines succeeds: 1 to 10.
struct PlacementScoreRecord {
  std::string region, zone_id;  ///< of zones only the id, "use1-az4"
  int score = 0;
};
/// For `machines` of any of `types`, in the ten best zones of `regions`. With fewer than three types the answer is
/// always low. EC2 allows few different questions a day, so those who ask about the same thing should ask it in the
/// same words.
Result<std::vector<PlacementScoreRecord>> get_spot_placement_scores(Client& client,
                                                                    const std::vector<std::string>& types, int machines,
                                                                    const std::vector<std::string>& regions);

struct RegionRecord {
  std::string name, endpoint;
  bool enabled = true;  ///< false: the account must opt in first
};
/// With `all`, also those that the account has not opted into.
Result<std::vector<RegionRecord>> describe_regions(Client& client, bool all = false);

struct ZoneRecord {
  std::string name, id;
  std::string type;  ///< "availability-zone", "local-zone", "wavelength-zone"
  bool available = true;
};
Result<std::vector<ZoneRecord>> describe_availability_zones(Client& client);

struct VpcRecord {
  std::string id, cidr;
  bool is_default = false;
};
Result<std::vector<VpcRecord>> describe_vpcs(Client& client, const std::vector<Filter>& filters = {});

struct SubnetRecord {
  std::string id, vpc_id, zone;
  bool default_for_zone = false;
  bool gives_public_ip = false;
  int free_addresses = 0;
};
/// Those of one VPC: {"vpc-id", {ID}}.
Result<std::vector<SubnetRecord>> describe_subnets(Client& client, const std::vector<Filter>& filters = {});

// The answers, parsed. Bounded, never throw; corrupt for what is not the answer.
Result<Page<InstanceTypeRecord>> parse_describe_instance_types(std::string_view xml);
Result<Page<OfferingRecord>> parse_describe_instance_type_offerings(std::string_view xml);
Result<Page<SpotPriceRecord>> parse_describe_spot_price_history(std::string_view xml);
Result<Page<PlacementScoreRecord>> parse_get_spot_placement_scores(std::string_view xml);
Result<std::vector<RegionRecord>> parse_describe_regions(std::string_view xml);
Result<std::vector<ZoneRecord>> parse_describe_availability_zones(std::string_view xml);
Result<Page<VpcRecord>> parse_describe_vpcs(std::string_view xml);
Result<Page<SubnetRecord>> parse_describe_subnets(std::string_view xml);

}  // namespace ferry::aws
