#pragma once
/// \file
/// The HTTP/1.1 server of whoever needs one: the rehearsal cloud, an instance's metadata. By Boost.Beast,
/// which parses requests and writes heads; what is ours is who waits, and for how long. One thread a
/// connection, none while nobody is connected. In the library `http_server`, apart from the rest of the room
/// (see CMakeLists.txt).

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/units.h"
#include "os/fd.h"

namespace ferry::os {

using HeaderLines = std::vector<std::pair<std::string, std::string>>;

/// The head of a request.
struct ServedRequest {
  std::string method;
  std::string target;   ///< byte for byte as it came: signatures cover it
  HeaderLines headers;  ///< names in lower case, values trimmed, in order, duplicates kept
  std::string peer;     ///< the other end's address, without its port; "" where it has none
  /// The first header of that (lower-case) name, or "".
  std::string header(std::string_view name) const;
};

/// The body of a request, as it comes; chunks (Transfer-Encoding) are taken apart, their trailers not looked
/// at. The first read of one that was announced by `Expect: 100-continue` sends `100 Continue`, so a handler
/// that refuses by the head alone never receives it.
class BodyReader {
 public:
  virtual ~BodyReader() = default;
  /// Content-Length (0 without any body); nothing for a chunked one.
  virtual std::optional<std::uint64_t> length() const = 0;
  /// Some bytes, or 0 at the end. Fails `lost` when the connection broke or ended early (or the server ends),
  /// `timeout` as ServerLimits::silence has it, `corrupt` for chunks that are none; and then again whenever
  /// it is asked.
  virtual Result<std::size_t> read(std::span<char> into) = 0;
  /// All of it; `bad_input` if it is longer than `most`, without reading on.
  Result<std::string> read_all(std::size_t most);
};

struct ServedReply {
  int status = 200;
  /// Content-Length and Connection are added. One's own Content-Length counts only in the answer to HEAD, and
  /// of Connection only "close".
  HeaderLines headers;
  std::string body;
  /// In place of `body`: `file_bytes` of it from `file_offset` on.
  Fd file;
  std::uint64_t file_offset = 0, file_bytes = 0;
  /// Instead of `body` and `file`: called until it returns 0 bytes, sent as chunks as they come. What it
  /// throws cuts the connection, so that nobody takes the part for the whole.
  std::function<std::size_t(std::span<char> into)> stream;
  bool drop = false;   ///< nothing is answered: the connection is closed
  bool close = false;  ///< answered, then closed
};

struct ServerLimits {
  std::size_t head_bytes = 64 << 10;  ///< a longer head is answered with 431
  /// For the next request, and for the next bytes of one or of an answer. Waiting uses it up and each byte
  /// gives a millisecond back: whoever sends or takes less than about 1 KB/s is left, however regularly the
  /// bytes come.
  Millis silence{30'000};
  unsigned connections = 256;  ///< more wait in the kernel's queue
};

/// Serves until the object goes: then the listener is closed, no request is read any more, an answer that is
/// being sent has one more second, and all threads have ended. (A handler that is at work is waited for.)
///
/// Refused, with a connection that is closed: what is no HTTP/1.x (400, 505), a head that is too long (431),
/// a body that two readers could understand in two ways (400 for Content-Length with Transfer-Encoding or for
/// lengths that differ, 501 for any other encoding than one `chunked`).
class HttpServer {
 public:
  /// Called from many threads at once. What it throws becomes a 500. A body that it did not read to its end
  /// is skipped up to 1 MiB; beyond that the connection is closed after the answer. To HEAD no body is sent,
  /// whatever the reply holds.
  using Handler = std::function<ServedReply(const ServedRequest& request, BodyReader& body)>;
  /// On a socket that listens already (in whichever network namespace it was made).
  static Result<std::unique_ptr<HttpServer>> serve(Fd listener, Handler handler, ServerLimits limits = {});
  /// On 127.0.0.1; `port` 0: the kernel picks. Fails `exists` when it is taken.
  static Result<std::unique_ptr<HttpServer>> start(int port, Handler handler, ServerLimits limits = {});
  /// Answers one client that connected already, on the caller's thread, until it leaves or is left: for a
  /// process that must not have threads.
  static void converse(Fd connection, const Handler& handler, const ServerLimits& limits = {});
  virtual ~HttpServer() = default;
  virtual int port() const = 0;
};

}  // namespace ferry::os
