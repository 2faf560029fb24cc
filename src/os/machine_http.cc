// make_http_client() (http.h) for a static program on a rented machine, which links no libcurl: by
// transport.h.

#include <openssl/ssl.h>

#include "os/http.h"
#include "os/transport.h"

namespace ferry::os {
namespace {

/// OpenSSL's own configuration file may name modules to load, which fit the system's OpenSSL and not the one
/// in here. Before anything initialises OpenSSL.
[[gnu::constructor(101)]] void leave_configuration_alone() { OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, nullptr); }

class MachineClient final : public HttpClient {
 public:
  Result<HttpResponse> send(const HttpRequest& request) override { return transport_->exchange(request); }

 private:
  std::unique_ptr<Transport> transport_ = make_transport();
};

}  // namespace

std::unique_ptr<HttpClient> make_http_client() { return std::make_unique<MachineClient>(); }

}  // namespace ferry::os
