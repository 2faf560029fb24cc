#include "base/units.h"

#include <fmt/format.h>

#include <cmath>

#include "base/text.h"

namespace ferry {

Usd cost(Usd hourly, Millis time) {
  constexpr std::int64_t hour = 3'600'000;
  const auto ms = std::max<std::int64_t>(0, time.count());
  return {(hourly.micros / hour) * ms + ((hourly.micros % hour) * ms + hour - 1) / hour};
}

std::string show(Usd money) {
  const double dollars = static_cast<double>(money.micros) / 1e6;
  if (money.micros == 0) return "$0.00";
  if (std::abs(dollars) >= 1) return fmt::format("${:.2f}", dollars);
  if (std::abs(money.micros) >= 50) return fmt::format("${:.4f}", dollars);
  return fmt::format("${:.6f}", dollars);
}

std::string show_at_most(Usd money) {
  const auto cents = (money.micros + 9'999) / 10'000;
  return fmt::format("${}.{:02}", cents / 100, cents % 100);
}

std::string show_hourly(Usd price) {
  if (price.micros < 1'000'000) return show(price);
  std::string text = fmt::format("${:.4f}", static_cast<double>(price.micros) / 1e6);
  while (text.ends_with('0') && text[text.size() - 3] != '.') text.pop_back();
  return text;
}

Result<Usd> parse_usd(std::string_view text) {
  const auto bad = [&] {
    return fail(Kind::bad_input, fmt::format("not an amount of dollars: '{}'", text), {}, "write it like 5 or 2.50");
  };
  std::string_view rest = text;
  if (rest.starts_with('$')) rest.remove_prefix(1);
  std::int64_t whole = 0, micros = 0, unit = 1'000'000;
  std::size_t digits = 0;
  bool point = false, more = false;
  for (const char c : rest) {
    if (c == '.' && !point) {
      point = true;
    } else if (c >= '0' && c <= '9') {
      ++digits;
      if (!point) {
        whole = whole * 10 + (c - '0');
        if (whole > 1'000'000'000) return bad();
      } else if (unit > 1) {
        unit /= 10;
        micros += unit * (c - '0');
      } else {
        more |= c != '0';
      }
    } else {
      return bad();
    }
  }
  if (digits == 0) return bad();
  return Usd{whole * 1'000'000 + micros + (more ? 1 : 0)};
}

std::string show_bytes(std::uint64_t bytes) {
  constexpr const char* units[] = {"B", "KB", "MB", "GB", "TB", "PB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 999.5 && unit + 1 < std::size(units)) {
    value /= 1000;
    ++unit;
  }
  if (unit == 0 || value >= 9.95) return fmt::format("{:.0f} {}", value, units[unit]);
  return fmt::format("{:.1f} {}", value, units[unit]);
}

std::string show_duration(Millis time) {
  const auto ms = std::max<std::int64_t>(0, time.count());
  if (ms < 1000) return fmt::format("{} ms", ms);
  if (ms < 10'000) return fmt::format("{}.{} s", ms / 1000, ms % 1000 / 100);
  const auto s = ms / 1000;
  if (s < 3600) return fmt::format("{:02}:{:02}", s / 60, s % 60);
  return fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
}

namespace {

/// Of a duration's unit, as people abbreviate it or write it out; 0 if it is none.
std::int64_t seconds_in(std::string_view unit) {
  if (unit.size() > 2 && unit.ends_with('s')) unit.remove_suffix(1);
  if (unit == "s" || unit == "sec" || unit == "second") return 1;
  if (unit == "m" || unit == "min" || unit == "minute") return 60;
  if (unit == "h" || unit == "hr" || unit == "hour") return 3600;
  if (unit == "d" || unit == "day") return 86'400;
  if (unit == "w" || unit == "week") return 7 * 86'400;
  return 0;
}

/// Takes what fits off the front of `text`.
template <class Fits>
std::string_view take(std::string_view& text, Fits fits) {
  std::size_t end = 0;
  while (end < text.size() && fits(text[end])) ++end;
  const auto taken = text.substr(0, end);
  text.remove_prefix(end);
  return taken;
}

}  // namespace

namespace {

/// "1:30:00" as show_duration() writes it and Slurm reads it, also "1-12:00:00" with days; nothing for anything else.
std::optional<std::int64_t> parse_clock(std::string_view text) {
  const auto number = [](std::string_view digits, std::int64_t below) {
    const bool is_plain =
        !digits.empty() && digits.size() <= 5 && digits.find_first_not_of("0123456789") == digits.npos;
    const auto value = is_plain ? parse_int(digits) : std::nullopt;
    return value && *value < below ? value : std::nullopt;
  };
  std::optional<std::int64_t> days = 0;
  if (const auto dash = text.find('-'); dash != text.npos) {
    days = number(text.substr(0, dash), 1000);
    text.remove_prefix(dash + 1);
  }
  const auto parts = split(text, ':');
  if (!days || parts.size() != 3 || parts[1].size() != 2 || parts[2].size() != 2) return std::nullopt;
  const auto hours = number(parts[0], 100'000), minutes = number(parts[1], 60), seconds = number(parts[2], 60);
  if (!hours || !minutes || !seconds) return std::nullopt;
  return ((*days * 24 + *hours) * 60 + *minutes) * 60 + *seconds;
}

}  // namespace

Result<Seconds> parse_duration(std::string_view text) {
  const auto bad = [&](std::string why) {
    return fail(Kind::bad_input, fmt::format("not a duration: '{}'", text), std::move(why),
                "write it like 90m, 2h, 1.5h, 1d, 1h30m or 1:30:00 (a bare number is seconds)");
  };
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  const auto is_letter = [](char c) { return c >= 'a' && c <= 'z'; };
  const auto is_space = [](char c) { return c == ' '; };
  std::int64_t total_ms = 0;
  bool unit_seen = false;
  auto rest = text;
  if (const auto clock = parse_clock(text)) {
    total_ms = *clock * 1000;
    rest = {};
  }
  take(rest, is_space);
  while (!rest.empty()) {
    const auto whole = take(rest, is_digit);
    std::string_view part;
    if (rest.starts_with('.')) {
      rest.remove_prefix(1);
      part = take(rest, is_digit);
      if (part.empty()) return bad({});
    }
    if (whole.empty() || part.size() > 3) return bad({});
    if (whole.size() > 9) return bad("the number is too large");
    take(rest, is_space);
    const auto unit = take(rest, is_letter);
    take(rest, is_space);
    const auto seconds = unit.empty() ? 1 : seconds_in(unit);
    if (seconds == 0) return bad({});
    if (unit.empty() && (unit_seen || !rest.empty() || !part.empty()))
      return bad(unit_seen ? "the last number has no unit" : "");
    unit_seen = true;
    std::int64_t thousandths = 0;
    for (const char c : std::string(whole) + (std::string(part) + "000").substr(0, 3))
      thousandths = thousandths * 10 + (c - '0');
    total_ms += thousandths * seconds;
  }
  const auto total = total_ms / 1000;
  if (total <= 0) return bad(text.empty() ? "" : "it must be longer than zero");
  if (total > 365 * 86'400) return bad("it must be at most 365 days");
  return Seconds(total);
}

}  // namespace ferry
