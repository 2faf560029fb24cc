#pragma once
/// \file
/// How a server of the web is reached from here: what both HTTP clients (http.h, transport.h) go by.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace ferry::os {

struct Url {
  std::string scheme;  ///< "http" or "https"
  std::string host;    ///< lower case; an IPv6 address without its brackets
  std::uint16_t port = 0;
  std::string target;  ///< path and query as given, "/" where there is none
  /// As a Host header has it: with the port where it is not the scheme's own.
  std::string authority() const;
};
/// Fails bad_input for what is neither http nor https, has no host, or a port that is none.
Result<Url> parse_url(std::string_view url);

/// This computer and link-local metadata services (169.254.x.x, fd00:ec2::): never asked through a proxy.
/// `host` may have its brackets.
bool is_near(std::string_view host);
/// True for four numbers with dots, or an IPv6 address.
bool is_address(std::string_view host);

struct Proxy {
  std::string host;
  std::uint16_t port = 0;
  std::string authorization;  ///< the value of Proxy-Authorization; "" for none
};
/// The proxy that the environment names for a server (http.h says which variables); nothing where it is asked
/// directly. Fails bad_input for a proxy's address that is none, unsupported for one that wants TLS or SOCKS
/// itself.
Result<std::optional<Proxy>> proxy_for(const Url& url);
/// True when `host` is one of a NO_PROXY list: names with all below them, addresses, "*".
bool is_without_proxy(std::string_view host, std::string_view no_proxy);

/// What AWS_CA_BUNDLE, REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE or SSL_CERT_FILE names (the first that is set), or
/// "".
std::string named_certificates();
/// The system's certificates, a file or a folder: of Debian, Ubuntu, Amazon Linux, Fedora, SUSE or Alpine; ""
/// where there are none.
std::string system_certificates();

}  // namespace ferry::os
