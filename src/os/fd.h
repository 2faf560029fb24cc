#pragma once
/// \file
/// One owner per descriptor, and the few things done with descriptors everywhere.

#include <chrono>
#include <string>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/units.h"

namespace ferry::os {

/// Owns a file descriptor; closes it when destroyed. Move only.
class Fd {
 public:
  explicit Fd(int fd = -1) noexcept : fd_(fd) {}
  Fd(Fd&& from) noexcept : fd_(std::exchange(from.fd_, -1)) {}
  Fd& operator=(Fd&& from) noexcept {
    std::swap(fd_, from.fd_);
    return *this;
  }
  ~Fd() { reset(); }
  int get() const noexcept { return fd_; }
  explicit operator bool() const noexcept { return fd_ >= 0; }
  void reset() noexcept;
  /// Gives the descriptor away without closing it.
  int release() noexcept { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

struct Pipe {
  Fd read, write;
};
/// Close-on-exec pipe.
Result<Pipe> make_pipe();
/// Close-on-exec pair of connected stream sockets.
Result<Pipe> make_socketpair();

/// Writes all of it, waiting as needed (also on a non-blocking descriptor). SIGPIPE is never raised for
/// sockets; for pipes ignore it once with ignore_sigpipe(). A closed peer is Kind::lost.
Status write_all(int fd, std::string_view bytes);
/// Reads what is there, at least one byte, at most `limit`; empty at the end of the stream. EAGAIN waits.
Result<std::string> read_some(int fd, std::size_t limit = 65536);
/// Reads exactly `size` bytes; a stream that ends before is Kind::lost.
Result<std::string> read_exactly(int fd, std::size_t size);
/// Reads to the end of the stream, or fails Kind::bad_input past `limit` bytes.
Result<std::string> read_to_end(int fd, std::size_t limit = std::size_t{1} << 30);

/// True once `fd` can be read (or is at its end), false when `limit` passed. Negative waits for ever.
bool wait_readable(int fd, Millis limit);
struct Waiting {
  bool one = false, other = false;
};
/// The same for two (a negative descriptor is left out): which of them can be read, or are at their end.
Waiting wait_readable(int one, int other, Millis limit);
Status set_nonblocking(int fd, bool on);
void ignore_sigpipe();

}  // namespace ferry::os
