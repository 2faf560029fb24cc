#pragma once
/// \file
/// What the rehearsal cloud has to offer: instance types and prices from ferry's data files, and images. It
/// never changes while it runs.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ferry::rehearsal {

inline constexpr std::string_view region_name = "us-east-1";
inline constexpr std::string_view account_id = "123456789012";

struct InstanceType {
  std::string name, accelerator, arch, network;  ///< arch: x86_64 or arm64
  std::int64_t accelerators = 0, accelerator_mib = 0, vcpus = 0, memory_mib = 0, nvme_gb = 0;
  std::string on_demand, spot;  ///< US dollars an hour as written in the data, or "" if unknown
  /// "t3" of "t3.medium".
  std::string_view family() const { return std::string_view(name).substr(0, name.find('.')); }
  /// T3 and its like (not Trn1).
  bool burstable() const { return name.size() > 1 && name[0] == 't' && name[1] >= '0' && name[1] <= '9'; }
};
/// All types, by name.
const std::vector<InstanceType>& instance_types();
const InstanceType* find_type(std::string_view name);
/// US dollars an hour in one zone, as DescribeSpotPriceHistory writes them: in one zone the data's price (the
/// lowest), up to 12 % more in the others, never more than on demand. "" if unknown.
std::string spot_price(const InstanceType& type, std::string_view zone);
/// The vCPU limit that counts for a type: "standard", "g", "p", "inf", "trn", "dl", …; on the spot market
/// "spot-g" and so on, where P5 has one of its own.
std::string quota_bucket(const InstanceType& type, bool spot);

/// One table: rows of cells, without the heading. Cells hold no commas.
std::vector<std::vector<std::string>> parse_csv(std::string_view text);

struct Image {
  std::string id, name, description, arch, owner_id, owner_alias, created, snapshot_id, root_device, login_user;
  std::string deprecated;  ///< when it is not shown any more unless it is asked for: two years after `created`
  std::int64_t gib = 8;
  std::vector<std::string> parameters;  ///< SSM public parameters that name it
};
/// All images, newest of each line first.
const std::vector<Image>& images();
const Image* find_image(std::string_view id);

/// "us-east-1a" to "us-east-1f".
const std::vector<std::string>& zones();
/// "use1-az4" for "us-east-1a".
std::string zone_id(std::string_view zone);

}  // namespace ferry::rehearsal
