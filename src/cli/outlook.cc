#include "cli/outlook.h"

#include <deque>

#include "base/text.h"
#include "cli/price_words.h"
#include "os/clock.h"
#include "watch/metrics.h"
#include "watch/report.h"
#include "watch/table.h"

namespace ferry::cli {
namespace {

using account::OfferOutlook;
using account::SpotOutlook;

constexpr std::size_t picture_width = 24;

std::string picture_of(const plan::PriceHistory& prices) {
  std::deque<double> values;
  for (const auto& price : prices.line) values.push_back(static_cast<double>(price.micros));
  return watch::sparkline(values, picture_width);
}

std::optional<int> score_in(const SpotOutlook& outlook, const std::string& region, const std::string& zone) {
  const auto found =
      std::ranges::find_if(outlook.scores, [&](const auto& one) { return one.region == region && one.zone == zone; });
  return found == outlook.scores.end() ? std::nullopt : std::optional(found->score);
}

void print_zones(const SpotOutlook& outlook) {
  watch::Table table({" ", "TYPE", "ZONE", ">NOW", ">LEAST", ">MEDIAN", ">MOST", ">CHANGES",
                      fmt::format("{} DAYS", outlook.days), ">SCORE"});
  bool any = false;
  for (const auto& offer : outlook.offers) {
    for (const auto& [zone, prices] : offer.zones) {
      any = true;
      const auto score = score_in(outlook, offer.region, zone);
      table.add({" ", offer.type, zone, show_hourly(prices.now), show_hourly(prices.least), show_hourly(prices.median),
                 show_hourly(prices.most), std::to_string(prices.changes), picture_of(prices),
                 score ? std::to_string(*score) : ""});
    }
  }
  if (any) fmt::print("{}", table.text());
}

std::string band_words(const SpotOutlook& outlook, const OfferOutlook& offer) {
  if (offer.band)
    return fmt::format("{} of such machines were taken back in a month (AWS's Spot Advisor of {})",
                       plan::show(*offer.band), outlook.advisor_date);
  return outlook.advisor_date.empty()
             ? "how often AWS takes it back is not known (ferry catalog update asks)"
             : fmt::format("how often AWS takes it back is not known (not in its Spot Advisor of {})",
                           outlook.advisor_date);
}

/// "about $4.21 (0.31 interruptions expected), on-demand $12.90"
std::string cost_words(const OfferOutlook& offer) {
  std::string words;
  if (!offer.spot)
    words = offer.hourly ? "no end is expected: interruptions come faster than it gets on" : "price unknown";
  else if (offer.band)
    words = fmt::format("about {} ({:.2g} interruptions expected)", show(offer.spot->cost), offer.spot->interruptions);
  else
    words = fmt::format("about {} if there are no interruptions", show(offer.spot->cost));
  if (offer.spot && offer.hourly) words = fmt::format("at {}/h {}", show_hourly(*offer.hourly), words);
  return words + (offer.on_demand ? ", on-demand " + show(*offer.on_demand) : ", on-demand price unknown");
}

Json band_json(const std::optional<plan::InterruptionBand>& band) {
  if (!band) return {};
  return {{"label", plan::show(*band)},
          {"least_percent", band->least},
          {"most_percent", band->most ? Json(*band->most) : Json()},
          {"hourly_hazard", plan::hourly_hazard(*band)}};
}

Json expected_json(const OfferOutlook& offer) {
  if (!offer.spot) return {};
  return {{"usd", money(offer.spot->cost)},
          {"machine_s", offer.spot->machine_time.count()},
          {"interruptions", offer.band ? Json(offer.spot->interruptions) : Json()}};
}

Json zones_json(const OfferOutlook& offer) {
  Json zones = Json::array();
  for (const auto& [zone, prices] : offer.zones) {
    Json line = Json::array();
    for (const auto& price : prices.line) line.push_back(money(price));
    zones.push_back({{"zone", zone},
                     {"since", os::iso_time(prices.from_ms)},
                     {"now_usd", money(prices.now)},
                     {"least_usd", money(prices.least)},
                     {"median_usd", money(prices.median)},
                     {"most_usd", money(prices.most)},
                     {"changes", prices.changes},
                     {"line_usd", line}});
  }
  return zones;
}

}  // namespace

void print_outlook(const SpotOutlook& outlook) {
  for (const auto& line : outlook.problems) fmt::print(stderr, "! {}\n", printable(line));
  if (outlook.offers.empty()) return;
  fmt::print("spot prices an hour of the last {} days, asked at {}:\n", outlook.days, os::iso_time(outlook.asked_ms));
  print_zones(outlook);
  if (!outlook.scores.empty())
    fmt::print("SCORE: how likely EC2 thinks it, of 10, that a request succeeds now, for any of {}\n",
               join(outlook.scored_types, ", "));
  for (const auto& offer : outlook.offers) {
    const auto name = fmt::format("{} in {}", offer.type, offer.region);
    fmt::print("{}: {}\n  {} of training: spot {}\n", name, band_words(outlook, offer), show_duration(outlook.work),
               cost_words(offer));
  }
  const auto& terms = outlook.terms;
  fmt::print(
      "  (counted with {}: {} for each start, {} of training lost with each interruption, a band by its "
      "upper end)\n",
      outlook.is_estimate ? "your estimate" : "all the time that it may take, for --duration says nothing else",
      show_duration(terms.start), show_duration(terms.lost));
}

Json outlook_json(const SpotOutlook& outlook) {
  Json offers = Json::array(), scores = Json::array();
  for (const auto& offer : outlook.offers)
    offers.push_back({{"instance_type", offer.type},
                      {"region", offer.region},
                      {"zones", zones_json(offer)},
                      {"interruption_band", band_json(offer.band)},
                      {"hourly_usd", money(offer.hourly)},
                      {"expected", expected_json(offer)},
                      {"on_demand_hourly_usd", money(offer.on_demand_hourly)},
                      {"on_demand_usd", money(offer.on_demand)}});
  for (const auto& one : outlook.scores)
    scores.push_back({{"region", one.region}, {"zone", one.zone}, {"score", one.score}});
  return {{"days", outlook.days},
          {"asked", os::iso_time(outlook.asked_ms)},
          {"work_s", outlook.work.count()},
          {"is_estimate", outlook.is_estimate},
          {"start_s", outlook.terms.start.count()},
          {"lost_s", outlook.terms.lost.count()},
          {"advisor_date", outlook.advisor_date},
          {"scored_types", outlook.scored_types},
          {"scores", scores},
          {"problems", outlook.problems},
          {"offers", offers}};
}

}  // namespace ferry::cli
