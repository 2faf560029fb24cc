#include "os/ways.h"

#include <initializer_list>

#include "base/text.h"
#include "os/env.h"
#include "os/file.h"

namespace ferry::os {
namespace {

std::optional<std::string> first_of_env(std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (auto value = env(name)) return value;
  }
  return std::nullopt;
}

std::optional<std::uint16_t> port_of(std::string_view text) {
  const auto number = parse_int(text);
  if (!number || *number < 1 || *number > 65535) return std::nullopt;
  return static_cast<std::uint16_t>(*number);
}

/// "host", "host:port", "[::1]:port" → host without brackets and port.
bool split_authority(std::string_view text, std::uint16_t otherwise, std::string& host, std::uint16_t& port) {
  std::string_view rest;
  if (text.starts_with('[')) {
    const auto end = text.find(']');
    if (end == std::string_view::npos) return false;
    host = lower(text.substr(1, end - 1));
    rest = text.substr(end + 1);
  } else {
    const auto colon = std::min(text.find(':'), text.size());
    host = lower(text.substr(0, colon));
    rest = text.substr(colon);
  }
  port = otherwise;
  if (rest.empty() || rest == ":") return !host.empty();
  const auto given = rest.front() == ':' ? port_of(rest.substr(1)) : std::nullopt;
  if (!given) return false;
  port = *given;
  return !host.empty();
}

auto no_url(std::string_view url) {
  return fail(Kind::bad_input, "not an address of the web: " + printable(url.substr(0, 200)), {},
              "it begins with https:// or http://; correct AWS_ENDPOINT_URL, or endpoint_url in the AWS config file");
}

bool is_ipv4(std::string_view host) {
  return !host.empty() && host.find_first_not_of("0123456789.") == std::string_view::npos;
}

}  // namespace

std::string Url::authority() const {
  const std::string name = host.find(':') == std::string::npos ? host : "[" + host + "]";
  return port == (scheme == "http" ? 80 : 443) ? name : name + ":" + std::to_string(port);
}

Result<Url> parse_url(std::string_view url) {
  const auto end = url.find("://");
  if (end == std::string_view::npos) return no_url(url);
  Url out;
  out.scheme = lower(url.substr(0, end));
  if (out.scheme != "http" && out.scheme != "https") return no_url(url);
  const std::string_view rest = url.substr(end + 3);
  const auto path = std::min(rest.find_first_of("/?#"), rest.size());
  std::string_view authority = rest.substr(0, path);
  if (const auto user = authority.rfind('@'); user != std::string_view::npos) authority.remove_prefix(user + 1);
  if (!split_authority(authority, out.scheme == "http" ? 80 : 443, out.host, out.port)) return no_url(url);
  out.target = rest.substr(path, rest.find('#') - path);
  if (!out.target.starts_with('/')) out.target.insert(0, "/");
  if (out.target.find_first_of(" \r\n") != std::string::npos || out.host.find_first_of(" \r\n") != std::string::npos)
    return no_url(url);
  return out;
}

bool is_near(std::string_view host) {
  if (host.starts_with('[')) host = host.substr(1, host.size() - (host.ends_with(']') ? 2 : 1));
  if (host == "localhost" || host.ends_with(".localhost")) return true;
  if (host == "::1" || host.starts_with("fd00:ec2::")) return true;
  // Numbers and dots: a name that only begins like an address is somebody's host.
  return is_ipv4(host) && (host.starts_with("127.") || host.starts_with("169.254."));
}

bool is_address(std::string_view host) { return is_ipv4(host) || host.find(':') != std::string_view::npos; }

bool is_without_proxy(std::string_view host, std::string_view no_proxy) {
  std::string list(no_proxy);
  for (char& c : list) {
    if (c == ' ') c = ',';
  }
  for (const auto& item : split(list, ',')) {
    std::string_view name = trim(item);
    if (name == "*") return true;
    if (name.starts_with('[') && name.ends_with(']')) name = name.substr(1, name.size() - 2);
    while (name.starts_with('.')) name.remove_prefix(1);
    if (name.empty()) continue;
    const std::string wanted = lower(name);
    if (host == wanted || (host.ends_with(wanted) && host[host.size() - wanted.size() - 1] == '.' && !is_ipv4(wanted)))
      return true;
  }
  return false;
}

Result<std::optional<Proxy>> proxy_for(const Url& url) {
  const bool tls = url.scheme == "https";
  const auto named = tls ? first_of_env({"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"})
                         : first_of_env({"http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"});
  if (!named || is_near(url.host)) return std::optional<Proxy>();
  if (is_without_proxy(url.host, first_of_env({"no_proxy", "NO_PROXY"}).value_or(""))) return std::optional<Proxy>();
  std::string_view text = *named;
  const auto scheme = text.find("://");
  const std::string kind = scheme == std::string_view::npos ? "http" : lower(text.substr(0, scheme));
  if (scheme != std::string_view::npos) text.remove_prefix(scheme + 3);
  // Its address may have a password in it: it is not shown.
  const std::string advice = std::string("correct ") + (tls ? "HTTPS_PROXY" : "HTTP_PROXY") + ": http://HOST:PORT";
  if (kind != "http")
    return fail(Kind::unsupported, "the proxy is spoken to by " + printable(kind), "only http is known here", advice);
  text = text.substr(0, text.find('/'));
  Proxy proxy;
  if (const auto at = text.rfind('@'); at != std::string_view::npos) {
    proxy.authorization = "Basic " + base64(percent_decoded(text.substr(0, at)));
    text.remove_prefix(at + 1);
  }
  if (!split_authority(text, kind == "http" ? 1080 : 443, proxy.host, proxy.port)) {
    return fail(Kind::bad_input, "the proxy's address is none", {}, advice);
  }
  return std::optional<Proxy>(std::move(proxy));
}

std::string named_certificates() {
  return first_of_env({"AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"}).value_or("");
}

std::string system_certificates() {
  for (const char* place : {"/etc/ssl/certs/ca-certificates.crt",                 // Debian, Ubuntu, Arch
                            "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  // Fedora, RHEL, Amazon Linux
                            "/etc/pki/tls/certs/ca-bundle.crt",                   // older ones of these
                            "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem",        // SUSE; Alpine
                            "/etc/ssl/certs"}) {
    if (exists(place)) return place;
  }
  return {};
}

}  // namespace ferry::os
