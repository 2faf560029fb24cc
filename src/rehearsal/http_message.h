#pragma once
/// \file
/// Requests of AWS's Query and JSON clients, and what they are answered: small messages, whole in memory.

#include <string>
#include <string_view>

#include "os/http_server.h"

namespace ferry::rehearsal {

struct HttpRequest {
  std::string method;
  std::string path;         ///< raw, before '?': signatures cover it byte for byte
  std::string query;        ///< raw, after '?'
  os::HeaderLines headers;  ///< names in lower case, values trimmed, in order, duplicates kept
  std::string body;
  /// The first header of that (lower-case) name, or "".
  std::string_view header(std::string_view name) const;
};

struct HttpReply {
  int status = 200;
  std::string content_type = "text/xml;charset=UTF-8";
  os::HeaderLines headers;
  std::string body;
  bool drop = false;  ///< close the connection without answering
};

/// Longer bodies are refused.
inline constexpr std::size_t longest_message = 1 << 20;

/// The request with its body, and without the host that a target for proxies names. Fails as the body does.
Result<HttpRequest> whole_message(const os::ServedRequest& head, os::BodyReader& body);
/// What to answer where that failed: 413, 400, or nothing at all to a client that is gone.
os::ServedReply refusal(const Error& error);

os::ServedReply served(HttpReply reply);

}  // namespace ferry::rehearsal
