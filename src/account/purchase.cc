#include "account/purchase.h"

#include <algorithm>

#include "aws/ec2_standing.h"
#include "aws/sts.h"
#include "base/hash.h"
#include "base/text.h"
#include "cloud/aws_client.h"
#include "fleet/labels.h"
#include "fleet/machine.h"
#include "os/env.h"

namespace ferry::account {
namespace {

using ledger::Bought;
using ledger::Purchase;

class Ec2Seller final : public BlockSeller {
 public:
  /// With connections of its own: none that broke is behind a purchase.
  Ec2Seller(cloud::AwsContext aws_context, os::Clock& clock)
      : http_(os::make_http_client()), client_(cloud::aws_client(aws_context, *http_, clock)) {}

  Result<std::string> account() override {
    TRY_SET(caller, "see whose account this is", aws::get_caller_identity(client_));
    return caller.account;
  }
  Result<std::optional<Usd>> fee_of(const BlockOffer& offer) override {
    constexpr std::int64_t earlier_ms = 3'600'000;
    const aws::CapacityBlockQuery query{offer.instance_type, offer.count, offer.hours, offer.start_ms - earlier_ms};
    TRY_SET(all, "look at the offer", aws::describe_capacity_block_offerings(client_, query));
    const auto found = std::ranges::find(all, offer.id, &aws::CapacityBlockOfferRecord::id);
    return found == all.end() ? std::nullopt : std::optional(found->fee);
  }
  Result<aws::CapacityReservationRecord> buy(const std::string& offering,
                                             const std::map<std::string, std::string>& tags) override {
    return aws::purchase_capacity_block(client_, offering, tags);
  }
  Result<std::vector<aws::CapacityReservationRecord>> reservations() override {
    return aws::describe_capacity_reservations(client_);
  }

