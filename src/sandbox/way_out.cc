#include "sandbox/way_out.h"

#include <arpa/inet.h>

#include <algorithm>

#include "base/text.h"

namespace ferry::sandbox {

namespace {

bool is_host_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

bool is_ipv6(const std::string& host) {
  in6_addr raw{};
  return ::inet_pton(AF_INET6, host.c_str(), &raw) == 1;
}

std::optional<std::uint32_t> ipv4(const std::string& host) {
  in_addr raw{};
  if (::inet_pton(AF_INET, host.c_str(), &raw) != 1) return std::nullopt;
  return ntohl(raw.s_addr);
}

/// "10.0.0.0/8" has the IPv4 address that `host` is.
bool is_within(const std::string& host, const std::string& range) {
  const auto slash = range.find('/');
  const auto address = ipv4(host), first = ipv4(range.substr(0, slash));
  const auto bits = slash == std::string::npos ? -1 : parse_int(range.substr(slash + 1)).value_or(-1);
  if (!address || !first || bits < 0 || bits > 32) return false;
  const std::uint32_t mask = bits == 0 ? 0 : ~std::uint32_t{0} << (32 - bits);
  return (*address & mask) == (*first & mask);
}

/// As curl and Python understand one entry of NO_PROXY: a name and all below it, an address, a range, or "*".
bool is_excepted(const Target& target, std::string entry) {
  if (entry == "*") return true;
  if (const auto exact = target_from(entry)) return *exact == target;
  entry.erase(0, entry.find_first_not_of('.') == std::string::npos ? entry.size() : entry.find_first_not_of('.'));
  if (entry.empty()) return false;
  if (entry.find('/') != std::string::npos) return is_within(target.host, entry);
  return target.host == entry || target.host.ends_with("." + entry);
}

}  // namespace

std::string Target::text() const {
  return host.find(':') == std::string::npos ? fmt::format("{}:{}", host, port) : fmt::format("[{}]:{}", host, port);
}

std::optional<Target> target_from(std::string_view text, int default_port) {
  constexpr std::size_t longest = 255;
  std::string host;
  std::string_view rest;
  if (text.starts_with('[')) {
    const auto end = text.find(']');
    if (end == text.npos) return std::nullopt;
    host = lower(text.substr(1, end - 1));
    rest = text.substr(end + 1);
    if (!is_ipv6(host)) return std::nullopt;
  } else {
    const auto colon = text.find(':');
    host = lower(text.substr(0, colon));
    rest = colon == text.npos ? std::string_view() : text.substr(colon);
    if (host.empty() || host.size() > longest || !std::ranges::all_of(host, is_host_character)) return std::nullopt;
    if (host.ends_with('.')) host.pop_back();
  }
  if (rest.empty() && default_port > 0) return Target{host, default_port};
  if (!rest.starts_with(':') || rest.size() > 6) return std::nullopt;
  const auto port = parse_int(rest.substr(1));
  if (host.empty() || !port || *port < 1 || *port > 65535) return std::nullopt;
  return Target{host, static_cast<int>(*port)};
}

bool is_loopback(std::string_view host) {
  const std::string name(host);
  if (name == "localhost" || name.ends_with(".localhost") || name == "::1") return true;
  return is_within(name, "127.0.0.0/8");
}

bool WayOut::names(const Target& target) const { return std::ranges::find(named, target) != named.end(); }

std::string WayOut::proxy_for(const Target& target, bool is_tunnel) const {
  if (is_loopback(target.host)) return {};
  for (const auto& part : split(no_proxy, ',')) {
    if (const auto entry = lower(trim(part)); !entry.empty() && is_excepted(target, entry)) return {};
  }
  return is_tunnel ? https_proxy : http_proxy;
}

Json to_json(const WayOut& way) {
  Json named = Json::array();
  for (const auto& target : way.named) named.push_back(target.text());
  return {{"is_open", way.is_open},         {"named", named},           {"http_proxy", way.http_proxy},
          {"https_proxy", way.https_proxy}, {"no_proxy", way.no_proxy}, {"settings", way.settings}};
}

Result<WayOut> way_out_from(const Json& json) try {
  WayOut way;
  if (json.is_null()) return way;
  way.is_open = json.at("is_open").get<bool>();
  for (const auto& text : json.at("named")) {
    const auto target = target_from(text.get<std::string>());
    if (!target) return fail(Kind::corrupt, "an instance's way out names no place");
    way.named.push_back(*target);
  }
  way.http_proxy = text_at(json, "http_proxy");
  way.https_proxy = text_at(json, "https_proxy");
  way.no_proxy = text_at(json, "no_proxy");
  way.settings = json.at("settings").get<std::map<std::string, std::string>>();
  return way;
} catch (const Json::exception& wrong) {
  return fail(Kind::corrupt, "an instance's way out", wrong.what());
}

std::map<std::string, std::string> proxy_variables(const std::vector<std::string>& own_names) {
  const auto proxy = fmt::format("http://{}:{}", proxy_address, proxy_port);
  std::string own = "localhost,127.0.0.0/8,127.0.0.1,::1,169.254.169.254,instance-data";
  for (const auto& name : own_names) {
    if (!name.empty()) own += "," + name;
  }
  std::map<std::string, std::string> out;
  for (const char* name : {"http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"}) out[name] = proxy;
  out["no_proxy"] = out["NO_PROXY"] = own;
  return out;
}

}  // namespace ferry::sandbox
