#pragma once
/// \file
/// Buying a capacity block. EC2 has neither a ClientToken for that nor a way back, so: what is to be bought is noted in
/// the ledger with a tag of its own, then EC2 is told once, and whether it did so is asked by that tag before anything
/// is bought again. Killed between any two steps, either nothing was bought, or settle_purchases() of the next command
/// finds what was.

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "account/capacity.h"

namespace ferry::account {

/// The tag of what was bought, whose value is ledger::Purchase::tag.
inline constexpr const char* purchase_tag = "ferry:purchase";

/// EC2, as far as buying needs it.
class BlockSeller {
 public:
  virtual ~BlockSeller() = default;
  /// Whose account pays.
  virtual Result<std::string> account() = 0;
  /// What the offer costs now; nothing where EC2 does not list it among those of its kind, and sells it perhaps.
  virtual Result<std::optional<Usd>> fee_of(const BlockOffer& offer) = 0;
  /// Once; see aws::purchase_capacity_block().
  virtual Result<aws::CapacityReservationRecord> buy(const std::string& offering,
                                                     const std::map<std::string, std::string>& tags) = 0;
  /// All of the region, in every state.
  virtual Result<std::vector<aws::CapacityReservationRecord>> reservations() = 0;
};
/// Opens the one of a purchase's region, endpoint and profile; what is empty there is filled in.
using OpenSeller = std::function<Result<std::unique_ptr<BlockSeller>>(fleet::Context&, ledger::Purchase&)>;
Result<std::unique_ptr<BlockSeller>> open_seller(fleet::Context& context, ledger::Purchase& purchase);

/// EC2 may show what was bought so long after the call only; nothing of it after that means that nothing was bought.
/// Five minutes; FERRY_PURCHASE_SETTLES: another time.
Seconds purchase_settles_after();

/// What is said of an offer before it is bought: what, where, when, for how much, and that there is no way back.
std::string words_of(const BlockOffer& offer);

/// Whole cents, rounded as they are shown.
std::int64_t cents_of(Usd fee);

struct BuyOptions {
  /// Asks for the price; fails unless what was typed is the offer's to the cent.
  std::function<Status(const BlockOffer&)> confirm;
  OpenSeller open = open_seller;
};

struct BuyDone {
  ledger::Purchase purchase;
  bool was_bought_before = false;  ///< by an earlier call: nothing was bought now
};

/// Buys the offer once. An earlier purchase of the same offer of which nobody knows what came of it is settled first,
/// which takes up to purchase_settles_after(); if it was bought, that is the answer. Fails conflict while another ferry
/// buys, and where its price is another one by now; limit where the fee breaks what `limits:` say; denied and others
/// where EC2 refused; and with `unsettled_code` where it may have been bought: the purchase stays noted, and is settled
/// by the next command.
Result<BuyDone> buy_block(fleet::Context& context, const std::string& offering, const BuyOptions& options);
inline constexpr const char* unsettled_code = "unsettled";

/// Looks once for what nobody knows of whether it was bought, and notes it; a warning says what was found. Asks nothing
/// where there is no such purchase, or while another ferry buys. What cannot be asked stays as it is.
void settle_purchases(fleet::Context& context, const OpenSeller& open = open_seller);

/// Notes which of the purchases are among what the account has reserved, should one have been shown later than EC2 ever
/// does.
Status note_purchases(fleet::Context& context, const std::vector<RegionReservation>& reservations);

}  // namespace ferry::account
