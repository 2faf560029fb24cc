// The most that a machine can cost.
#include "plan/most.h"

#include <algorithm>

namespace ferry::plan {

Usd credits(const InstanceType& type) {
  // T3, T3a and T4g are "unlimited" unless asked otherwise: what they use beyond their baseline costs this much a
  // vCPU and hour
  // (docs.aws.amazon.com/AWSEC2/latest/UserGuide/burstable-performance-instances-unlimited-mode-concepts.html).
  const auto family = std::string_view(type.name).substr(0, type.name.find('.'));
  if (family == "t3" || family == "t3a") return {50'000 * type.vcpus};
  if (family == "t4g") return {40'000 * type.vcpus};
  return {};
}

Disk disk_of(std::string_view tier, int gib) {
  // gp3 has 3,000 IOPS and 125 MiB/s unless asked for more; io2 needs a number of IOPS, at most 500 a GiB
  // (docs.aws.amazon.com/ebs/latest/userguide/ebs-volume-types.html).
  if (tier == "low") return {.type = "standard", .gib = gib};
  if (tier == "high" || tier == "best") return {.gib = gib, .iops = 6000, .mib_per_s = 500};
  constexpr int least = 1000, most_iops = 20'000;
  if (tier == "ultra")
    return {.type = "io2", .gib = gib, .iops = gib ? std::clamp(gib * 500, least, most_iops) : most_iops};
  return {.gib = gib};
}

bool is_metal(std::string_view type) { return type.find(".metal") != std::string_view::npos; }

std::optional<Rates> dearest_rates(const Offer& offer) {
  if (!offer.hourly || !offer.dearest) return std::nullopt;
  return Rates{*offer.dearest, offer.disk, offer.address};
}

std::optional<Usd> most(const Offer& offer, Seconds until_power_off) {
  const auto rates = dearest_rates(offer);
  if (!rates) return std::nullopt;
  return ferry::most({*rates, until_power_off, is_metal(offer.type.name)});
}

}  // namespace ferry::plan
