#pragma once
/// \file
/// When a connection opens another link, and whether that one stays: by what was measured, and never otherwise.
///
/// One ssh has 2 MiB under way at most, the window of its channel (OpenSSH, channels.h: CHAN_SES_WINDOW_DEFAULT): over
/// a way of 60 ms some 30 MB/s, whatever the line could do. Once for three seconds nearly so much was under way,
/// another link is opened. If with it a seventh more goes over, it stays, and a third one may be tried; if not, it is
/// left, and nothing is tried again.

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

namespace ferry::mux {

/// Pure: it is told what went over and what time it is, and says what is to be done. One way, up or down, is judged:
/// the one that more goes over.
class Widening {
 public:
  enum class Do { nothing, open, leave };

  static constexpr std::int64_t look_every_ms = 1000;

  /// A word went over and came back.
  void answered(std::int64_t took_ms) {
    trip_ms_ = std::min(trip_ms_.value_or(took_ms), std::max<std::int64_t>(1, took_ms));
  }
  /// Each look_every_ms or later. `sent`, `received`: bytes, since the beginning; `is_held_up`: something waits, so
  /// that what does not go over is the links' fault.
  Do look(std::int64_t now_ms, std::uint64_t sent, std::uint64_t received, bool is_held_up);
  /// What look() has asked for is there; or it could not be had, and is not asked for again.
  void opened();
  void failed() { is_over_ = true; }
  /// Nothing is asked for any more.
  bool is_over() const { return is_over_; }
  /// So much went over in the last seconds that how long a word takes is worth measuring again.
  bool is_watching() const { return !rates_.empty(); }

 private:
  Do judge(double rate, bool is_held_up);

  std::optional<std::int64_t> trip_ms_;  // the shortest: what waits at either end is no part of the way
  std::int64_t looked_ms_ = 0;
  std::uint64_t sent_ = 0, received_ = 0;
  int links_ = 1;
  std::vector<double> rates_;  // in bytes a second: of seconds in which the links were full; of a trial's that count
  double before_ = 0;          // the rate when another link was asked for
  int seconds_ = 0;            // of a trial
  bool is_asked_ = false, is_trial_ = false, is_over_ = false;
};

}  // namespace ferry::mux
