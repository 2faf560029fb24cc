#include "mux/widening.h"

#include <numeric>

#include "mux/frame.h"

namespace ferry::mux {

namespace {

/// Of the 2 MiB that an ssh may have under way; 2.0 MB were measured at 60 and at 120 ms.
constexpr double full_bytes = 1'600'000;
/// In less time one ssh moves 100 MB/s.
constexpr std::int64_t shortest_trip_ms = 20;
constexpr std::size_t sure_after = 3;  // seconds
constexpr int not_counted = 2;         // of a trial's: TCP begins slowly
constexpr std::size_t counted = 3;
constexpr double worthwhile = 1.15;
/// Of the rate before: whoever sends less has nothing to send, unless that is held up.
constexpr double idle = 0.1;

}  // namespace

Widening::Do Widening::look(std::int64_t now_ms, std::uint64_t sent, std::uint64_t received, bool is_held_up) {
  const auto seconds = static_cast<double>(std::max<std::int64_t>(1, now_ms - looked_ms_)) / 1000;
  const auto most = std::max(sent - sent_, received - received_);
  looked_ms_ = now_ms;
  sent_ = sent;
  received_ = received;
  return is_over_ || is_asked_ ? Do::nothing : judge(static_cast<double>(most) / seconds, is_held_up);
}

Widening::Do Widening::judge(double rate, bool is_held_up) {
  if (is_trial_) {
    if (rate < before_ * idle && !is_held_up) return Do::nothing;
    if (++seconds_ > not_counted) rates_.push_back(rate);
    if (rates_.size() < counted) return Do::nothing;
    // The middle one: in the last second what was to be sent may have ended.
    std::ranges::sort(rates_);
    is_over_ = rates_[counted / 2] < before_ * worthwhile;
    is_trial_ = false;
    seconds_ = 0;
    rates_.clear();
    if (is_over_) return Do::leave;
    is_over_ = ++links_ == static_cast<int>(most_links);
    return Do::nothing;
  }
  const auto trip_ms = trip_ms_.value_or(0);
  const bool is_full = trip_ms >= shortest_trip_ms && rate * static_cast<double>(trip_ms) / 1000 >= full_bytes * links_;
  if (!is_full) rates_.clear();
  if (is_full) rates_.push_back(rate);
  if (rates_.size() < sure_after) return Do::nothing;
  before_ = std::accumulate(rates_.begin(), rates_.end(), 0.0) / sure_after;
  rates_.clear();
  is_asked_ = true;
  return Do::open;
}

void Widening::opened() {
  is_asked_ = false;
  is_trial_ = true;
}

}  // namespace ferry::mux
