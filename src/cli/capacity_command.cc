// ferry capacity: capacity blocks that AWS offers, buying one, and what the account has reserved.

#include <map>

#include "account/capacity.h"
#include "account/purchase.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/price_words.h"
#include "fleet/planning.h"
#include "os/terminal.h"
#include "watch/table.h"

namespace ferry::cli {

namespace {

struct CapacityOptions {
  std::string gpu, from;
  int days = 0, hours = 0, machines = 1;
  std::vector<std::string> regions;
  std::string offering, price;
};

std::string minute(std::int64_t ms) { return ms > 0 ? os::iso_time(ms).substr(0, 16) + "Z" : "-"; }
Json time_json(std::int64_t ms) { return ms > 0 ? Json(os::iso_time(ms)) : Json(); }

Result<account::BlockWish> wish_of(const CapacityOptions& options) {
  account::BlockWish wish;
  wish.machines = options.machines;
  wish.hours = options.hours > 0 ? options.hours : std::max(1, options.days) * 24;
  wish.regions = options.regions;
  TRY("", account::check_block_hours(wish.hours));
  if (!options.from.empty()) {
    TRY_SET(from, "--from", account::parse_begin(options.from));
    wish.from_ms = from;
  }
  TRY_SET(rows, "", plan::gpu_table(fleet::catalog_in_force(), options.gpu, {}));
  for (const auto& row : rows) wish.types.push_back(row.type);
  constexpr std::size_t most_types = 8;
  if (wish.types.size() > most_types)
    return fail(Kind::bad_input, fmt::format("{} are {} instance types", printable(options.gpu), wish.types.size()), {},
                "say how many of which GPU: ferry capacity H100:8", mistake_code);
  return wish;
}

Json offers_json(const account::BlockOffers& found, const account::BlockWish& wish) {
  Json list = Json::array();
  for (const auto& one : found.offers)
    list.push_back({{"id", one.id},
                    {"instance_type", one.instance_type},
                    {"machines", one.count},
                    {"gpus", one.gpus},
                    {"region", one.region},
                    {"zone", one.zone},
                    {"start", time_json(one.start_ms)},
                    {"end", time_json(one.end_ms)},
                    {"hours", one.hours},
                    {"fee_usd", money(one.fee)},
                    {"per_gpu_hour_usd", one.gpus ? money(one.per_gpu_hour) : Json()}});
  return {{"types", wish.types},      {"machines", wish.machines},  {"hours", wish.hours},
          {"regions", found.regions}, {"problems", found.problems}, {"offers", list}};
}

Result<int> search(Context& context, const CapacityOptions& options) {
  auto wish = wish_of(options);
  if (!wish) return mistake(std::move(wish).error());
  TRY_SET(found, "", account::find_blocks(context.run_context(), *wish));
  for (const auto& line : found.problems) context.progress().warn("capacity", line);
  if (in_json()) {
    reply("ferry.capacity/1", offers_json(found, *wish));
    return 0;
  }
  if (found.offers.empty()) {
    fmt::print("no capacity block of {} h with {} × {} is offered now in {}\n", wish->hours, wish->machines,
               join(wish->types, " or "), join(found.regions, ", "));
    return 0;
  }
  watch::Table table({"TYPE", ">MACHINES", ">GPUS", "ZONE", "BEGINS", "ENDS", ">FEE", ">$/GPU-h", "OFFER"});
  for (const auto& one : found.offers)
    table.add({printable(one.instance_type), std::to_string(one.count), one.gpus ? std::to_string(one.gpus) : "?",
               printable(one.zone), minute(one.start_ms), minute(one.end_ms), show(one.fee),
               one.gpus ? show_hourly(one.per_gpu_hour) : "?", printable(one.id)});
  fmt::print(
      "{}paid when it is bought, and never given back; machines end from half an hour before its end. To buy one: "
      "ferry capacity buy OFFER; then ferry run --capacity-reservation cr-… --wait TIME\n",
      table.text());
  return 0;
}

/// What stands in the ledger of a purchase.
Json purchase_json(const ledger::Purchase& one) {
  const auto state = one.state == ledger::Bought::yes ? "bought" : one.state == ledger::Bought::no ? "no" : "unknown";
  return {{"offering", one.offering},
          {"state", state},
          {"reservation", one.reservation.empty() ? Json() : Json(one.reservation)},
          {"instance_type", one.instance_type},
          {"machines", one.machines},
          {"region", one.region},
          {"zone", one.zone},
          {"start", time_json(one.start_ms)},
          {"end", time_json(one.end_ms)},
          {"hours", one.hours},
          {"fee_usd", money(one.fee)},
          {"asked", time_json(one.asked_ms)},
          {"account", one.account},
          {"tag", one.tag}};
}

/// The price typed back is what says yes; nothing else does.
Status confirm_price(const account::BlockOffer& offer, const std::string& given) {
  const auto words = account::words_of(offer);
  if (!in_json()) fmt::print("{}\n", words);
  auto typed = given;
  if (typed.empty() && os::is_terminal(0) && may_ask())
    typed = std::string(trim(os::ask(fmt::format("To buy {}, type its price in dollars: ", offer.id)).value_or("")));
  else if (typed.empty())
    return fail(Kind::bad_input, "nobody is here to type the price", words,
                "ferry capacity buy OFFER --price DOLLARS, with the price to the cent; --yes and FERRY_YES buy nothing",
                mistake_code);
  if (typed.empty()) return fail(Kind::cancelled, "nothing is bought");
  const auto price = parse_usd(typed.starts_with('$') ? typed.substr(1) : typed);
  constexpr std::int64_t micros_a_cent = 10'000;
  if (price && price->micros == account::cents_of(offer.fee) * micros_a_cent) return {};
  return fail(Kind::bad_input, "nothing is bought: " + printable(typed) + " is not its price", words,
              "type the price to the cent, as it is shown", mistake_code);
}

Result<int> buy(Context& context, const CapacityOptions& options) {
  account::BuyOptions wanted;
  wanted.confirm = [&](const account::BlockOffer& offer) { return confirm_price(offer, options.price); };
  TRY_SET(done, "", account::buy_block(context.run_context(), options.offering, wanted));
  const auto& bought = done.purchase;
  if (in_json()) {
    auto json = purchase_json(bought);
    json["was_bought_before"] = done.was_bought_before;
    reply("ferry.capacity.buy/1", json);
    return 0;
  }
  fmt::print("{}: {} × {} in {} from {}, for {}{}; to train in it: ferry run --capacity-reservation {} --wait TIME\n",
             printable(bought.reservation), bought.machines, printable(bought.instance_type), printable(bought.zone),
             minute(bought.start_ms), show(bought.fee),
             done.was_bought_before ? " (bought before: nothing was paid now)" : "", printable(bought.reservation));
  return 0;
}

/// Of the purchases that are known here, by reservation; those of which nobody knows are at "".
std::multimap<std::string, ledger::Purchase> known_purchases(const std::vector<ledger::Purchase>& all) {
  std::multimap<std::string, ledger::Purchase> known;
  for (const auto& one : all) {
    if (one.state != ledger::Bought::no) known.emplace(one.reservation, one);
  }
  return known;
}

Result<int> list(Context& context, const CapacityOptions& options) {
  TRY_SET(found, "", account::find_reservations(context.run_context(), options.regions));
  for (const auto& line : found.problems) context.progress().warn("capacity", line);
  TRY("", account::note_purchases(context.run_context(), found.list));
  TRY_SET(purchases, "", context.ledger().purchases());
  const auto known = known_purchases(purchases);
  const auto fee_of = [&](const account::RegionReservation& one) -> std::optional<Usd> {
    const auto at = known.find(one.id);
    return at == known.end() ? std::nullopt : std::optional(at->second.fee);
  };
  if (in_json()) {
    Json rows = Json::array(), unsettled = Json::array();
    for (const auto& one : found.list)
      rows.push_back({{"id", one.id},
                      {"kind", one.is_block ? "block" : "reservation"},
                      {"instance_type", one.instance_type},
                      {"machines", one.total},
                      {"free", one.available},
                      {"region", one.region},
                      {"zone", one.zone},
                      {"state", one.state},
                      {"start", time_json(one.start_ms)},
                      {"end", time_json(one.end_ms)},
                      {"fee_usd", money(fee_of(one))}});
    for (const auto& one : purchases) {
      if (one.state == ledger::Bought::intent) unsettled.push_back(purchase_json(one));
    }
    reply("ferry.capacity.ls/1", {{"reservations", rows}, {"unsettled", unsettled}, {"problems", found.problems}});
    return 0;
  }
  watch::Table table({"RESERVATION", "KIND", "TYPE", ">MACHINES", ">FREE", "ZONE", "STATE", "BEGINS", "ENDS", ">FEE"});
  for (const auto& one : found.list)
    table.add({printable(one.id), one.is_block ? "block" : "reservation", printable(one.instance_type),
               std::to_string(one.total), std::to_string(one.available), printable(one.zone), printable(one.state),
               minute(one.start_ms), minute(one.end_ms), fee_of(one) ? show(*fee_of(one)) : "-"});
  fmt::print("{}", found.list.empty() ? "nothing is reserved\n" : table.text());
  return 0;
}

}  // namespace

void add_capacity_command(CLI::App& app, Program& program) {
  auto options = std::make_shared<CapacityOptions>();
  const auto act = [&program, options](Result<int> (*what)(Context&, const CapacityOptions&), bool may_try_later) {
    program.chosen = [&program, options, what, may_try_later] {
      return with_context(
          program.carried, [options, what](Context& context) { return what(context, *options); }, may_try_later);
    };
  };
  auto* capacity = app.add_subcommand(
      "capacity",
      "Capacity Blocks that AWS offers (GPU machines for some days, paid ahead): ferry capacity H100:8 --days 2; "
      "buys nothing by itself");
  capacity->require_subcommand(0, 1);
  capacity->add_option("gpu,--gpus", options->gpu, "A GPU with its count in one machine (H100:8), or an instance type")
      ->type_name("GPU");
  auto* days = capacity->add_option("--days", options->days, "For how long (1)")->check(CLI::Range(1, 182));
  capacity->add_option("--hours", options->hours, "The same in hours")->check(CLI::Range(1, 182 * 24))->excludes(days);
  capacity->add_option("--from", options->from, "Begins then or later: 2026-12-05")->type_name("DATE");
  capacity->add_option("--machines", options->machines, "How many (1)")->check(CLI::Range(1, 64));
  capacity->add_option("--region", options->regions, "Instead of your own region; may be repeated")
      ->allow_extra_args(false);
  capacity->callback([act, options, capacity] {
    if (!capacity->get_subcommands().empty()) return;
    if (options->gpu.empty()) throw CLI::RequiredError("gpu");
    act(search, true);
  });
  auto* ls = capacity->add_subcommand("ls", "Capacity that the account has reserved, blocks and others");
  ls->add_option("--region", options->regions, "Instead of your own region; may be repeated")->allow_extra_args(false);
  ls->callback([act] { act(list, true); });
  auto* one = capacity->add_subcommand(
      "buy", "Buy a block that a search has shown: it is paid at once, and AWS gives nothing back");
  one->add_option("offering", options->offering, "Its id, as the search shows it")->required()->type_name("OFFER");
  one->add_option("--price", options->price,
                  "Its price in dollars, to the cent (1234.56): says yes to it where nobody can be asked");
  one->callback([act] { act(buy, false); });
}

}  // namespace ferry::cli
