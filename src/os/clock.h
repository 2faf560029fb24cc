#pragma once
/// \file
/// The door to time. Code that waits or stamps takes a Clock&, so that tests own the time.

#include <chrono>
#include <cstdint>
#include <string>

#include "base/units.h"

namespace ferry::os {

class Clock {
 public:
  virtual ~Clock() = default;
  /// Milliseconds since 1970-01-01 UTC.
  virtual std::int64_t now_ms() = 0;
  /// Milliseconds from some fixed moment; never goes back.
  virtual std::int64_t steady_ms() = 0;
  virtual void sleep(Millis time) = 0;
};

/// The machine's own clock. Safe from any thread.
Clock& system_clock();

/// A clock that moves only when told (or when someone sleeps on it). One thread.
class FakeClock final : public Clock {
 public:
  std::int64_t now = 1'700'000'000'000;
  std::int64_t now_ms() override { return now; }
  std::int64_t steady_ms() override { return now; }
  void sleep(Millis time) override { now += time.count(); }
  void advance(Millis time) { now += time.count(); }
};

/// "2026-01-31T12:00:00Z"; with `millis`, "2026-01-31T12:00:00.000Z".
std::string iso_time(std::int64_t ms, bool millis = false);

}  // namespace ferry::os
