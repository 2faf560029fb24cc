#pragma once
/// \file
/// The way from inside an instance to the internet, as the user allows it: what may be reached, through whom, and
/// what package managers inside are told. Pure.

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/json.h"

namespace ferry::sandbox {

/// A place in the network.
struct Target {
  std::string host;  ///< in lower case: a name, or an address without brackets
  int port = 0;
  /// "HOST:PORT", as in a URL.
  std::string text() const;
  bool operator==(const Target&) const = default;
};
/// From "HOST:PORT", "[IPV6]:PORT", or HOST alone with `default_port` (0: none). Nothing for what is neither: at most
/// 255 characters, of letters, digits, '.', '-' and '_'.
std::optional<Target> target_from(std::string_view text, int default_port = 0);

struct WayOut {
  bool is_open = false;       ///< false: nothing is reached
  std::vector<Target> named;  ///< reached whatever their addresses are, by exactly this host and port
  /// The user's own proxies, as in the variables of these names; empty: none.
  std::string http_proxy, https_proxy, no_proxy;
  std::map<std::string, std::string> settings;  ///< variables for pip and uv inside. They may hold passwords

  bool names(const Target& target) const;
  /// The user's proxy for `target`; empty: none, or `no_proxy` has it. Places of this computer itself are never
  /// looked for through a proxy.
  std::string proxy_for(const Target& target, bool is_tunnel) const;
};
Json to_json(const WayOut& way);
/// Corrupt if it is not what to_json wrote.
Result<WayOut> way_out_from(const Json& json);

/// Of this computer itself: localhost and what ends so, 127.0.0.0/8, ::1.
bool is_loopback(std::string_view host);

/// Where the way out begins inside: an address of the instance's own loopback.
inline constexpr const char* proxy_address = "127.0.0.2";
inline constexpr int proxy_port = 3128;
/// The variables that tell it to programs inside (both cases of each); `own_names`: hosts that are the instance.
std::map<std::string, std::string> proxy_variables(const std::vector<std::string>& own_names);

}  // namespace ferry::sandbox
