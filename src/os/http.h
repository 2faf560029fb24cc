#pragma once
/// \file
/// The HTTP client, by libcurl. In the library `http`, apart from the rest of the room (see CMakeLists.txt).

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
  /// On a connection that is opened for it: libcurl sends a request once more where one that was kept open broke before
  /// an answer came, and then nobody knows whether the server did it twice.
  bool own_connection = false;
  std::string ca_bundle;  ///< file or folder of the certificates to trust; empty: see make_http_client
};

struct HttpResponse {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers;  ///< names in lower case
  std::string body;
  /// The first header of that (lower-case) name, or "".
  std::string header(std::string_view name) const {
    for (const auto& [key, value] : headers) {
      if (key == name) return value;
    }
    return {};
  }
};

/// Any answer with a status is a value. Fails `lost` when no connection could be made or it broke (why says
/// which), `timeout` when the time passed, `denied` when the server's certificate is not trusted, `bad_input`
/// when the certificates to trust cannot be read or the URL is neither http nor https, `corrupt` for an answer
/// of more than 64 MiB. Use one object from one thread; it keeps connections open.
class HttpClient {
 public:
  virtual ~HttpClient() = default;
  virtual Result<HttpResponse> send(const HttpRequest& request) = 0;
};

/// Never follows redirects: a request carries credentials that are for its own host alone.
///
/// Certificates: those of the request, else of AWS_CA_BUNDLE, REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE or
/// SSL_CERT_FILE (the first that is set), else the system's.
///
/// Proxies: HTTPS_PROXY or HTTP_PROXY by the URL's scheme, then ALL_PROXY, in either case (lower case wins),
/// except for the hosts in NO_PROXY. This computer and the metadata services (169.254.x.x, fd00:ec2::) are
/// never asked through a proxy, whatever NO_PROXY says: it could not reach ours. (boto3 would try.)
std::unique_ptr<HttpClient> make_http_client();

}  // namespace ferry::os
