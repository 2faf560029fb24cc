#pragma once
/// \file
/// Waiting for a cloud. Internal to this room.

#include "run/doors.h"

namespace ferry::run {

/// Waits with growing steps until `done` gives something, or the limit passes, or the person cancels.
template <class Done>
Status poll_until(Doors& doors, Seconds limit, bool may_cancel, const std::string& what, Done done) {
  const auto end = doors.clock.steady_ms() + limit.count() * 1000;
  constexpr Millis first{50}, most{2000};
  for (auto nap = first;; nap = std::min(nap * 2, most)) {
    TRY_SET(finished, "", done());
    if (finished) return {};
    if (may_cancel && doors.check_signals(false) == Wish::cancel) return fail(Kind::cancelled, "cancelled");
    if (doors.clock.steady_ms() > end) {
      return fail(Kind::timeout, fmt::format("{} not within {}", what, show_duration(limit)));
    }
    doors.clock.sleep(nap);
  }
}

}  // namespace ferry::run
