// How old a price is.
#include <chrono>

#include "base/text.h"
#include "plan/plan.h"

namespace ferry::plan {
namespace {

/// "2026-01-31", or the last day of "2026-01".
std::optional<std::chrono::sys_days> day_of(std::string_view date) {
  using namespace std::chrono;
  const auto parts = split(date, '-');
  if (parts.size() != 2 && parts.size() != 3) return std::nullopt;
  const auto year_number = parse_int(parts[0]), month_number = parse_int(parts[1]),
             day_number = parts.size() == 3 ? parse_int(parts[2]) : std::optional<std::int64_t>(1);
  if (!year_number || !month_number || !day_number || *year_number > 9999) return std::nullopt;
  const year_month in(year(static_cast<int>(*year_number)), month(static_cast<unsigned>(*month_number)));
  if (!in.ok()) return std::nullopt;
  if (parts.size() == 2) return sys_days(in / last);
  const auto one = in / day(static_cast<unsigned>(*day_number));
  return one.ok() ? std::optional(sys_days(one)) : std::nullopt;
}

}  // namespace

bool is_old_price(std::string_view date, std::string_view today) {
  constexpr std::chrono::days most(90);
  const auto then = day_of(date), now = day_of(today);
  return then && now && *now - *then > most;
}

}  // namespace ferry::plan
