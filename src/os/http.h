#pragma once
/// \file
/// The HTTP client. libcurl is loaded on first use (dlopen), because loading it costs 7 ms that commands
/// which make no call must not pay.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/units.h"

namespace ferry::os {

struct HttpRequest {
  std::string method = "GET";
  std::string url;  ///< sent exactly as given (no normalising of the path)
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  Millis timeout{30'000};  ///< for the whole exchange
  Millis connect_timeout{5'000};
};

struct HttpResponse {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers;  ///< names in lower case
  std::string body;
  /// The first header of that (lower-case) name, or "".
  std::string header(std::string_view name) const;
};

/// Any answer with a status is a value. Fails `lost` when no connection could be made or it broke (why says
/// which), `timeout` when the time passed. Use one object from one thread; it keeps connections open.
class HttpClient {
 public:
  virtual ~HttpClient() = default;
  virtual Result<HttpResponse> send(const HttpRequest& request) = 0;
};

/// Honours HTTPS_PROXY, NO_PROXY, AWS_CA_BUNDLE and SSL_CERT_FILE. Never follows redirects.
std::unique_ptr<HttpClient> make_http_client();

}  // namespace ferry::os
