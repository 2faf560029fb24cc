#pragma once
/// \file
/// Output that the disk refuses, in memory until it takes it, or for who reads it meanwhile.
///
/// At most `most` bytes are held, counted exactly. What is beyond that goes: first what somebody has read,
/// the oldest first; then, of what nobody has, all but the first `first` and the newest bytes. In their place
/// stands one line that says how many there were. It counts as output, like everything else here, so that the
/// numbers of bytes have no gap; they change only behind what anybody was given, and the end never goes back.

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

#include "agent/protocol.h"

namespace ferry::agent {

/// The most bytes of output in one piece.
inline constexpr std::size_t max_record_bytes = 65536;

class Backlog {
 public:
  static constexpr std::size_t most = std::size_t{1} << 20, first = 16 * 1024;

  bool empty() const { return begin_ == end(); }
  /// Offsets of the first byte held and one past the last one.
  std::uint64_t begin() const { return begin_; }
  std::uint64_t end() const { return begin_ + head_bytes_ + marker_.size() + tail_bytes_; }
  /// Bytes that went although nobody had read them, ever.
  std::uint64_t dropped() const { return dropped_; }

  /// Where the next byte that is added stands; only while it is empty.
  void begin_at(std::uint64_t offset) { begin_ = offset; }
  /// `why` is told where bytes are missing.
  void add(LogStream stream, LogPhase phase, std::int64_t time_ms, std::string_view bytes, std::string_view why);
  /// Appends log frames from `offset` on, which is not before begin(), until `out` has `enough` bytes, and
  /// moves `offset` behind them. What was read once keeps its place.
  void read(std::uint64_t& offset, std::size_t enough, std::string& out);
  /// Its first piece, of at most max_record_bytes; not while it is empty.
  LogChunk front() const;
  /// That one is on disk.
  void pop_front();

 private:
  struct Piece {
    LogStream stream = LogStream::out;
    LogPhase phase = LogPhase::run;
    std::int64_t time_ms = 0;
    std::string bytes;
  };
  using Pieces = std::deque<Piece>;
  static void cut_front(Pieces& pieces, std::size_t count);
  void shrink(std::string_view why);
  void split();
  Piece marker() const;
  void keep_marker();

  std::uint64_t begin_ = 0, seen_ = 0, dropped_ = 0;
  Pieces head_, tail_;  ///< before and behind the marker; without one, all is in head_
  std::size_t head_bytes_ = 0, tail_bytes_ = 0;
  std::string marker_;      ///< empty: nothing is missing
  std::uint64_t gone_ = 0;  ///< bytes that it stands for
};

}  // namespace ferry::agent
