#pragma once
/// \file
/// What a client inside asks of the way out: the head of one HTTP/1.x request to a proxy. Pure.

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sandbox/way_out.h"

namespace ferry::sandbox {

inline constexpr std::size_t longest_proxy_head = 32'768, most_proxy_headers = 100;

struct ProxyRequest {
  std::string method;
  Target target;
  bool is_tunnel = false;  ///< CONNECT
  std::string path;        ///< of the origin: "/x?y"; empty for a tunnel
  /// As they came, without those that are for the proxy alone; none of a tunnel's.
  std::vector<std::pair<std::string, std::string>> headers;
  /// Bytes that follow the head and belong to this request; nothing: until the client ends (chunks).
  std::optional<std::uint64_t> body = 0;
};

/// `head` is everything before the empty line. Either `CONNECT HOST:PORT` or `METHOD http://HOST[:PORT]/…`; anything
/// else, and whatever two readers could understand in two ways, is Kind::corrupt.
Result<ProxyRequest> parse_proxy_request(std::string_view head);

/// What is sent to the origin itself: one request, after which the origin closes. Not for tunnels.
std::string head_to_origin(const ProxyRequest& request);

/// The user's own proxy, as its variable names it.
struct Upstream {
  Target target;
  std::string authorization;  ///< value of Proxy-Authorization; empty: none
};
/// From "http://[USER[:PASSWORD]@]HOST[:PORT]"; the scheme may be left out. Unsupported for what speaks something else
/// (https://, socks5://); its text never holds the password.
Result<Upstream> parse_upstream(std::string_view url);

/// What is sent to the user's proxy.
std::string head_to_upstream(const ProxyRequest& request, const Upstream& upstream);

}  // namespace ferry::sandbox
