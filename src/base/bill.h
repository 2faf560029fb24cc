#pragma once
/// \file
/// What EC2 charges for one Linux machine with its root disk and its public address. Pure. This is the only place that
/// says what a run has cost (charge()) and the most that it can cost (most()): the question, the plan, the budget, the
/// caps across runs, an extension and the receipt ask here, and so agree to the cent.
///
/// Machines, disks and addresses are billed by the second, a minute at least (aws.amazon.com/ec2/pricing,
/// aws.amazon.com/ebs/pricing, aws.amazon.com/vpc/pricing). Rates are of 2025-10.

#include <optional>
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

/// What bounds the bill of one machine.
struct MostTerms {
  Rates rates;              ///< of the machine at its dearest; of disk and address in an average month
  Seconds until_power_off;  ///< what its own timer is set to when it boots (fleet::TimeLimits)
  bool is_metal = false;    ///< bare metal, which is billed while it tests its memory, before any timer runs
};
/// The most that a run on one machine at a time can cost, in whole cents, rounded up. Counted in are
///   - the time before the machine's timer is armed, and after it fires until the machine is gone;
///   - what the timer is set to: setup, max_duration, and the retention of its outputs;
///   - the minute that EC2 bills at least, and its rounding up to seconds;
///   - the disk by type, size, IOPS and throughput, in February, when an hour of it costs most;
///   - the public address;
///   - launches that come to nothing before one is had (launch_allowance()).
/// Further attempts are held to what the ones before left of it. Not counted is data out, which AWS bills by the
/// account's month and beyond its first 100 GB, and what an S3 store keeps.
Usd most(const MostTerms& terms);
/// Its share for launches that come to nothing: a minute of everything, and five of the disk. Whoever rents stops
/// where they cost more.
Usd launch_allowance(const Rates& rates);
/// An hour of everything, at most.
Usd dearest_hour(const Rates& rates);
/// Rounded up to the next cent.
Usd whole_cents(Usd money);

/// What is stored in S3 costs a month: S3 Standard in us-east-1, of 2025-10 (aws.amazon.com/s3/pricing), without
/// requests, rounded up to the millionth; up to twice that elsewhere.
Usd stored_month(std::uint64_t bytes);

/// What a user wants all runs together to keep (`limits:` of their settings). Nothing: no limit.
struct Caps {
  std::optional<Usd> a_day, a_month;  ///< that is spent in a day, and in a month, of UTC, as AWS bills them
  std::optional<Usd> an_hour;         ///< of all machines at once, at their dearest, with all that is beside them
  std::optional<int> machines;        ///< at once
  bool any() const { return a_day || a_month || an_hour || machines; }
};

}  // namespace ferry
