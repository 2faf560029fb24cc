#pragma once
/// \file
/// Renting one machine for a run: key pair, security group, instance. Every creating call is noted in the
/// ledger before it is made, so that whoever comes after a crash finds what may exist.

#include <memory>
#include <span>

#include "fleet/machine.h"

namespace ferry::fleet {

struct LaunchOrder {
  const ledger::Run& run;  ///< whose store, if it is in S3, a machine without a role of the user's gets one for
  CloudLocation location;  ///< provider and endpoint; each offer says its region
  std::span<const plan::Offer> offers;
  std::span<const task::Resources> candidates;  ///< of the task; an offer says which is its
  const std::string& framework;                 ///< that the image had better bring ("pytorch"); empty: none
  TimeLimits lifetime;
  std::optional<Usd> ceiling;      ///< dearer offers (an hour) are not taken; nothing: any
  std::optional<Usd> budget = {};  ///< that the whole run must keep
  const task::AwsSettings& aws;
  bool capacity_block = false;  ///< aws.capacity_reservation is a block
};

struct Launched {
  ledger::Instance instance;
  std::unique_ptr<cloud::Cloud> cloud;  ///< of the region where it is
  CloudLocation location;
  plan::Offer offer;
  cloud::Image image;          ///< that it booted
  cloud::LaunchRequest order;  ///< that it was launched by
  std::string host_key;        ///< its public half, one line; noted in the ledger as the run's task "host_key"
};

/// Rents the first of the offers that can be had and waits until it runs. An offer whose zone is left open is
/// tried in every zone that has the type. No capacity, a quota, or a region that the account cannot use leads
/// to the next offer, shown as it happens; what no other offer cures (credentials, permissions, a bad image)
/// stops at once. Fails cancelled when the user cancels; then, as after any failure, release_all() gives
/// back whatever was made.
Result<Launched> launch(Context& context, const LaunchOrder& request);

}  // namespace ferry::fleet
