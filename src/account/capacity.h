#pragma once
/// \file
/// Capacity Blocks: GPU machines for some days, paid when they are bought, begun at a fixed time. Looking for offers,
/// and at what the account has reserved. Reads only.

#include <string>
#include <vector>

#include "aws/ec2_account.h"
#include "fleet/context.h"

namespace ferry::account {

struct BlockWish {
  std::vector<std::string> types;  ///< instance types, any of which will do
  int machines = 1, hours = 24;
  std::int64_t from_ms = 0;          ///< that it does not begin before; 0: now
  std::vector<std::string> regions;  ///< empty: the environment's own, else all that the account has enabled
};

struct BlockOffer : aws::CapacityBlockOfferRecord {
  std::string region;
  int gpus = 0;      ///< of all its machines; 0: not known
  Usd per_gpu_hour;  ///< zero: not known
};

struct BlockOffers {
  std::vector<BlockOffer> offers;     ///< cheapest an hour of a GPU first, then the earliest
  std::vector<std::string> regions;   ///< that were asked
  std::vector<std::string> problems;  ///< one line for what could not be asked
};

/// Fails when nothing at all could be asked; unsupported when AWS sells none of the types so in any of the regions.
Result<BlockOffers> find_blocks(fleet::Context& context, const BlockWish& wish);

/// EC2 looks up no offer by its id: those that find_blocks() has found are kept for a day, in data/block-offers.json.
/// Fails not_found for another.
Result<BlockOffer> remembered_offer(fleet::Context& context, const std::string& id);

/// A length that AWS sells: 1 to 14 days, or whole weeks up to 26. Fails bad_input for another.
Status check_block_hours(std::int64_t hours);

/// "2026-12-05" or "2026-12-05T08:00:00Z", in milliseconds since 1970. Fails bad_input.
Result<std::int64_t> parse_begin(const std::string& text);

struct RegionReservation : aws::CapacityReservationRecord {
  std::string region;
};
struct Reservations {
  std::vector<RegionReservation> list;  ///< what is there or begins later; the one that begins first, first
  std::vector<std::string> problems;
};
/// Fails when nothing at all could be asked.
Result<Reservations> find_reservations(fleet::Context& context, const std::vector<std::string>& regions);

}  // namespace ferry::account
