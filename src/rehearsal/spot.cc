#include "rehearsal/spot.h"

#include <cmath>

#include "base/hash.h"
#include "base/text.h"
#include "base/units.h"
#include "os/clock.h"

namespace ferry::rehearsal {
namespace {

bool is_spot_and_runs(const Instance& instance) {
  return !instance.spot_request_id.empty() && instance.phase == Phase::running;
}

/// From 0 to 1, the same for the same words.
double chance_of(const std::string& words) {
  const auto bytes = sha256(words);
  std::uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value = value << 8 | static_cast<unsigned char>(bytes[static_cast<std::size_t>(i)]);
  return static_cast<double>(value) / 4294967295.0;
}

/// How the market moves a price at its step `n`: waves of several lengths, and what nobody foresees.
double market_factor(const std::string& place, std::int64_t n) {
  constexpr double two_pi = 6.283185307179586;
  constexpr std::array<double, 3> lengths = {7, 19, 61};
  constexpr std::array<double, 3> heights = {0.15, 0.25, 0.5};
  double factor = 1;
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    const double shift = chance_of(place + std::to_string(i));
    factor += heights[i] * std::sin(two_pi * (static_cast<double>(n) / lengths[i] + shift));
  }
  return factor + 0.3 * chance_of(fmt::format("{} {}", place, n));
}

/// Why it is taken now, by what was asked for; "": it is not.
std::string cause_of(const Instance& instance, const Faults& faults, std::int64_t now_ms) {
  const auto per_hour = faults.interruptions_per_hour();
  if (per_hour > 0 && now_ms - instance.phase_ms >= 3'600'000 / per_hour) return "no-capacity";
  const auto market = faults.market();
  const auto* type = market ? find_type(instance.type) : nullptr;
  if (!type || instance.bid_micros == 0) return "";
  const auto price = parse_usd(spot_price_at(*type, instance.zone, market, now_ms));
  return price && price->micros > instance.bid_micros ? "by-price" : "";
}

}  // namespace

bool take_back(Instance& instance, std::int64_t now_ms, std::int64_t lead_ms, std::int64_t notice_ms,
               const std::string& cause) {
  if (!is_spot_and_runs(instance) || instance.taking.gone_ms != 0) return false;
  const auto notice = now_ms + std::max<std::int64_t>(0, lead_ms);
  instance.taking = {now_ms, notice, notice + notice_ms, cause};
  return true;
}

Json spot_metadata(const Instance& instance, std::int64_t now_ms) {
  Json tree = Json::object();
  const Taking& taking = instance.taking;
  if (taking.gone_ms == 0 || instance.phase != Phase::running) return tree;
  if (now_ms >= taking.rebalance_ms)
    tree["latest/meta-data/events/recommendations/rebalance"] =
        fmt::format(R"({{"noticeTime":"{}"}})", os::iso_time(taking.rebalance_ms));
  if (now_ms < taking.notice_ms) return tree;
  const auto time = os::iso_time(taking.gone_ms);
  tree["latest/meta-data/spot/instance-action"] = fmt::format(R"({{"action":"terminate","time":"{}"}})", time);
  tree["latest/meta-data/spot/termination-time"] = time;
  return tree;
}

std::int64_t next_spot_change(const Instance& instance, std::int64_t now_ms) {
  if (instance.phase != Phase::running) return 0;
  for (const auto at : {instance.taking.rebalance_ms, instance.taking.notice_ms, instance.taking.gone_ms})
    if (at > now_ms) return at;
  return 0;
}

bool is_due(const Instance& instance, std::int64_t now_ms) {
  return instance.taking.gone_ms != 0 && now_ms >= instance.taking.gone_ms;
}

std::string spot_price_at(const InstanceType& type, const std::string& zone, const std::optional<Market>& market,
                          std::int64_t ms) {
  const auto usual = spot_price(type, zone);
  const auto price = parse_usd(usual);
  if (!market || usual.empty() || !price) return usual;
  const auto place = fmt::format("{} {} {}", market->seed, type.name, zone);
  const auto moved = static_cast<double>(price->micros) * market_factor(place, ms / market->step_ms);
  const auto highest = parse_usd(type.on_demand);
  const auto most = highest ? std::max(highest->micros, price->micros) : 2 * price->micros;
  const auto micros = std::clamp(static_cast<std::int64_t>(moved), price->micros / 2, most);
  return fmt::format("{}.{:06}", micros / 1'000'000, micros % 1'000'000);
}

bool plan_interruptions(State& state, const Faults& faults, std::int64_t now_ms, std::int64_t notice_ms) {
  bool changed = false;
  for (auto& [id, instance] : state.instances) {
    if (!is_spot_and_runs(instance) || instance.taking.gone_ms != 0) continue;
    const auto cause = cause_of(instance, faults, now_ms);
    // The recommendation comes a little earlier.
    if (!cause.empty()) changed = take_back(instance, now_ms, notice_ms / 4, notice_ms, cause) || changed;
  }
  return changed;
}

}  // namespace ferry::rehearsal
