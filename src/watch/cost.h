#pragma once
/// \file
/// What runs have cost, added up: the table of `ferry cost`. Pure, like report.h.

#include "watch/report.h"

namespace ferry::watch {

enum class CostBy { run, type, day };

struct CostLine {
  std::string key;   ///< run's name, instance type, or day (UTC, "2026-01-31")
  int launches = 0;  ///< machines that were rented
  ledger::Bill sum;  ///< data_out is left at zero here
  int unpriced = 0;  ///< of the launches, those whose price is unknown: they are not in `sum`
  std::int64_t bytes_out = 0;
};

struct CostReport {
  std::vector<CostLine> lines;  ///< runs: newest first; types: dearest first; days: newest first
  CostLine total;               ///< with what AWS bills for data out: beyond 100 GB a calendar month (UTC)
};

/// Of what was launched at or after `since_ms`. A day's line has what was launched on it.
CostReport cost_report(std::span<const RunView> runs, CostBy by, std::int64_t since_ms, std::int64_t now_ms);

/// RUN|TYPE|DAY LAUNCHES TIME MACHINE DISK ADDRESS TOTAL, and the sum.
/// Columns are left out where `width` (0: any) has no room for them.
std::string cost_table(const CostReport& report, CostBy by, std::size_t width = 0);
Json cost_json(const CostReport& report, CostBy by);

}  // namespace ferry::watch
