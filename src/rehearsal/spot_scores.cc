// GetSpotPlacementScores: how likely a request for spot machines is to succeed.
#include <algorithm>
#include <cmath>
#include <set>

#include "base/text.h"
#include "base/units.h"
#include "rehearsal/actions.h"
#include "rehearsal/spot.h"

namespace ferry::rehearsal {
namespace {

constexpr std::size_t fewest_types = 3;
constexpr std::int64_t low_score = 3, best_score = 10, most_capacity = 2'000'000'000;

/// 10 where every type costs little beside on demand, 1 where none can be had. With fewer than three types, low, as
/// EC2 documents it.
std::int64_t score_of(const Call& call, const std::set<std::string>& types, const std::string& zone) {
  double room = 0;
  for (const auto& name : types) {
    const auto& type = *find_type(name);
    const auto now = parse_usd(spot_price_at(type, zone, call.faults.market(), call.now_ms));
    const auto highest = parse_usd(type.on_demand);
    if (!now || !highest || highest->micros <= 0 || call.faults.no_capacity(name, zone, false)) continue;
    room += 1 - static_cast<double>(now->micros) / static_cast<double>(highest->micros);
  }
  const auto score = 1 + std::llround(1.5 * static_cast<double>(best_score) * room / static_cast<double>(types.size()));
  return std::clamp<std::int64_t>(score, 1, types.size() < fewest_types ? low_score : best_score);
}

Api<std::monostate> check_numbers(const Params& params) {
  if (!params.has("TargetCapacity")) return missing_parameter("TargetCapacity");
  API_SET(capacity, params.number("TargetCapacity", 1));
  if (capacity < 1 || capacity > most_capacity) return invalid_value(std::to_string(capacity), "targetCapacity");
  const auto unit = params.get("TargetCapacityUnitType", "units");
  if (unit != "units" && unit != "vcpu" && unit != "memory-mib") return invalid_value(unit, "targetCapacityUnitType");
  return std::monostate{};
}

}  // namespace

Api<Xml> get_spot_placement_scores(Call& call) {
  const auto& params = call.params;
  API_TRY(check_numbers(params));
  API_SET(single, params.flag("SingleAvailabilityZone", false));
  const auto named = params.list("InstanceType"), regions = params.list("RegionName");
  if (params.any("InstanceRequirementsWithMetadata."))
    return refuse(named.empty() ? "UnsupportedOperation" : "InvalidParameterCombination",
                  named.empty() ? "Instance requirements are not offered here; name instance types."
                                : "InstanceTypes and InstanceRequirementsWithMetadata cannot be used together.");
  if (named.empty()) return missing_parameter("InstanceTypes");
  const std::set<std::string> types(named.begin(), named.end());
  for (const auto& name : types)
    if (!find_type(name))
      return refuse("InvalidParameterValue", fmt::format("Invalid value '{}' for InstanceType.", name));
  for (const auto& region : regions)
    if (region != region_name) return refuse("InvalidParameterValue", fmt::format("Invalid region: [{}]", region));
  std::vector<std::string> places;
  std::map<std::string, std::int64_t> scores;
  std::int64_t best = 1;
  for (const auto& zone : zones()) {
    const auto score = score_of(call, types, zone);
    best = std::max(best, score);
    if (single) scores[zone_id(zone)] = score;
  }
  if (!single) scores[""] = best;
  for (const auto& [id, score] : scores) places.push_back(id);
  API_SET(page, page_of(params, places, 10));
  Xml xml;
  xml.list("spotPlacementScoreSet", page.keys, [&](const std::string& id) {
    xml.text("region", region_name).some("availabilityZoneId", id).number("score", scores[id]);
  });
  return xml.some("nextToken", page.next_token);
}

}  // namespace ferry::rehearsal
