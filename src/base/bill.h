#pragma once
/// \file
/// What EC2 charges for one Linux machine with its root disk and its public address. Pure. What a run has cost
/// and the most that it can cost come from the same two functions.
///
/// Machines, disks and addresses are billed by the second, a minute at least (aws.amazon.com/ec2/pricing,
/// aws.amazon.com/ebs/pricing, aws.amazon.com/vpc/pricing). Rates are of 2025-10.

#include <string>
#include <string_view>

#include "base/units.h"

namespace ferry {

/// An EBS volume.
struct Disk {
  std::string type = "gp3";     ///< "gp3", "io2" or "standard"; any other is priced as gp3
  int gib = 0;                  ///< 0: not known, costs nothing here
  int iops = 0, mib_per_s = 0;  ///< that are asked for; 0: the type's own
};

/// An hour of the disk in an average month (730 hours), rounded up. A gp3 disk has 3,000 IOPS and 125 MiB/s in
/// its price; io2 is paid by size and IOPS; a "standard" one by size and request: the most that it can serve is
/// counted. Prices of us-east-1, made dearer by the region's factor; a region that is not known here counts as
/// half as dear again.
Usd disk_hour(const Disk& disk, std::string_view region);
/// An average month of it.
Usd disk_month(const Disk& disk, std::string_view region);
/// About what costs `there` in us-east-1, in another region: made dearer by the same factor.
Usd price_in(std::string_view region, Usd there);

/// A public IPv4 address, in every commercial region.
inline constexpr Usd public_ipv4_hour{5'000};

/// An hour of each part.
struct Rates {
  Usd machine, disk, address;
};

/// What something has cost, or would cost, part by part.
struct Bill {
  Millis time{0};  ///< of the machine, billed
  Usd machine, disk, address;
  Usd data_out;  ///< left at zero by charge(): whether it is billed depends on the account's whole month
  Usd total() const { return machine + disk + address + data_out; }
};

/// For a machine that was there, and ran, for `time`: rounded up to seconds, a minute at least.
Bill charge(const Rates& rates, Millis time);
/// For one that was there for `there` and ran for `ran` of it. The machine and its address are billed while it runs,
/// not while it is pending, stopped or on its way out, and not at all if it never ran
/// (docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-instance-lifecycle.html); its disk as long as it is there.
Bill charge(const Rates& rates, Millis there, Millis ran);

}  // namespace ferry