 private:
  std::unique_ptr<os::HttpClient> http_;
  aws::Client client_;
};

/// Who holds it buys, or settles: nobody else may be about to send what a look did not find.
os::Path lock_file(const fleet::Context& context) { return context.data / "buying.lock"; }

std::string price(Usd fee) { return fmt::format("{}.{:02}", cents_of(fee) / 100, cents_of(fee) % 100); }

bool is_ours(const aws::CapacityReservationRecord& one, const Purchase& purchase) {
  const auto tag = one.tags.find(purchase_tag);
  return tag != one.tags.end() && tag->second == purchase.tag;
}

Status note(fleet::Context& context, Purchase& purchase, Bought state, const std::string& reservation) {
  auto noted = purchase;
  noted.state = state;
  noted.reservation = reservation;
  TRY("", context.ledger.record_purchase(noted));
  purchase = std::move(noted);
  return {};
}

/// Looks once. The filter is ours: EC2 lists none by tag for reservations. It was not bought when a look that began
/// late enough does not find it.
Status look_for(fleet::Context& context, BlockSeller& seller, Purchase& purchase) {
  const auto began = context.clock.now_ms();
  TRY_SET(all, "see whether it was bought", seller.reservations());
  const auto found = std::ranges::find_if(all, [&](const auto& one) { return is_ours(one, purchase); });
  if (found != all.end()) return note(context, purchase, Bought::yes, found->id);
  const bool is_late = began - purchase.asked_ms >= Millis(purchase_settles_after()).count();
  return is_late ? note(context, purchase, Bought::no, "") : Status();
}

/// Opened where it was bought, as the account that pays.
Result<std::unique_ptr<BlockSeller>> seller_of(fleet::Context& context, const OpenSeller& open, Purchase purchase) {
  TRY_SET(seller, "", open(context, purchase));
  TRY_SET(account, "", seller->account());
  if (account == purchase.account) return seller;
  return fail(Kind::denied, "the capacity block was bought in the AWS account " + purchase.account,
              "these credentials are of account " + account, "use that account's: ferry --profile NAME …");
}

tl::unexpected<Error> unsettled(const Purchase& purchase, const std::string& why) {
  return fail(Kind::lost,
              fmt::format("nobody knows whether {} was bought for ${}", purchase.offering, price(purchase.fee)), why,
              "it is looked for by its tag with the next command: ferry capacity ls; nothing is bought twice",
              unsettled_code);
}

/// Until it is known. An interruption, or a time in which nothing can be asked, leaves it as it is.
Status settle(fleet::Context& context, BlockSeller& seller, Purchase& purchase, std::string why) {
  constexpr Seconds between{3}, patience{120};
  const auto end = context.clock.steady_ms() + Millis(purchase_settles_after() + patience).count();
  context.progress.begin("capacity", fmt::format("looking whether {} was bought", purchase.offering));
  while (true) {
    const auto looked = look_for(context, seller, purchase);
    if (looked && purchase.state != Bought::intent) return {};
    if (!looked) why = short_line(looked.error().what);
    if (context.clock.steady_ms() >= end) return unsettled(purchase, why);
    if (!context.sleep(std::min(Millis(between), Millis(purchase_settles_after())), false))
      return unsettled(purchase, "you stopped waiting; " + why);
  }
}

/// The newest of the same offer, unless it came to nothing.
Result<std::optional<Purchase>> earlier(fleet::Context& context, const std::string& offering) {
  TRY_SET(all, "", context.ledger.purchases());
  const auto found = std::find_if(all.rbegin(), all.rend(), [&](const Purchase& one) {
    return one.offering == offering && one.state != Bought::no;
  });
  return found == all.rend() ? std::nullopt : std::optional(*found);
}

/// What was typed is what the search had shown; it may be old.
Status check_fee(BlockSeller& seller, const BlockOffer& offer) {
  const auto now = seller.fee_of(offer);  // whoever may not look may still buy
  if (!now || !*now || cents_of(**now) == cents_of(offer.fee)) return {};
  return fail(Kind::conflict, fmt::format("nothing is bought: {} costs ${} now", offer.id, price(**now)),
              fmt::format("it was ${} when it was shown here", price(offer.fee)), "search again: ferry capacity");
}

Purchase purchase_of(const BlockOffer& offer) {
  Purchase wanted{.tag = "buy-" + random_name(20), .provider = "aws", .region = offer.region};
  wanted.offering = offer.id;
  wanted.instance_type = offer.instance_type;
  wanted.zone = offer.zone;
  wanted.machines = offer.count;
  wanted.hours = offer.hours;
  wanted.start_ms = offer.start_ms;
  wanted.end_ms = offer.end_ms;
  wanted.fee = offer.fee;
  return wanted;
}

/// The call, and what is known after it.
Status buy_noted(fleet::Context& context, BlockSeller& seller, Purchase& purchase) {
  const std::map<std::string, std::string> tags = {{purchase_tag, purchase.tag},
                                                   {fleet::owner_tag, fleet::owner_name()}};
  context.progress.begin("capacity", "buying " + purchase.offering);
  const auto bought = seller.buy(purchase.offering, tags);
  if (bought) return note(context, purchase, Bought::yes, bought->id);
  const auto& error = bought.error();
  if (!aws::is_surely_refused(error)) {
    context.progress.warn("capacity", short_line(error.what) + ": it may have been bought all the same");
    TRY("", settle(context, seller, purchase, short_line(error.what)));
    if (purchase.state == Bought::yes) return {};
    return fail(error.kind, "not bought: " + error.what, error.why,
                "it is surely not among the account's reservations; the same command tries again");
  }
  // Refused, and yet a look costs nothing.
  if (look_for(context, seller, purchase) && purchase.state == Bought::yes) return {};
  TRY("", note(context, purchase, Bought::no, ""));
  return fail("not bought", error);
}

}  // namespace

Result<std::unique_ptr<BlockSeller>> open_seller(fleet::Context& context, Purchase& purchase) {
  fleet::CloudLocation location = fleet::location_of(purchase);
  TRY_SET(aws_context, "", fleet::open_aws_context(context, location));
  purchase.region = location.region;
  purchase.endpoint = location.endpoint;
  purchase.profile = location.profile;
  return std::make_unique<Ec2Seller>(std::move(aws_context), context.clock);
}

Seconds purchase_settles_after() { return os::env_duration("FERRY_PURCHASE_SETTLES", Seconds(300)); }

std::int64_t cents_of(Usd fee) {
  constexpr std::int64_t micros_a_cent = 10'000;
  return (fee.micros + micros_a_cent / 2) / micros_a_cent;
}

std::string words_of(const BlockOffer& offer) {
  return fmt::format(
      "{} × {}{} in {}, from {} to {} ({} hours)\n"
      "${} for all of it, paid at once when it is bought. AWS gives nothing back: it can neither be cancelled nor "
      "changed. Machines in it end from half an hour before its end.",
      offer.count, printable(offer.instance_type), offer.gpus > 0 ? fmt::format(" ({} GPUs)", offer.gpus) : "",
      printable(offer.zone), os::iso_time(offer.start_ms), os::iso_time(offer.end_ms), offer.hours, price(offer.fee));
}

Result<BuyDone> buy_block(fleet::Context& context, const std::string& offering, const BuyOptions& options) {
  TRY_SET(lock, "", os::FileLock::try_take(lock_file(context)));
  if (!lock)
    return fail(Kind::conflict, "another ferry of yours is buying a capacity block, or looking for one", {},
                "wait until it is done: ferry capacity ls shows what came of it");
  TRY_SET(before, "", earlier(context, offering));
  if (before) {
    if (before->state == Bought::intent) {
      TRY_SET(seller, "", seller_of(context, options.open, *before));
      TRY("", settle(context, *seller, *before, "an earlier call had no answer"));
    }
    if (before->state == Bought::yes) return BuyDone{*before, true};
    context.progress.warn("capacity", "an earlier try to buy " + offering + " came to nothing");
  }
  TRY_SET(offer, "", remembered_offer(context, offering));
  TRY("", options.confirm(offer));
  auto wanted = purchase_of(offer);
  TRY_SET(seller, "", options.open(context, wanted));
  TRY_SET(account, "", seller->account());
  wanted.account = account;
  TRY("", check_fee(*seller, offer));
  Caps caps;
  if (context.caps) {
    TRY_SET(own, "", context.caps());
    caps = own;
  }
  wanted.asked_ms = context.clock.now_ms();
  TRY("", context.ledger.reserve_purchase(wanted, caps));
  TRY("", buy_noted(context, *seller, wanted));
  return BuyDone{wanted, false};
}

Status note_purchases(fleet::Context& context, const std::vector<RegionReservation>& reservations) {
  TRY_SET(all, "", context.ledger.purchases());
  for (auto& one : all) {
    const auto found = std::ranges::find_if(reservations, [&](const auto& each) { return is_ours(each, one); });
    if (one.state != Bought::yes && found != reservations.end()) TRY("", note(context, one, Bought::yes, found->id));
  }
  return {};
}

void settle_purchases(fleet::Context& context, const OpenSeller& open) {
  const auto all = context.ledger.purchases();
  if (!all || std::ranges::none_of(*all, [](const auto& one) { return one.state == Bought::intent; })) return;
  const auto lock = os::FileLock::try_take(lock_file(context));
  if (!lock || !*lock) return;
  for (auto one : *all) {
    if (one.state != Bought::intent) continue;
    const auto seller = seller_of(context, open, one);
    const auto looked = seller ? look_for(context, **seller, one) : Status(tl::unexpected<Error>(seller.error()));
    const auto what = fmt::format("{} × {} from {} for ${}", one.machines, one.instance_type,
                                  os::iso_time(one.start_ms), price(one.fee));
    if (!looked)
      context.progress.warn("capacity",
                            "not known whether it was bought: " + what + ": " + short_line(looked.error().what));
    else if (one.state == Bought::yes)
      context.progress.warn("capacity", "was bought, though no answer came: " + what + ": " + one.reservation);
    else if (one.state == Bought::no)
      context.progress.warn("capacity", "was not bought: " + what);
    else
      context.progress.warn("capacity", "not known yet whether it was bought: " + what);
  }
}

}  // namespace ferry::account
