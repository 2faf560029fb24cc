#pragma once
/// \file
/// What may be expected of spot machines: how their price went, how often AWS takes them back, and what a training then
/// costs. Pure. What a run can cost at most is another number (most()), which none of this changes.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/units.h"

namespace ferry::plan {

/// A price that holds from then on, until the next one.
struct PricePoint {
  std::int64_t since_ms = 0;
  Usd hourly;
};

/// How a price went from `from_ms` on, where that is known from then on, else from where it is known.
struct PriceHistory {
  std::int64_t from_ms = 0;
  Usd now, least, most;
  Usd median;             ///< by time: half of it the price was no higher
  int changes = 0;        ///< how often it became another one
  std::vector<Usd> line;  ///< the price at the end of each of equal parts of the time, for a small picture
};

/// Of one type in one zone, in any order, between these times. Nothing where no price is known. `parts`: of the line.
std::optional<PriceHistory> price_history(std::vector<PricePoint> points, std::int64_t from_ms, std::int64_t until_ms,
                                          std::size_t parts = 24);

/// How many of a hundred spot machines of a type AWS took back in the last month, as its Spot Advisor tells it.
struct InterruptionBand {
  int least = 0;
  std::optional<int> most;  ///< nothing: the band has no upper end
};
/// Of the advisor's label: "<5%", "5-10%", ">20%"; nothing for what is none.
std::optional<InterruptionBand> parse_band(std::string_view label);
std::string show(const InterruptionBand& band);

/// Above its last bound, 20 of a hundred, the advisor says nothing; so many are counted then.
inline constexpr int percent_of_the_open_band = 50;
/// How often a machine that runs is taken back, an hour: the p of a hundred that are taken in a month of 730 hours, as
/// a constant hazard h = -ln(1 - p/100) / 730. p is the upper end of the band.
double hourly_hazard(const InterruptionBand& band);

/// What each start of a machine, and each interruption, costs in time. Assumptions, and shown as such.
struct RestartTerms {
  Seconds start{300};  ///< to boot, to be reached, to be set up: before the training trains again
  Seconds lost{900};   ///< trained since the last checkpoint: half of the half hour between two
};

/// What is to be expected, on average, of one training.
struct Expected {
  double interruptions = 0;
  Seconds machine_time{0};  ///< of all machines, one after the other
  Usd cost;
};
/// A training that needs `work`, with checkpoints, on machines that are taken back `hazard` times an hour that they run
/// and that cost `an_hour`, all told. Each interruption adds what is lost and another start, in which there may be
/// interruptions, too; so with N of them the machines run M = start + work + N (start + lost), and N = hazard M:
///     N = hazard (start + work) / (1 - hazard (start + lost))
/// Nothing where interruptions come faster than a machine gets on: hazard (start + lost) >= 1.
std::optional<Expected> expect(Usd an_hour, double hazard, Seconds work, const RestartTerms& terms = {});

}  // namespace ferry::plan
