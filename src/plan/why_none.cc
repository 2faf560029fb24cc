#include "plan/why_none.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/text.h"

namespace ferry::plan {
namespace {

std::string subject(const Ask& ask) {
  if (ask.type) return ask.type->name;
  const auto text = ask.text();
  return text.empty() ? "any machine" : text;
}

bool among(std::span<const std::string> regions, const std::string& region) {
  return std::ranges::find(regions, region) != regions.end();
}

/// A price as it is written in a task file.
std::string plain_amount(Usd money) { return show(money).substr(1); }

}  // namespace

std::string amount(Usd money) {
  return money.micros % 1'000'000 == 0 ? fmt::format("${}", money.micros / 1'000'000) : show(money);
}

Status WhyNone::tell(const Ask& ask, Types types, Regions regions, const Refused& refused) const {
  if (refused.least) {
    const bool by_cap = ask.candidate->max_hourly_cost && *refused.least > *ask.candidate->max_hourly_cost;
    return ask.refuse(by_cap ? "max_hourly_cost" : "", too_dear(ask, types, regions, refused));
  }
  const bool zone = ask.candidate->infra && !ask.candidate->infra->zone.empty();
  if (zone && !refused.unpriced) return ask.refuse("infra", not_in_zone(ask, types));
  const bool odd_region = regions.size() == 1 && !among(all_regions, regions[0]);
  const auto* field = odd_region ? "infra" : ask.market == Market::spot ? "use_spot" : "";
  return ask.refuse(field, no_price(ask, types, regions));
}

WhyNone::Lowest WhyNone::lowest(Types types, Market market, Regions regions) const {
  Lowest best;
  for (const auto* type : types) {
    for (const auto& region : regions) {
      const auto price = price_in(catalog.rows(*type, region), market).price;
      if (price.micros && (!best.price.micros || price < best.price)) best = {price, region};
    }
  }
  return best;
}

bool WhyNone::allowed(const Ask& ask, const Lowest& lowest) const {
  const auto& [price, region] = lowest;
  return price.micros && (!ask.candidate->max_hourly_cost || price <= *ask.candidate->max_hourly_cost) &&
         (!duration || !task.budget || cost(price + ask.beside(region), *duration) <= *task.budget);
}

Error WhyNone::not_in_zone(const Ask& ask, Types types) const {
  const auto& infra = *ask.candidate->infra;
  std::set<std::string> zones;
  for (const auto* type : types) {
    for (auto& zone : catalog.zones(type->name, infra.region)) zones.insert(std::move(zone));
  }
  const std::vector<std::string> names(zones.begin(), zones.end());
  return {Kind::not_found,
          fmt::format("{} is not offered in {}", subject(ask), infra.zone),
          {},
          fmt::format("it is in {}", join(names, ", ")),
          {}};
}

Error WhyNone::too_dear(const Ask& ask, Types types, Regions regions, const Refused& refused) const {
  const auto least = *refused.least;
  const bool by_cap = ask.candidate->max_hourly_cost && least > *ask.candidate->max_hourly_cost;
  const auto what = by_cap ? fmt::format("{} exists only at {}/h and more; max_hourly_cost is {}", subject(ask),
                                         show(least), amount(*ask.candidate->max_hourly_cost))
                           : fmt::format("{} costs {} and more for {}; the budget is {}", subject(ask),
                                         show(cost(least + ask.beside(refused.least_region), *duration)),
                                         show_duration(*duration), amount(*task.budget));
  std::vector<std::string> ways;
  if (const auto other = lowest(types, ask.market, all_regions); allowed(ask, other))
    ways.push_back(fmt::format("infra: aws/{} has it at {}/h", other.region, show(other.price)));
  if (ask.market == Market::on_demand) {
    auto spot = lowest(types, Market::spot, regions);
    if (!allowed(ask, spot)) spot = lowest(types, Market::spot, all_regions);
    if (allowed(ask, spot)) {
      ways.push_back(fmt::format("use_spot: true{} is {}/h",
                                 among(regions, spot.region) ? "" : " with infra: aws/" + spot.region,
                                 show(spot.price)));
    }
  }
  ways.push_back(by_cap ? "max_hourly_cost: " + plain_amount(least)
                        : "budget: " + plain_amount(cost(least + ask.beside(refused.least_region), *duration)));
  return {Kind::not_found,
          what,
          fmt::format("the cheapest is {} in {}", refused.least_type->name, refused.least_region),
          join(ways, "; or "),
          {}};
}

Error WhyNone::no_price(const Ask& ask, Types types, Regions regions) const {
  const bool spot = ask.market == Market::spot;
  const auto where = regions.size() == 1 ? " in " + printable(regions[0]) : std::string();
  const auto of = ask.nothing() ? std::string() : " for " + subject(ask);
  std::vector<std::string> elsewhere, ways;
  for (const auto& region : all_regions) {
    if (lowest(types, ask.market, {&region, 1}).price.micros) elsewhere.push_back(region);
  }
  if (regions.size() == 1 && !among(all_regions, regions[0])) {
    if (const auto near = nearest(regions[0], elsewhere)) ways.push_back(fmt::format("did you mean '{}'?", *near));
  }
  if (const auto other = lowest(types, Market::on_demand, all_regions); spot && other.price.micros)
    ways.push_back(fmt::format("use_spot: false costs {}/h in {}", show(other.price), other.region));
  if (ask.type && task.budget) {
    ways.emplace_back("leave out budget, which cannot be kept without a price");
  } else if (ask.type && ask.candidate->max_hourly_cost) {
    ways.emplace_back("leave out max_hourly_cost, which cannot be compared with an unknown price");
  } else if (ask.type) {
    ways.emplace_back("name a region, as in infra: aws/us-east-1");
  } else {
    const auto size = [](const InstanceType* type) { return std::pair(type->memory_mib, type->vcpus); };
    const auto& smallest = **std::ranges::min_element(types, {}, size);
    ways.push_back(fmt::format("name the type to rent it at an unknown price: instance_type: {}", smallest.name));
  }
  ways.emplace_back("ask AWS for today's prices: ferry catalog update");
  return {Kind::not_found,
          fmt::format("no {}price is known{}{}", spot ? "spot " : "", of, where),
          elsewhere.empty() ? std::string() : fmt::format("prices are known in {}", join(elsewhere, ", ")),
          join(ways, "; or "),
          {}};
}

}  // namespace ferry::plan
