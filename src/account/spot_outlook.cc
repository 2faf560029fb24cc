#include "account/spot_outlook.h"

#include <set>

#include "account/spot_advisor.h"
#include "aws/ec2_catalog.h"
#include "base/text.h"
#include "cloud/aws_client.h"

namespace ferry::account {
namespace {

constexpr std::size_t most_offers = 3;
/// EC2: with fewer types a score is always low. With more than ten the question would be another one each time a price
/// moves, and EC2 allows few questions a day.
constexpr std::size_t least_types = 3, most_types = 10;
constexpr std::int64_t day_ms = 24 * 3'600'000;

/// The plan's spot offers, one of each type and region, best first.
std::vector<plan::Offer> best_offers(const std::vector<plan::Offer>& offers) {
  std::vector<plan::Offer> best;
  for (const auto& offer : offers) {
    const bool is_here = std::ranges::any_of(
        best, [&](const auto& one) { return one.type.name == offer.type.name && one.region == offer.region; });
    if (offer.market == plan::Market::spot && offer.not_taken.empty() && !is_here) best.push_back(offer);
    if (best.size() == most_offers) break;
  }
  return best;
}

/// What a score is asked for: the types that a run would take, and where these are too few, those that it would not
/// take by itself.
std::vector<std::string> types_to_score(const std::vector<plan::Offer>& offers, std::vector<std::string>& beyond) {
  std::set<std::string> types;
  const auto add = [&](bool taken, std::size_t most, std::vector<std::string>* told) {
    for (const auto& offer : offers) {
      if (types.size() >= most) return;
      if (offer.market != plan::Market::spot || offer.not_taken.empty() != taken) continue;
      if (types.insert(offer.type.name).second && told) told->push_back(offer.type.name);
    }
  };
  add(true, most_types, nullptr);
  if (types.size() < least_types) add(false, least_types, &beyond);
  return {types.begin(), types.end()};
}

/// One region, asked.
class Asking {
 public:
  Asking(const task::Task& task, const fleet::Planned& planned, os::HttpClient& http, os::Clock& clock,
         const std::function<Result<cloud::AwsContext>()>& rehearsal)
      : task_(task), planned_(planned), http_(http), clock_(clock), rehearsal_(rehearsal) {}

  SpotOutlook outlook() {
    out_.asked_ms = clock_.now_ms();
    out_.is_estimate = task_.duration.has_value();
    out_.work = std::min(task_.duration.value_or(planned_.lifetime.max_duration), planned_.lifetime.max_duration);
    const auto offers = best_offers(planned_.ranking.offers);
    if (offers.empty()) return out_;
    const auto advisor = kept_spot_advisor();
    out_.advisor_date = advisor.date;
    std::map<std::string, std::vector<std::string>> types;  // by region
    for (const auto& offer : offers) types[offer.region].push_back(offer.type.name);
    for (const auto& [region, names] : types) ask_history(region, names);
    ask_scores(types);
    for (const auto& offer : offers) {
      out_.offers.push_back(
          {offer.type.name, offer.region, {}, advisor.band(offer.region, offer.type.name), {}, {}, {}, {}});
      judge(offer, out_.offers.back());
    }
    return out_;
  }

 private:
  Result<aws::Client> client_in(const std::string& region) {
    const bool rehearsing = planned_.location.provider == "rehearsal";
    auto access = rehearsing ? rehearsal_() : cloud::aws_context_from_environment(region);
    if (!access) return tl::unexpected<Error>(std::move(access).error());
    return cloud::aws_client(*access, http_, clock_);
  }

  void tell(const std::string& subject, const Error& error) {
    auto line = fmt::format("{}: {}", subject, short_line(error.what));
    if (error.kind == Kind::denied && error.code == "UnauthorizedOperation")
      line += " (`ferry policy` prints what is needed)";
    if (std::ranges::find(out_.problems, line) == out_.problems.end()) out_.problems.push_back(std::move(line));
  }

  void ask_history(const std::string& region, const std::vector<std::string>& types) {
    auto client = client_in(region);
    if (!client) return tell("price history", client.error());
    const auto prices = aws::describe_spot_price_history(*client, types, out_.asked_ms - out_.days * day_ms);
    if (!prices) return tell("price history of " + region, prices.error());
    for (const auto& one : *prices) history_[{region, one.type}][one.zone].push_back({one.since_ms, one.hourly});
  }

