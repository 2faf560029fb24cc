#include "plan/outlook.h"

#include <algorithm>
#include <cmath>

#include "base/text.h"

namespace ferry::plan {
namespace {

constexpr double hours_a_month = 730;

/// How long a price held.
struct Held {
  Usd hourly;
  std::int64_t ms = 0;
};

Usd median_of(std::vector<Held> held) {
  std::ranges::sort(held, {}, [](const Held& one) { return one.hourly.micros; });
  std::int64_t all = 0, so_far = 0;
  for (const auto& one : held) all += one.ms;
  for (const auto& one : held) {
    so_far += one.ms;
    if (so_far * 2 >= all) return one.hourly;
  }
  return held.back().hourly;
}

Usd price_at(const std::vector<PricePoint>& points, std::int64_t ms) {
  const auto after = std::ranges::upper_bound(points, ms, {}, &PricePoint::since_ms);
  return after == points.begin() ? points.front().hourly : std::prev(after)->hourly;
}

}  // namespace

std::optional<PriceHistory> price_history(std::vector<PricePoint> points, std::int64_t from_ms, std::int64_t until_ms,
                                          std::size_t parts) {
  std::erase_if(points, [&](const PricePoint& one) { return one.since_ms > until_ms; });
  if (points.empty() || from_ms >= until_ms) return std::nullopt;
  std::ranges::stable_sort(points, {}, &PricePoint::since_ms);
  PriceHistory history;
  history.from_ms = std::max(from_ms, points.front().since_ms);
  history.now = history.least = history.most = points.back().hourly;
  std::vector<Held> held;
  for (std::size_t i = 0; i < points.size(); ++i) {
    const auto end = i + 1 < points.size() ? points[i + 1].since_ms : until_ms;
    const bool is_last = i + 1 == points.size();
    if (end <= history.from_ms && !is_last) continue;
    const Usd price = points[i].hourly;
    if (!held.empty() && held.back().hourly != price) ++history.changes;
    held.push_back({price, end - std::max(points[i].since_ms, history.from_ms)});
    history.least = std::min(history.least, price);
    history.most = std::max(history.most, price);
  }
  history.median = median_of(held);
  const auto time = until_ms - history.from_ms;
  for (std::size_t i = 1; i <= parts; ++i)
    history.line.push_back(
        price_at(points, history.from_ms + time / static_cast<std::int64_t>(parts) * static_cast<std::int64_t>(i)));
  return history;
}

std::optional<InterruptionBand> parse_band(std::string_view label) {
  label = trim(label);
  if (!label.ends_with('%')) return std::nullopt;
  label.remove_suffix(1);
  const auto percent = [](std::string_view text) -> std::optional<int> {
    const auto number = parse_int(text);
    return number && *number >= 0 && *number <= 100 ? std::optional(static_cast<int>(*number)) : std::nullopt;
  };
  const bool is_open = label.starts_with('>'), is_lowest = label.starts_with('<');
  if (is_open || is_lowest) {
    const auto bound = percent(label.substr(1));
    if (!bound) return std::nullopt;
    return is_open ? InterruptionBand{*bound, std::nullopt} : InterruptionBand{0, bound};
  }
  const auto dash = label.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const auto least = percent(label.substr(0, dash)), most = percent(label.substr(dash + 1));
  if (!least || !most || *least > *most) return std::nullopt;
  return InterruptionBand{*least, most};
}

std::string show(const InterruptionBand& band) {
  if (!band.most) return fmt::format(">{}%", band.least);
  return band.least == 0 ? fmt::format("<{}%", *band.most) : fmt::format("{}-{}%", band.least, *band.most);
}

double hourly_hazard(const InterruptionBand& band) {
  const int percent = band.most.value_or(std::max(band.least, percent_of_the_open_band));
  return -std::log1p(-std::min(percent, 99) / 100.0) / hours_a_month;
}

std::optional<Expected> expect(Usd an_hour, double hazard, Seconds work, const RestartTerms& terms) {
  constexpr double hour = 3600;
  const double again = hazard * static_cast<double>((terms.start + terms.lost).count()) / hour;
  if (!(again < 1) || hazard < 0) return std::nullopt;
  Expected out;
  out.interruptions = hazard * static_cast<double>((terms.start + work).count()) / hour / (1 - again);
  const double seconds = static_cast<double>((terms.start + work).count()) +
                         out.interruptions * static_cast<double>((terms.start + terms.lost).count());
  out.machine_time = Seconds(std::llround(seconds));
  out.cost = Usd{std::llround(static_cast<double>(an_hour.micros) * seconds / hour)};
  return out;
}

}  // namespace ferry::plan
