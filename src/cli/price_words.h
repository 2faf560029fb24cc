#pragma once
/// \file
/// How prices and sizes of machines are shown: ferry plan and ferry gpus.

#include <optional>
#include <set>
#include <string>

#include "base/json.h"
#include "base/units.h"
#include "plan/plan.h"

namespace ferry::cli {

inline Json money(const std::optional<Usd>& usd) { return usd ? Json(static_cast<double>(usd->micros) / 1e6) : Json(); }

inline std::string gib(std::int64_t mib) { return fmt::format("{} GiB", (mib + 512) / 1024); }

/// With a mark where the price is old.
inline std::string hourly(const std::optional<Usd>& usd, bool old = false) {
  return usd ? show_hourly(*usd) + (old ? "*" : "") : "?";
}

/// What the mark means.
inline std::string old_price_line() { return fmt::format("* {}", plan::old_price_words); }

/// "2025-10", or "2025-10 to 2026-11-23" where they are not all of the same day; empty for none. ISO dates sort as
/// texts.
inline std::string span_of(std::set<std::string> dates) {
  dates.erase("");
  if (dates.empty()) return "";
  return dates.size() == 1 ? *dates.begin() : *dates.begin() + " to " + *dates.rbegin();
}

}  // namespace ferry::cli
