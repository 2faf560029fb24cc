#pragma once
/// \file
/// HTTP/1.1 requests as they arrive on the rehearsal cloud's socket, and replies as they leave. The request
/// target is kept byte for byte, because signatures cover it.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"

namespace ferry::rehearsal {

using Headers = std::vector<std::pair<std::string, std::string>>;

struct HttpRequest {
  std::string method;
  std::string path;   ///< raw, before '?'
  std::string query;  ///< raw, after '?'
  Headers headers;    ///< names in lower case, values trimmed, in order, duplicates kept
  std::string body;
  bool keep_alive = true;
  /// The first header of that (lower-case) name, or "".
  std::string_view header(std::string_view name) const;
};

struct HttpReply {
  int status = 200;
  std::string content_type = "text/xml;charset=UTF-8";
  Headers headers;
  std::string body;
  bool drop = false;  ///< close the connection without answering
};

/// Head and body as bytes for the wire.
std::string serialized(const HttpReply& reply, bool keep_alive);

/// Takes bytes as they come and yields requests. Heads are limited to 64 KiB and bodies to 1 MiB.
class RequestParser {
 public:
  enum class Step { more, complete, bad };
  /// Adds bytes; `complete` once a whole request is there (take() it), `bad` once it never can be.
  Step feed(std::string_view bytes);
  /// The finished request. What came after it stays for the next one: call feed("") to go on.
  HttpRequest take();
  /// True once after a head that said "Expect: 100-continue" and whose body is still to come.
  bool wants_continue();
  /// The status to answer with after `bad`: 400, 413, 431, 501 or 505.
  int error_status() const { return error_status_; }
  /// True when part of a request has arrived.
  bool midway() const { return has_head_ || !buffer_.empty(); }

 private:
  Step refuse(int status);
  Step parse_head(std::string_view head);
  Step parse_fields(std::string_view lines);
  Step settle_framing();
  Step read_body();
  Step read_chunks();

  std::string buffer_;
  HttpRequest request_;
  bool has_head_ = false, chunked_ = false, expects_continue_ = false;
  std::size_t body_size_ = 0;
  int error_status_ = 400;
};

}  // namespace ferry::rehearsal
