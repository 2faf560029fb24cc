#include "sandbox/proxy_request.h"

#include <algorithm>
#include <set>

#include "base/text.h"

namespace ferry::sandbox {

namespace {

bool is_name_character(char c) {
  constexpr std::string_view marks = "!#$%&'*+-.^_`|~";
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || marks.find(c) != marks.npos;
}
bool is_token(std::string_view text) { return !text.empty() && std::ranges::all_of(text, is_name_character); }

/// Neither a line's end nor anything else that only control characters say. (A tab is white space.)
bool is_visible(std::string_view text) {
  return std::ranges::all_of(text,
                             [](char c) { return c == '\t' || (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f); });
}

tl::unexpected<Error> wrong(std::string what) { return fail(Kind::corrupt, std::move(what)); }

/// Between the client and this proxy only (RFC 9110, 7.6.1).
bool is_for_the_proxy(const std::string& name, const std::set<std::string>& named) {
  static const std::set<std::string> always = {
      "connection", "proxy-connection", "keep-alive", "proxy-authorization", "proxy-authenticate", "te",
      "trailer",    "upgrade",          "host"};
  return always.contains(name) || (named.contains(name) && name != "content-length" && name != "transfer-encoding");
}

Result<ProxyRequest> parse_request_line(std::string_view line) {
  const auto words = split(line, ' ');
  if (words.size() != 3 || line.find('\t') != line.npos || !is_token(words[0]) ||
      (words[2] != "HTTP/1.1" && words[2] != "HTTP/1.0"))
    return wrong("not an HTTP request line");
  ProxyRequest request;
  request.method = words[0];
  request.is_tunnel = words[0] == "CONNECT";
  std::string_view place = words[1];
  if (!request.is_tunnel) {
    constexpr std::string_view scheme = "http://";
    if (lower(place.substr(0, scheme.size())) != scheme) return wrong("not the address of an http page");
    place.remove_prefix(scheme.size());
    const auto end = std::min(place.find_first_of("/?#"), place.size());
    const auto rest = place.substr(end);
    request.path = (rest.starts_with('/') ? "" : "/") + std::string(rest.substr(0, rest.find('#')));
    place = place.substr(0, end);
  }
  const auto target = target_from(place, request.is_tunnel ? 0 : 80);
  if (!target) return wrong("not a host and a port");
  request.target = *target;
  return request;
}

std::string lines_of(const ProxyRequest& request) {
  std::string out;
  for (const auto& [name, value] : request.headers) out += name + ": " + value + "\r\n";
  return out;
}

/// "example.org", with the port where it is not http's own.
std::string host_header(const Target& target) {
  const auto text = target.text();
  return target.port == 80 ? text.substr(0, text.rfind(':')) : text;
}

}  // namespace

Result<ProxyRequest> parse_proxy_request(std::string_view head) {
  if (head.size() > longest_proxy_head) return wrong("request too long");
  auto lines = split(head, '\n');
  for (auto& line : lines) {
    if (line.ends_with('\r')) line.pop_back();
    if (!is_visible(line)) return wrong("control characters in a request");
  }
  if (lines.size() > most_proxy_headers + 1) return wrong("too many headers");
  TRY_SET(request, "", parse_request_line(lines[0]));
  std::vector<std::pair<std::string, std::string>> all;
  std::set<std::string> named;
  std::optional<std::int64_t> length;
  bool has_chunks = false;
  for (std::size_t i = 1; i < lines.size(); ++i) {
    const auto colon = lines[i].find(':');
    if (colon == std::string::npos || !is_token(std::string_view(lines[i]).substr(0, colon)))
      return wrong("not an HTTP header");
    all.emplace_back(lines[i].substr(0, colon), trim(std::string_view(lines[i]).substr(colon + 1)));
    const auto name = lower(all.back().first);
    const auto& value = all.back().second;
    if (name == "connection") {
      for (const auto& word : split(value, ',')) named.insert(lower(trim(word)));
    } else if (name == "content-length") {
      const auto bytes = parse_int(value);
      if (!bytes || *bytes < 0 || value[0] == '+' || length) return wrong("no clear Content-Length");
      length = bytes;
    } else if (name == "transfer-encoding") {
      if (has_chunks || lower(value) != "chunked") return wrong("no clear Transfer-Encoding");
      has_chunks = true;
    }
  }
  if (length && has_chunks) return wrong("both Content-Length and Transfer-Encoding");
  if (request.is_tunnel) {
    request.body.reset();  // all that follows is the tunnel's
    return request;
  }
  request.body = has_chunks ? std::nullopt : std::optional<std::uint64_t>(length.value_or(0));
  for (auto& header : all) {
    if (!is_for_the_proxy(lower(header.first), named)) request.headers.push_back(std::move(header));
  }
  return request;
}

std::string head_to_origin(const ProxyRequest& request) {
  return fmt::format("{} {} HTTP/1.1\r\nHost: {}\r\n{}Connection: close\r\n\r\n", request.method, request.path,
                     host_header(request.target), lines_of(request));
}

Result<Upstream> parse_upstream(std::string_view url) {
  constexpr int usual_port = 80;
  if (const auto end = url.find("://"); end != url.npos) {
    const auto scheme = lower(url.substr(0, end));
    if (scheme != "http")
      return fail(Kind::unsupported,
                  fmt::format("the proxy of this computer is reached by {}://", short_line(scheme, 20)),
                  "rehearsal machines can be led through an http:// one only");
    url.remove_prefix(end + 3);
  }
  url = url.substr(0, url.find_first_of("/?#"));
  Upstream upstream;
  if (const auto at = url.rfind('@'); at != url.npos) {
    const auto person = url.substr(0, at);
    upstream.authorization = "Basic " + base64(percent_decoded(person));
    url.remove_prefix(at + 1);
  }
  const auto target = target_from(url, usual_port);
  if (!target) return fail(Kind::bad_input, "the variable of this computer's proxy names no host");
  upstream.target = *target;
  return upstream;
}

std::string head_to_upstream(const ProxyRequest& request, const Upstream& upstream) {
  const auto authorization =
      upstream.authorization.empty() ? "" : "Proxy-Authorization: " + upstream.authorization + "\r\n";
  const auto place = request.target.text();
  if (request.is_tunnel) return fmt::format("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n{1}\r\n", place, authorization);
  return fmt::format("{} http://{}{} HTTP/1.1\r\nHost: {}\r\n{}{}Connection: close\r\n\r\n", request.method, place,
                     request.path, host_header(request.target), lines_of(request), authorization);
}

}  // namespace ferry::sandbox
