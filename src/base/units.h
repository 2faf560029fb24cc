#pragma once
/// \file
/// Money, sizes and durations: how they are held, read and shown.

#include <chrono>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace ferry {

using Seconds = std::chrono::seconds;
using Millis = std::chrono::milliseconds;

/// US dollars in millionths. Prices are per hour where a name says so.
struct Usd {
  std::int64_t micros = 0;
  auto operator<=>(const Usd&) const = default;
  Usd operator+(Usd other) const { return {micros + other.micros}; }
};

/// Cost of `time` at `hourly`, rounded up to the millionth.
Usd cost(Usd hourly, Millis time);

/// "$1.31", "$0.0416", "$0.0004": two digits from a dollar up, otherwise four (more if all would be zero).
std::string show(Usd money);

/// "$0.19", "$25.64": whole cents, rounded up; for what something costs at most.
std::string show_at_most(Usd money);

/// A price an hour: "$0.0416", "$1.006", "$21.96", as AWS lists them.
std::string show_hourly(Usd price);

/// Reads "0.0416" or "$3" exactly; more than six decimals are rounded up.
Result<Usd> parse_usd(std::string_view text);

/// "0 B", "412 KB", "1.1 MB": decimal units, one digit below 10.
std::string show_bytes(std::uint64_t bytes);

/// "40 ms", "1.2 s" below ten seconds; "00:31", "1:02:09" above.
std::string show_duration(Millis time);

/// "90" (seconds), "45s", "1.5h", "2 hours", "1w", "1h30m", "1:30:00", "1-12:00:00" (a day and a half). Must be
/// positive and at most 365 days.
Result<Seconds> parse_duration(std::string_view text);

}  // namespace ferry
