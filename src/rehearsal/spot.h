#pragma once
/// \file
/// How spot machines are taken back: by command, at a rate, by a market whose prices a seed makes; and what their
/// metadata says before. What was decided is in the state: another server goes on with it.

#include <string>
#include <vector>

#include "rehearsal/catalog.h"
#include "rehearsal/faults.h"
#include "rehearsal/model.h"

namespace ferry::rehearsal {

/// EC2's two minutes; a rehearsal may have less (SpotRules).
constexpr std::int64_t usual_spot_notice_ms = 120'000;

/// Plans the end of a running spot machine: the recommendation to rebalance now, the notice `lead_ms` later, the end
/// `notice_ms` after that. False, and nothing changed, where it is no running spot machine, or is being taken already.
bool take_back(Instance& instance, std::int64_t now_ms, std::int64_t lead_ms, std::int64_t notice_ms,
               const std::string& cause);

/// What its metadata says of that at `now_ms`, path → text.
Json spot_metadata(const Instance& instance, std::int64_t now_ms);
/// When that, or its state, changes next after `now_ms`; 0: not by time.
std::int64_t next_spot_change(const Instance& instance, std::int64_t now_ms);
bool is_due(const Instance& instance, std::int64_t now_ms);

/// The price of a spot machine at a time: the catalog's, or what the market (Faults::market) makes of it. It changes at
/// the multiples of the market's step, between half the catalog's price and what the machine costs on demand. "" where
/// there is none.
std::string spot_price_at(const InstanceType& type, const std::string& zone, const std::optional<Market>& market,
                          std::int64_t ms);

struct PricePoint {
  std::int64_t ms = 0;
  std::string price;
};
/// From then to then, newest first; at least one.
std::vector<PricePoint> price_points(const InstanceType& type, const std::string& zone,
                                     const std::optional<Market>& market, std::int64_t from_ms, std::int64_t until_ms);

/// Takes back what the rate and the market say. False where there was nothing to do.
bool plan_interruptions(State& state, const Faults& faults, std::int64_t now_ms, std::int64_t notice_ms);

}  // namespace ferry::rehearsal
