#include "os/clock.h"

#include <fmt/format.h>
#include <time.h>

namespace ferry::os {

namespace {

std::int64_t read_clock(clockid_t id) {
  timespec now;
  ::clock_gettime(id, &now);
  return static_cast<std::int64_t>(now.tv_sec) * 1000 + now.tv_nsec / 1'000'000;
}

class SystemClock final : public Clock {
 public:
  std::int64_t now_ms() override { return read_clock(CLOCK_REALTIME); }
  std::int64_t steady_ms() override { return read_clock(CLOCK_MONOTONIC); }
  void sleep(Millis time) override {
    if (time.count() <= 0) return;
    timespec left{static_cast<time_t>(time.count() / 1000), static_cast<long>(time.count() % 1000 * 1'000'000)};
    while (::nanosleep(&left, &left) < 0) {
    }
  }
};

}  // namespace

Clock& system_clock() {
  static SystemClock clock;
  return clock;
}

std::string iso_time(std::int64_t ms, bool millis) {
  const time_t seconds = static_cast<time_t>(ms / 1000);
  tm parts{};
  ::gmtime_r(&seconds, &parts);
  auto text = fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
                          parts.tm_hour, parts.tm_min, parts.tm_sec);
  if (millis) text += fmt::format(".{:03}", ms % 1000);
  return text + "Z";
}

}  // namespace ferry::os