  void ask_scores(const std::map<std::string, std::vector<std::string>>& regions) {
    std::vector<std::string> beyond;
    const auto types = types_to_score(planned_.ranking.offers, beyond);
    if (types.size() < least_types) {
      out_.problems.push_back(
          fmt::format("placement score: not asked, for fewer than three types always score low, and this task takes {}",
                      types.size() == 1 ? "one" : "two"));
      return;
    }
    std::vector<std::string> names;
    for (const auto& [region, ignored] : regions) names.push_back(region);
    auto client = client_in(names.front());
    if (!client) return tell("placement score", client.error());
    const auto scores = aws::get_spot_placement_scores(*client, types, task_.num_nodes, names);
    if (!scores) return tell("placement score", scores.error());
    out_.scored_types = types;
    if (!beyond.empty())
      out_.problems.push_back(
          fmt::format("placement score: three types are needed, so it counts {}, too, which a run "
                      "would not take by itself",
                      join(beyond, " and ")));
    std::map<std::string, std::map<std::string, std::string>> zones;
    for (const auto& region : names) zones[region] = zone_names(region);
    for (const auto& one : *scores) {
      const auto& known = zones[one.region];
      const auto name = known.find(one.zone_id);
      out_.scores.push_back({one.region, name == known.end() ? printable(one.zone_id) : name->second, one.score});
    }
    std::ranges::stable_sort(out_.scores, std::greater(), &PlacementScore::score);
  }

  /// By id. Empty where EC2 does not say.
  std::map<std::string, std::string> zone_names(const std::string& region) {
    std::map<std::string, std::string> names;
    auto client = client_in(region);
    const auto zones = client ? aws::describe_availability_zones(*client) : tl::unexpected<Error>(client.error());
    for (const auto& zone : zones.value_or(std::vector<aws::ZoneRecord>())) names[zone.id] = printable(zone.name);
    return names;
  }

  void judge(const plan::Offer& offer, OfferOutlook& out) {
    for (const auto& [zone, points] : history_[{offer.region, offer.type.name}]) {
      const auto prices = plan::price_history(points, out_.asked_ms - out_.days * day_ms, out_.asked_ms);
      if (!prices || (!offer.zone.empty() && !is_planned(offer, zone))) continue;
      out.zones.push_back({printable(zone), *prices});
      out.hourly = out.hourly ? std::min(*out.hourly, prices->now) : prices->now;
    }
    if (!out.hourly) out.hourly = offer.hourly;
    const auto an_hour = [&](Usd machine) { return Usd{(machine + offer.beside()).micros * task_.num_nodes}; };
    const double hazard = out.band ? plan::hourly_hazard(*out.band) * task_.num_nodes : 0;
    if (out.hourly) out.spot = plan::expect(an_hour(*out.hourly), hazard, out_.work, out_.terms);
    out.on_demand_hourly = fleet::catalog_in_force().on_demand(offer.type.name, offer.region);
    if (!out.on_demand_hourly) return;
    if (const auto expected = plan::expect(an_hour(*out.on_demand_hourly), 0, out_.work, out_.terms))
      out.on_demand = expected->cost;
  }

  /// Whether the plan has an offer in the zone: a task may name one, and then the others are none of its business.
  bool is_planned(const plan::Offer& offer, const std::string& zone) const {
    return std::ranges::any_of(planned_.ranking.offers, [&](const auto& one) {
      return one.type.name == offer.type.name && one.region == offer.region && one.zone == zone;
    });
  }

  const task::Task& task_;
  const fleet::Planned& planned_;
  os::HttpClient& http_;
  os::Clock& clock_;
  const std::function<Result<cloud::AwsContext>()>& rehearsal_;
  SpotOutlook out_;
  std::map<std::pair<std::string, std::string>, std::map<std::string, std::vector<plan::PricePoint>>> history_;
};

}  // namespace

SpotOutlook spot_outlook(const task::Task& task, const fleet::Planned& planned, os::HttpClient& http, os::Clock& clock,
                         const std::function<Result<cloud::AwsContext>()>& rehearsal) {
  return Asking(task, planned, http, clock, rehearsal).outlook();
}

}  // namespace ferry::account
