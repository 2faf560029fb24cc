#include "account/capacity.h"

#include <algorithm>

#include "account/every_region.h"
#include "aws/ec2_catalog.h"
#include "aws/ec2_standing.h"
#include "aws/ec2_xml.h"
#include "base/text.h"
#include "cloud/aws_client.h"
#include "fleet/planning.h"

namespace ferry::account {
namespace {

/// One region's answer.
template <class Row>
struct RegionRows {
  std::string region;
  std::vector<Row> rows;
  std::vector<Error> errors;
};

struct AskedWorld {
  cloud::AwsContext aws_context;
  std::vector<std::string> regions;
};

/// Those that are named, else the user's own one, else all that the account has enabled.
Result<AskedWorld> asked_world(fleet::Context& context, const std::vector<std::string>& named) {
  AskedWorld world{{}, named};
  const auto own = cloud::aws_region_from_environment(named.empty() ? "" : named.front());
  TRY_SET(aws_context, "", cloud::aws_context_from_environment(own.value_or("us-east-1")));
  world.aws_context = std::move(aws_context);
  if (!world.regions.empty()) return world;
  if (own) {
    world.regions = {*own};
    return world;
  }
  auto client = cloud::aws_client(world.aws_context, context.http, context.clock);
  TRY_SET(regions, "list the account's regions", aws::describe_regions(client));
  for (const auto& region : regions)
    if (region.enabled) world.regions.push_back(region.name);
  return world;
}

/// One line for each error, and the first of them.
template <class Row>
std::optional<Error> tell_errors(const std::vector<RegionRows<Row>>& answers, std::vector<std::string>& problems) {
  std::optional<Error> first;
  for (const auto& answer : answers) {
    for (const auto& error : answer.errors) {
      problems.push_back(answer.region + ": " + short_line(error.what));
      if (!first) first = error;
    }
  }
  return first;
}

BlockOffer offer_of(aws::CapacityBlockOfferRecord record, const std::string& region) {
  BlockOffer offer;
  static_cast<aws::CapacityBlockOfferRecord&>(offer) = std::move(record);
  offer.region = region;
  const auto* type = fleet::catalog_in_force().find(offer.instance_type);
  if (type) offer.gpus = type->accelerator_count * offer.count;
  const auto gpu_hours = std::int64_t{offer.gpus} * offer.hours;
  if (gpu_hours > 0) offer.per_gpu_hour = Usd{offer.fee.micros / gpu_hours};
  return offer;
}

constexpr std::int64_t offers_kept_ms = 86'400'000;

os::Path offers_file(const fleet::Context& context) { return context.data / "block-offers.json"; }

Json json_of(const BlockOffer& offer, std::int64_t found_ms) {
  return {{"type", offer.instance_type}, {"region", offer.region}, {"zone", offer.zone},
          {"machines", offer.count},     {"hours", offer.hours},   {"gpus", offer.gpus},
          {"start_ms", offer.start_ms},  {"end_ms", offer.end_ms}, {"fee_micros", offer.fee.micros},
          {"found_ms", found_ms}};
}

std::optional<BlockOffer> kept_offer(const std::string& id, const Json& json, std::int64_t now_ms) {
  BlockOffer offer;
  offer.id = id;
  offer.instance_type = text_at(json, "type");
  offer.region = text_at(json, "region");
  offer.zone = text_at(json, "zone");
  offer.count = static_cast<int>(int_at(json, "machines"));
  offer.hours = static_cast<int>(int_at(json, "hours"));
  offer.gpus = static_cast<int>(int_at(json, "gpus"));
  offer.start_ms = int_at(json, "start_ms");
  offer.end_ms = int_at(json, "end_ms");
  offer.fee = Usd{int_at(json, "fee_micros")};
  const auto age = now_ms - int_at(json, "found_ms");
  const bool good = age >= 0 && age < offers_kept_ms && offer.count > 0 && offer.hours > 0 && offer.fee.micros > 0 &&
                    !offer.instance_type.empty() && !offer.region.empty();
  return good ? std::optional(std::move(offer)) : std::nullopt;
}

Json kept_offers(const fleet::Context& context) {
  constexpr std::size_t most_bytes = 4 << 20;
  const auto text = os::read_file(offers_file(context), most_bytes);
  const auto json = text ? parse_json(*text) : Result<Json>(Json::object());
  return json && json->is_object() ? *json : Json::object();
}

void keep_offers(fleet::Context& context, const std::vector<BlockOffer>& offers) {
  if (offers.empty()) return;
  const auto now = context.clock.now_ms();
  Json kept = Json::object();
  const Json before = kept_offers(context);  // (items() of a temporary would look at what is gone)
  for (const auto& [id, one] : before.items()) {
    if (one.is_object() && kept_offer(id, one, now)) kept[id] = one;
  }
  for (const auto& one : offers) kept[one.id] = json_of(one, now);
  (void)os::write_file(offers_file(context), dump_json(kept), 0600);  // whoever buys says that it is not there
}

/// EC2's word for a type that it has but does not sell so; of a launch it means another thing.
Error why_none(const std::string& type, Error error) {
  if (error.code != "Unsupported") return error;
  return {Kind::unsupported, "AWS sells no capacity blocks of " + type, error.why, "ferry gpus H100 lists other types",
          error.code};
}

}  // namespace

Status check_block_hours(std::int64_t hours) {
  constexpr std::int64_t day = 24, most_single_days = 14, week = 7, most_days = 182;
  const auto days = hours / day;
  const bool is_sold =
      hours > 0 && hours % day == 0 && (days <= most_single_days || (days % week == 0 && days <= most_days));
  if (is_sold) return {};
  return fail(Kind::bad_input, fmt::format("AWS sells no capacity block of {} hours", hours), {},
              "1 to 14 days, or whole weeks up to 26: --days 2");
}

Result<std::int64_t> parse_begin(const std::string& text) {
  const bool is_day = text.size() == std::string_view("2026-01-31").size();
  const auto ms = aws::parse_iso_time(is_day ? text + "T00:00:00Z" : text);
  if (ms > 0) return ms;
  return fail(Kind::bad_input, "'" + printable(text) + "' is no time", {},
              "write 2026-12-05, or 2026-12-05T08:00:00Z (UTC)");
}

Result<BlockOffers> find_blocks(fleet::Context& context, const BlockWish& wish) {
  TRY_SET(world, "", asked_world(context, wish.regions));
  context.progress.begin("capacity", fmt::format("asking {} region(s)", world.regions.size()));
  using Rows = RegionRows<BlockOffer>;
  auto answers = ask_every_region(context, world.regions, [&](const std::string& region) {
    const auto http = os::make_http_client();
    auto client = cloud::aws_client(world.aws_context, *http, context.clock, region);
    Rows answer{region, {}, {}};
    for (const auto& type : wish.types) {
      const aws::CapacityBlockQuery query{type, wish.machines, wish.hours, wish.from_ms};
      auto found = aws::describe_capacity_block_offerings(client, query);
      if (!found) answer.errors.push_back(why_none(type, found.error()));
      for (auto& one : found.value_or(std::vector<aws::CapacityBlockOfferRecord>()))
        answer.rows.push_back(offer_of(std::move(one), region));
    }
    return answer;
  });
  BlockOffers out;
  out.regions = std::move(world.regions);
  const auto first = tell_errors(answers, out.problems);
  std::size_t failed = 0;
  for (auto& answer : answers) {
    failed += answer.errors.size();
    std::ranges::move(answer.rows, std::back_inserter(out.offers));
  }
  if (first && failed == out.regions.size() * wish.types.size()) return tl::unexpected<Error>(*first);
  std::ranges::stable_sort(out.offers, {}, [](const BlockOffer& one) {
    return std::tuple(one.per_gpu_hour.micros, one.fee.micros, one.start_ms, one.zone);
  });
  keep_offers(context, out.offers);
  context.progress.done("capacity", fmt::format("{} offers", out.offers.size()));
  return out;
}

Result<BlockOffer> remembered_offer(fleet::Context& context, const std::string& id) {
  const auto kept = kept_offers(context);
  const auto found = kept.find(id);
  if (found != kept.end() && found->is_object()) {
    if (auto offer = kept_offer(id, *found, context.clock.now_ms())) return std::move(*offer);
  }
  return fail(Kind::not_found, "no offer " + printable(id) + " was shown here in the last day",
              "EC2 looks up no offer by its id, so what it is and costs is known from the search",
              "search again, and buy one of what is shown: ferry capacity H100:8 --days 2");
}

Result<Reservations> find_reservations(fleet::Context& context, const std::vector<std::string>& regions) {
  TRY_SET(world, "", asked_world(context, regions));
  context.progress.begin("capacity", fmt::format("asking {} region(s)", world.regions.size()));
  auto answers = ask_every_region(context, world.regions, [&](const std::string& region) {
    const auto http = os::make_http_client();
    auto client = cloud::aws_client(world.aws_context, *http, context.clock, region);
    RegionRows<RegionReservation> answer{region, {}, {}};
    auto found = aws::describe_capacity_reservations(client);
    if (!found) answer.errors.push_back(found.error());
    for (auto& one : found.value_or(std::vector<aws::CapacityReservationRecord>())) {
      if (one.state == "expired" || one.state == "cancelled" || one.state == "failed") continue;
      RegionReservation row;
      static_cast<aws::CapacityReservationRecord&>(row) = std::move(one);
      row.region = region;
      answer.rows.push_back(std::move(row));
    }
    return answer;
  });
  Reservations out;
  const auto first = tell_errors(answers, out.problems);
  for (auto& answer : answers) std::ranges::move(answer.rows, std::back_inserter(out.list));
  if (first && out.problems.size() == world.regions.size()) return tl::unexpected<Error>(*first);
  std::ranges::stable_sort(out.list, {}, [](const auto& one) { return std::tuple(one.start_ms, one.id); });
  context.progress.done("capacity", fmt::format("{} reservations", out.list.size()));
  return out;
}

}  // namespace ferry::account
