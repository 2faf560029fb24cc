#pragma once
/// \file
/// One HTTP connection's socket, with the patience that its peer has left. Part of the library `http_server`.

#include <cstdint>
#include <limits>
#include <string_view>

#include "base/error.h"
#include "base/units.h"

namespace ferry::os {

/// On a non-blocking socket that outlives it. One thread. Waiting uses the patience up, each byte gives a
/// millisecond of it back; what fails is `timeout` then, `lost` when the connection broke.
class HttpWire {
 public:
  /// `end` becomes readable when the server ends; -1: never.
  HttpWire(int fd, int end, Millis silence) : fd_(fd), end_(end), silence_(silence), left_(silence) {}

  /// All of the patience again: something new is waited for.
  void be_patient() { left_ = silence_; }
  bool server_ends() const;
  /// At least one byte; 0 at the end of the stream. `lost` once the server ends.
  Result<std::size_t> receive(void* to, std::size_t room);
  /// All of it; `more`: the rest follows at once. Once the server ends it may take a second.
  Status send(std::string_view bytes, bool more = false);
  /// Ends it so that the peer can still read what was sent: closed with bytes unread, it would be reset.
  /// Takes five seconds at most.
  void leave();

 private:
  std::size_t earned(std::size_t bytes);
  void end_within(Millis limit);
  Status wait(short events);

  static constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();
  int fd_, end_;
  Millis silence_, left_;
  std::int64_t last_ms_ = never;  // on the steady clock: the connection ends then, whatever its peer does
};

}  // namespace ferry::os
