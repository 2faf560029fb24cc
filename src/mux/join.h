#pragma once
/// \file
/// How another ssh of the laptop's becomes a link of a connection that is there: on the machine `ferry-agent mux-join
/// TOKEN` hands its standard input and output over to the `ferry-agent mux` that made the token.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "os/fd.h"

namespace ferry::mux {

/// Whether `text` may be a token: 48 hexadecimal digits, of which 16 name a socket and the rest are its secret.
bool is_token(std::string_view text);
/// A line of its own, the last before the frames of a link: its server has it.
std::string joined_line(std::string_view token);

/// What is handed over. `keeper` is the program that did: it ends when this is closed.
struct Joined {
  os::Fd in, out, keeper;
};

/// One token and the socket that it names: an abstract one (unix(7)), which has no file and ends with this object. It
/// takes one link, from a program of the same user that says the whole secret (128 bits), within the limit.
class Joining {
 public:
  /// Fails io when there can be no socket.
  static Result<Joining> listen();
  const std::string& token() const { return token_; }
  /// Readable when take() may have something to do.
  int fd() const { return caller_ ? caller_.get() : listener_.get(); }
  /// Of Clock::steady_ms(): nobody is let in any more.
  std::int64_t end_ms() const { return end_ms_; }
  /// Never waits. The link, once, on which joined_line() was said; whoever may not join is let go of without a word.
  std::optional<Joined> take();

 private:
  Joining() = default;
  std::string token_;
  os::Fd listener_, caller_;
  std::int64_t end_ms_ = 0;
};

/// `ferry-agent mux-join`: hands `in` and `out` over, closes them here, and returns when the server lets go of them or
/// ends. Fails bad_input for what is no token, lost when nobody waits for it, denied when that is another user's.
Status join(const std::string& token, int in, int out);

}  // namespace ferry::mux
