#pragma once
/// \file
/// Everything in an account that costs money by standing there, ferry's or not: `ferry account`. Reads only.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "aws/ec2.h"
#include "aws/ec2_standing.h"
#include "aws/load_balancers.h"
#include "aws/sagemaker.h"
#include "base/units.h"
#include "fleet/context.h"
#include "plan/plan.h"

namespace ferry::account {

/// One thing that is charged for as long as nobody ends it.
struct Charge {
  std::string kind;  ///< "machine", "disk", "snapshot", "address", "NAT gateway", "load balancer", "VPC endpoint",
                     ///< "capacity reservation", "capacity block" (paid already: $0), "SageMaker endpoint", "SageMaker
                     ///< notebook"
  std::string id, region;
  std::string about;                  ///< "g5.xlarge on demand, running, with a public address"
  std::int64_t since_ms = 0;          ///< 0: not told
  std::optional<Usd> month;           ///< of 730 hours, as it stands now, at list prices; nothing: no price is known
  bool is_estimate = false;           ///< the price moves, or is made from another one's
  std::string run, owner;             ///< ferry's, by its tags; empty: not ferry's
  bool is_own = false;                ///< of this user's ferry on this computer
  std::optional<std::string> end_by;  ///< a command that ends it, for a shell; nothing: it ends by itself only
};

/// What one region said.
struct Standing {
  std::string region;
  std::vector<aws::InstanceRecord> machines;
  std::vector<aws::VolumeRecord> disks;
  std::vector<aws::SnapshotRecord> snapshots;
  std::vector<aws::ImageRecord> images;  ///< the account's own
  std::vector<aws::AddressRecord> addresses;
  std::vector<aws::NatGatewayRecord> gateways;
  std::vector<aws::VpcEndpointRecord> endpoints;
  std::vector<aws::CapacityReservationRecord> reservations;
  std::vector<aws::LoadBalancerRecord> balancers;
  std::vector<aws::SageMakerEndpoint> model_endpoints;
  std::vector<aws::SageMakerNotebook> notebooks;
};

/// What of it is charged for, with prices of `catalog` and of AWS's lists. Pure. Discounts that an account has (free
/// tier, savings plans, reserved instances, a volume's share of the free amounts) are not known.
std::vector<Charge> charges_of(const Standing& standing, const plan::Catalog& catalog);

/// A kind of things that could not be looked at.
struct Unseen {
  std::string kind;                  ///< "NAT gateways"
  std::vector<std::string> regions;  ///< where
  Error error;                       ///< of the first
};

struct Charges {
  std::string account;      ///< whose, by STS; "" where it could not be asked
  std::vector<Charge> all;  ///< what has no price first, then the dearest
  std::vector<Unseen> unseen;
  std::size_t regions = 0;  ///< that were looked at
  Usd month() const;        ///< of those that have a price
};

/// Asks every region that the account has enabled (`only` empty), or those named, several at once. Progress is shown.
/// What cannot be asked is among what is unseen. Fails denied without credentials, and as listing the regions does.
Result<Charges> find_charges(fleet::Context& context, const std::vector<std::string>& only);

}  // namespace ferry::account
