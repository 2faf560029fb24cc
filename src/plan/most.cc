// The most that a machine can cost.
#include "plan/most.h"

#include <algorithm>

namespace ferry::plan {
namespace {

/// A virtual machine is billed from when it runs, and arms its timer in its first minute or two; bare metal
/// tests its memory first. systemd lets services take 90 s to end.
constexpr Seconds usual_margin{300}, metal_margin{1500};

Seconds margin(const InstanceType& type) {
  return type.name.find(".metal") == std::string::npos ? usual_margin : metal_margin;
}

/// An hour of a disk costs most in February.
Usd in_a_short_month(Usd hour) {
  constexpr std::int64_t usual_hours = 730, least_hours = 28 * 24;
  return {(hour.micros * usual_hours + least_hours - 1) / least_hours};
}

}  // namespace

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

std::optional<Usd> most(const Offer& offer, Seconds until_power_off) {
  if (!offer.hourly || !offer.dearest) return std::nullopt;
  return charge({*offer.dearest, in_a_short_month(offer.disk), offer.address}, until_power_off + margin(offer.type))
      .total();
}

}  // namespace ferry::plan
