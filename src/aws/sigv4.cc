#include "aws/sigv4.h"

#include <algorithm>
#include <map>

#include "base/hash.h"
#include "base/text.h"
#include "os/clock.h"

namespace ferry::aws {
namespace {

constexpr std::string_view algorithm = "AWS4-HMAC-SHA256";
constexpr std::string_view unsigned_payload = "UNSIGNED-PAYLOAD";

struct UrlParts {
  std::string host, path, query;
};

UrlParts split_url(std::string_view url) {
  UrlParts parts;
  const auto scheme_end = url.find("://");
  const std::string_view scheme = scheme_end == std::string_view::npos ? "" : url.substr(0, scheme_end);
  if (scheme_end != std::string_view::npos) url.remove_prefix(scheme_end + 3);
  const auto host_end = url.find_first_of("/?");
  parts.host = lower(url.substr(0, host_end));
  const std::string_view default_port = scheme == "http" ? ":80" : ":443";
  if (parts.host.ends_with(default_port)) parts.host.resize(parts.host.size() - default_port.size());
  if (host_end != std::string_view::npos) url.remove_prefix(host_end);
  if (host_end == std::string_view::npos) url = {};
  const auto query_at = url.find('?');
  parts.path = url.substr(0, query_at);
  if (query_at != std::string_view::npos) parts.query = url.substr(query_at + 1);
  if (parts.path.empty()) parts.path = "/";
  return parts;
}

/// Dot segments resolved and empty ones dropped, as AWS's own clients do; a trailing slash stays.
std::string normalized(const std::string& path) {
  std::vector<std::string> kept;
  for (const auto& segment : split(path, '/')) {
    if (segment.empty() || segment == ".") continue;
    if (segment != "..") {
      kept.push_back(segment);
    } else if (!kept.empty()) {
      kept.pop_back();
    }
  }
  std::string out = "/" + join(kept, "/");
  if (path.ends_with('/') && out.size() > 1) out += '/';
  return out;
}

std::string canonical_path(const std::string& path, PathRule rule) {
  if (rule == PathRule::s3) return path;
  return percent_encoded(rule == PathRule::normalized ? normalized(path) : path, "/");
}

std::string canonical_query(const std::string& query) {
  std::vector<std::pair<std::string, std::string>> pairs;
  for (const auto& pair : split(query, '&')) {
    if (pair.empty()) continue;
    const auto equals = pair.find('=');
    const std::string value = equals == std::string::npos ? "" : pair.substr(equals + 1);
    pairs.emplace_back(percent_encoded(percent_decoded(pair.substr(0, equals))),
                       percent_encoded(percent_decoded(value)));
  }
  std::sort(pairs.begin(), pairs.end());
  std::string out;
  for (const auto& [name, value] : pairs) {
    if (!out.empty()) out += '&';
    out += name + "=" + value;
  }
  return out;
}

/// Trimmed, runs of white space as one space.
std::string canonical_value(std::string_view value) {
  std::string out;
  for (const char c : trim(value)) {
    const bool space = c == ' ' || c == '\t' || c == '\n' || c == '\r';
    if (!space) {
      out += c;
    } else if (out.back() != ' ') {
      out += ' ';
    }
  }
  return out;
}

/// Proxies and HTTP clients change these on the way; they stay unsigned, as in every AWS SDK.
bool left_unsigned(std::string_view name) {
  constexpr std::array<std::string_view, 6> names = {"authorization", "user-agent",        "expect",
                                                     "connection",    "transfer-encoding", "x-amzn-trace-id"};
  return std::find(names.begin(), names.end(), name) != names.end();
}

struct CanonicalHeaders {
  std::string lines;  ///< "name:value\n" of each
  std::string names;  ///< "a;b;c"
};

CanonicalHeaders canonical_headers(const os::HttpRequest& request, const std::string& host) {
  std::map<std::string, std::string> joined;
  for (const auto& [name, value] : request.headers) {
    const std::string key = lower(name);
    if (left_unsigned(key)) continue;
    const auto [at, fresh] = joined.try_emplace(key, canonical_value(value));
    if (!fresh) at->second += "," + canonical_value(value);
  }
  joined.try_emplace("host", host);
  CanonicalHeaders out;
  for (const auto& [name, value] : joined) {
    out.lines += name + ":" + value + "\n";
    if (!out.names.empty()) out.names += ';';
    out.names += name;
  }
  return out;
}

std::string header_value(const os::HttpRequest& request, std::string_view wanted) {
  for (const auto& [name, value] : request.headers) {
    if (lower(name) == wanted) return value;
  }
  return {};
}

/// 20150830T123600Z
std::string compact_time(std::int64_t ms) {
  std::string text = os::iso_time(ms);
  std::erase_if(text, [](char c) { return c == '-' || c == ':'; });
  return text;
}

std::string scope_text(const std::string& time, const SigningScope& scope) {
  return time.substr(0, 8) + "/" + scope.region + "/" + scope.service + "/aws4_request";
}

std::string signature(const std::string& canonical_request, const std::string& secret, const std::string& time,
                      const SigningScope& scope) {
  const std::string to_sign =
      std::string(algorithm) + "\n" + time + "\n" + scope_text(time, scope) + "\n" + hex(sha256(canonical_request));
  std::string key = hmac_sha256("AWS4" + secret, time.substr(0, 8));
  key = hmac_sha256(key, scope.region);
  key = hmac_sha256(key, scope.service);
  key = hmac_sha256(key, "aws4_request");
  return hex(hmac_sha256(key, to_sign));
}

std::string canonical_request(const os::HttpRequest& request, const UrlParts& url, const std::string& query,
                              const CanonicalHeaders& headers, const std::string& body_hash, PathRule rule) {
  return request.method + "\n" + canonical_path(url.path, rule) + "\n" + canonical_query(query) + "\n" + headers.lines +
         "\n" + headers.names + "\n" + body_hash;
}

}  // namespace

SigningOptions signing_options(const std::string& service) {
  if (service == "s3") return {.path = PathRule::s3, .content_sha256 = true};
  return {};
}

void sign(os::HttpRequest& request, const Credentials& credentials, const SigningScope& scope, std::int64_t now_ms,
          const SigningOptions& options) {
  std::erase_if(request.headers, [](const auto& header) {
    const std::string name = lower(header.first);
    return name == "authorization" || name == "x-amz-date" || name == "x-amz-security-token";
  });
  const std::string time = compact_time(now_ms);
  request.headers.emplace_back("X-Amz-Date", time);
  if (!credentials.session_token.empty()) {
    request.headers.emplace_back("X-Amz-Security-Token", credentials.session_token);
  }
  std::string body_hash = header_value(request, "x-amz-content-sha256");
  if (body_hash.empty()) {
    body_hash = hex(sha256(request.body));
    if (options.content_sha256) request.headers.emplace_back("x-amz-content-sha256", body_hash);
  }
  const UrlParts url = split_url(request.url);
  const CanonicalHeaders headers = canonical_headers(request, url.host);
  const std::string canonical = canonical_request(request, url, url.query, headers, body_hash, options.path);
  request.headers.emplace_back("Authorization",
                               std::string(algorithm) + " Credential=" + credentials.access_key_id + "/" +
                                   scope_text(time, scope) + ", SignedHeaders=" + headers.names +
                                   ", Signature=" + signature(canonical, credentials.secret_access_key, time, scope));
}

std::string presign(const os::HttpRequest& request, const Credentials& credentials, const SigningScope& scope,
                    std::int64_t now_ms, Seconds expires, const SigningOptions& options) {
  const std::string time = compact_time(now_ms);
  const UrlParts url = split_url(request.url);
  const CanonicalHeaders headers = canonical_headers(request, url.host);
  std::string added = "X-Amz-Algorithm=" + std::string(algorithm) + "&X-Amz-Credential=" +
                      percent_encoded(credentials.access_key_id + "/" + scope_text(time, scope)) +
                      "&X-Amz-Date=" + time + "&X-Amz-Expires=" + std::to_string(expires.count()) +
                      "&X-Amz-SignedHeaders=" + percent_encoded(headers.names);
  if (!credentials.session_token.empty()) {
    added += "&X-Amz-Security-Token=" + percent_encoded(credentials.session_token);
  }
  const std::string body_hash =
      options.path == PathRule::s3 ? std::string(unsigned_payload) : hex(sha256(request.body));
  const std::string query = url.query.empty() ? added : url.query + "&" + added;
  const std::string canonical = canonical_request(request, url, query, headers, body_hash, options.path);
  const bool has_query = request.url.find('?') != std::string::npos;
  const bool needs_slash = request.url.find('/', request.url.find("://") + 3) == std::string::npos && !has_query;
  return request.url + (needs_slash ? "/" : "") + (has_query ? (url.query.empty() ? "" : "&") : "?") + added +
         "&X-Amz-Signature=" + signature(canonical, credentials.secret_access_key, time, scope);
}

}  // namespace ferry::aws
