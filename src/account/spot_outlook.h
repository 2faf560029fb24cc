#pragma once
/// \file
/// What is known of the spot machines that a plan would take, asked of EC2: their prices of the last days, how likely a
/// request is to succeed, how often AWS takes them back, and what the training then costs. Reads only.

#include <functional>
#include <string>
#include <vector>

#include "fleet/planning.h"
#include "plan/outlook.h"

namespace ferry::account {

struct ZoneOutlook {
  std::string zone;
  plan::PriceHistory prices;
};

/// Of one type in one region.
struct OfferOutlook {
  std::string type, region;
  std::vector<ZoneOutlook> zones;  ///< by name; none: the history is not known
  std::optional<plan::InterruptionBand> band;
  std::optional<Usd> hourly;           ///< by which it is expected: the lowest price now, else the plan's
  std::optional<plan::Expected> spot;  ///< of all machines of the task, disk and address with it. Where the band is
                                       ///< not known, without interruptions
  std::optional<Usd> on_demand_hourly;
  std::optional<Usd> on_demand;  ///< the same training there
};

struct PlacementScore {
  std::string region, zone;  ///< the zone's name, or its id where EC2 does not tell the name
  int score = 0;             ///< 1 to 10
};

struct SpotOutlook {
  int days = 7;  ///< of history
  std::int64_t asked_ms = 0;
  Seconds work{0};           ///< of training that is counted with
  bool is_estimate = false;  ///< that is the task's own estimate, else the most it may take
  plan::RestartTerms terms;
  std::string advisor_date;               ///< when the bands were fetched; empty: never
  std::vector<OfferOutlook> offers;       ///< at most three, in the plan's order; none: there are no spot offers
  std::vector<std::string> scored_types;  ///< for all of which together the scores are; sorted
  std::vector<PlacementScore> scores;     ///< best first
  std::vector<std::string> problems;      ///< one line for each thing that could not be had
};

/// For the best spot offers of `planned`. Never fails: what cannot be had is said. `rehearsal` starts the rehearsal
/// cloud, for a plan there.
SpotOutlook spot_outlook(const task::Task& task, const fleet::Planned& planned, os::HttpClient& http, os::Clock& clock,
                         const std::function<Result<cloud::AwsContext>()>& rehearsal);

}  // namespace ferry::account
