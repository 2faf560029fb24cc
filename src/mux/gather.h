#pragma once
/// \file
/// Bytes of one direction of a stream, in their order again, when they came by more than one link.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/error.h"

namespace ferry::mux {

/// The peer may be hostile: what is held of early bytes is no more than its credit, and in no more pieces than
/// most_pieces().
class Gather {
 public:
  /// `bytes` come behind `at` others; `room`: so many more may be sent, these included. What is in order now is added
  /// to `out`. Fails corrupt for bytes that came already, or lie beyond the room.
  Status add(std::uint64_t at, std::string_view bytes, std::uint64_t room, std::string& out);
  /// So many have come in order.
  std::uint64_t next() const { return next_; }
  /// Whether some have come that others have to come before.
  bool has_early() const { return !early_.empty(); }

  /// Neighbours that come one after the other are one piece, and only what waits for another link is in several: of an
  /// honest sender some 250 a link (engine.cc, least_striped).
  static constexpr std::size_t most_pieces = 4096;

 private:
  std::uint64_t next_ = 0, early_size_ = 0;
  std::map<std::uint64_t, std::string> early_;  // by where they begin
};

}  // namespace ferry::mux
