#pragma once
/// \file
/// HTTP/1.1 with bodies that are never held whole: for objects of many gigabytes. In the library `transport`,
/// apart from the rest of the room (see CMakeLists.txt); by Boost.Beast and Asio over OpenSSL, of which no
/// header shows here.
///
/// Why not libcurl, which http.h is by: the agent is one static file, and Debian's libcurl.a cannot be linked
/// without Kerberos. Beast is headers only. One implementation serves the laptop and the machine.
///
/// It goes by the same certificates and proxies as http.h says, but that a proxy is spoken to in plain HTTP
/// only.

#include <functional>
#include <memory>
#include <string_view>

#include "base/error.h"
#include "os/http.h"

namespace ferry::os {

/// What goes beside a request and its answer.
struct Streams {
  /// The body that is sent: `size` bytes of `file` from `offset` (read as they go; several requests may read
  /// one file at once). Without a file, it is the request's own body. A file that ends before is `corrupt`.
  int file = -1;
  std::uint64_t offset = 0, size = 0;
  /// Takes the body of an answer of status 200 or 206 as it comes. An error ends the exchange and is
  /// answered. Without it, and for every other status, the body is in the answer: at most 64 MiB, else
  /// corrupt.
  std::function<Status(std::string_view)> take = {};
  /// Told how many bytes of the bodies went since it was last asked, several times a second also with 0 (but
  /// while a name is looked up).
  /// False: the exchange ends as `cancelled`.
  std::function<bool(std::uint64_t)> moved = {};
};

/// As HttpClient: any answer with a status is a value. `lost`, `timeout`, `denied`, `bad_input` and `corrupt`
/// as there; a body that is shorter than announced is `lost`, unsupported and bad_input also as proxy_for().
/// The request's `timeout` is the longest silence, not the whole exchange. A request that was not sent whole
/// may be answered all the same: the answer counts.
///
/// Nothing is sent twice: whoever asks decides whether that may be. One connection is kept open, to the
/// server that was asked last. Use one object from one thread at a time; several share what they know of
/// certificates.
class Transport {
 public:
  virtual ~Transport() = default;
  virtual Result<HttpResponse> exchange(const HttpRequest& request, const Streams& streams = {}) = 0;
};

std::unique_ptr<Transport> make_transport();

}  // namespace ferry::os
