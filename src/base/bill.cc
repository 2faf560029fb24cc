#include "base/bill.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace ferry {
namespace {

constexpr std::int64_t hours_a_month = 730;

/// Micro-dollars a month in us-east-1 (aws.amazon.com/ebs/pricing).
constexpr std::int64_t gp3_gib = 80'000, gp3_iops = 5'000, gp3_mib_per_s = 40'000;
constexpr std::int64_t io2_gib = 125'000, io2_iops = 65'000;
constexpr std::int64_t standard_gib = 50'000;
/// A magnetic disk serves up to 200 requests a second; a million of them cost $0.05.
constexpr std::int64_t standard_requests_hour = std::int64_t{200} * 3600 * 50'000 / 1'000'000;
constexpr std::int64_t gp3_own_iops = 3000, gp3_own_mib_per_s = 125;

struct Factor {
  std::string_view region;
  std::int64_t permille;
};
/// A region's price of a gp3 GiB beside us-east-1's; the other prices of disks follow it.
constexpr std::array factors = {
    Factor{"us-east-1", 1000},      Factor{"us-east-2", 1000},      Factor{"us-west-2", 1000},
    Factor{"us-west-1", 1200},      Factor{"ca-central-1", 1100},   Factor{"eu-west-1", 1100},
    Factor{"eu-north-1", 1050},     Factor{"eu-west-2", 1160},      Factor{"eu-west-3", 1160},
    Factor{"eu-central-1", 1190},   Factor{"ap-south-1", 1140},     Factor{"ap-northeast-2", 1140},
    Factor{"ap-northeast-1", 1200}, Factor{"ap-southeast-1", 1200}, Factor{"ap-southeast-2", 1200},
    Factor{"sa-east-1", 1900}};

std::int64_t permille_of(std::string_view region) {
  const auto known =
      std::find_if(factors.begin(), factors.end(), [&](const Factor& factor) { return factor.region == region; });
  return known == factors.end() ? 1500 : known->permille;
}

std::int64_t month_of(const Disk& disk) {
  const std::int64_t gib = disk.gib;
  if (disk.type == "standard") return gib * standard_gib;
  if (disk.type == "io2") return gib * io2_gib + disk.iops * io2_iops;
  return gib * gp3_gib + std::max<std::int64_t>(0, disk.iops - gp3_own_iops) * gp3_iops +
         std::max<std::int64_t>(0, disk.mib_per_s - gp3_own_mib_per_s) * gp3_mib_per_s;
}

/// A virtual machine is billed from when it runs, and arms its timer in its first minute or two; bare metal
/// tests its memory first. systemd lets services take 90 s to end.
constexpr Seconds usual_margin{300}, metal_margin{1500};

/// An hour of a disk costs most in February.
Rates in_a_short_month(Rates rates) {
  constexpr std::int64_t least_hours = std::int64_t{28} * 24;
  rates.disk = {(rates.disk.micros * hours_a_month + least_hours - 1) / least_hours};
  return rates;
}

}  // namespace

Usd disk_hour(const Disk& disk, std::string_view region) {
  if (disk.gib <= 0) return {};
  const std::int64_t hours = hours_a_month * 1000;
  const auto month = month_of(disk) * permille_of(region);
  const auto requests = disk.type == "standard" ? standard_requests_hour * permille_of(region) / 1000 : 0;
  return {(month + hours - 1) / hours + requests};
}

Usd disk_month(const Disk& disk, std::string_view region) { return {disk_hour(disk, region).micros * hours_a_month}; }

Usd stored_month(std::uint64_t bytes) {
  constexpr double gb_month = 23'000;
  return {static_cast<std::int64_t>(std::ceil(static_cast<double>(bytes) / 1e9 * gb_month))};
}

Usd price_in(std::string_view region, Usd there) { return {(there.micros * permille_of(region) + 999) / 1000}; }

Bill charge(const Rates& rates, Millis time) { return charge(rates, time, std::max(time, Millis(1))); }

Bill charge(const Rates& rates, Millis there, Millis ran) {
  const auto billed = [](Millis time) { return std::max(Seconds(60), std::chrono::ceil<Seconds>(time)); };
  Bill bill;
  bill.disk = cost(rates.disk, billed(there));
  if (ran.count() <= 0) return bill;
  bill.time = billed(ran);
  bill.machine = cost(rates.machine, billed(ran));
  bill.address = cost(rates.address, billed(ran));
  return bill;
}

Usd launch_allowance(const Rates& rates) {
  const auto dearest = in_a_short_month(rates);
  return charge(dearest, Seconds(60)).total() + cost(dearest.disk, Seconds(300));
}

Usd dearest_hour(const Rates& rates) {
  const auto dearest = in_a_short_month(rates);
  return dearest.machine + dearest.disk + dearest.address;
}

Usd whole_cents(Usd money) {
  constexpr std::int64_t cent = 10'000;
  return {(money.micros + cent - 1) / cent * cent};
}

Usd most(const MostTerms& terms) {
  const auto longest = terms.until_power_off + (terms.is_metal ? metal_margin : usual_margin);
  return whole_cents(charge(in_a_short_month(terms.rates), longest).total() + launch_allowance(terms.rates));
}

}  // namespace ferry
