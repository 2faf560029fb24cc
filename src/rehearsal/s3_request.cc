#include "rehearsal/s3_request.h"

#include <algorithm>
#include <array>
#include <ctime>

#include "base/text.h"

namespace ferry::rehearsal {
namespace {

constexpr std::size_t most_key_bytes = 1024;

bool is_digit_char(char c) { return c >= '0' && c <= '9'; }

/// "127.0.0.1", or four numbers of whatever size.
bool is_dotted_quad(std::string_view text) {
  const auto parts = split(text, '.');
  return parts.size() == 4 && std::all_of(parts.begin(), parts.end(), [](const std::string& part) {
           return !part.empty() && part.size() <= 3 && std::all_of(part.begin(), part.end(), is_digit_char);
         });
}

std::string_view without_port(std::string_view host) {
  const auto colon = host.rfind(':');
  const bool bracketed = host.starts_with('[');
  if (colon == host.npos || (bracketed && host.ends_with(']'))) return host;
  return host.substr(0, colon);
}

void take_query(std::string_view query, std::map<std::string, std::string>& params) {
  while (!query.empty() && params.size() < 256) {
    const auto end = query.find('&');
    const auto pair = query.substr(0, end);
    query.remove_prefix(end == query.npos ? query.size() : end + 1);
    if (pair.empty()) continue;
    const auto equals = pair.find('=');
    params.emplace(percent_decoded(pair.substr(0, equals)),
                   equals == pair.npos ? "" : percent_decoded(pair.substr(equals + 1)));
  }
}

}  // namespace

std::string_view S3Request::header(std::string_view wanted) const {
  for (const auto& [key_text, value] : headers)
    if (key_text == wanted) return value;
  return {};
}

bool S3Request::has_header(std::string_view wanted) const {
  return std::any_of(headers.begin(), headers.end(), [&](const auto& line) { return line.first == wanted; });
}

std::string S3Request::param(const std::string& wanted, std::string_view otherwise) const {
  const auto found = params.find(wanted);
  return found == params.end() ? std::string(otherwise) : found->second;
}

std::string S3Request::resource() const {
  if (bucket.empty()) return "/";
  return "/" + bucket + (key.empty() ? "" : "/" + key);
}

std::string bucket_of_host(std::string_view host) {
  const auto text = lower(without_port(host));
  for (const std::string_view suffix : {".localhost", ".127.0.0.1"})
    if (text.ends_with(suffix)) return text.substr(0, text.size() - suffix.size());
  if (!text.ends_with(".amazonaws.com") || text.starts_with("s3.") || text.starts_with("s3-")) return {};
  for (const std::string_view mark : {".s3.", ".s3-"})
    if (const auto at = text.rfind(mark); at != text.npos) return text.substr(0, at);
  return {};
}

bool is_bucket_name(std::string_view text) {
  if (text.size() < 3 || text.size() > 63 || is_dotted_quad(text)) return false;
  const auto is_end = [](char c) { return (c >= 'a' && c <= 'z') || is_digit_char(c); };
  if (!is_end(text.front()) || !is_end(text.back()) || text.find("..") != text.npos) return false;
  if (text.starts_with("xn--") || text.ends_with("-s3alias") || text.ends_with("--x-s3")) return false;
  return std::all_of(text.begin(), text.end(), [&](char c) { return is_end(c) || c == '-' || c == '.'; });
}

bool is_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const std::size_t more = lead < 0x80                   ? 0
                             : lead >= 0xc2 && lead < 0xe0 ? 1
                             : lead >= 0xe0 && lead < 0xf0 ? 2
                             : lead >= 0xf0 && lead < 0xf5 ? 3
                                                           : 9;
    if (more == 9 || i + more >= text.size()) return false;
    for (std::size_t k = 1; k <= more; ++k)
      if ((static_cast<unsigned char>(text[i + k]) & 0xc0) != 0x80) return false;
    const auto second = more > 0 ? static_cast<unsigned char>(text[i + 1]) : 0;
    // Overlong forms, surrogates, and what is beyond U+10FFFF.
    if ((lead == 0xe0 && second < 0xa0) || (lead == 0xed && second > 0x9f) || (lead == 0xf0 && second < 0x90) ||
        (lead == 0xf4 && second > 0x8f))
      return false;
    i += more + 1;
  }
  return true;
}

std::optional<std::int64_t> parse_http_date(std::string_view text) {
  std::tm parts{};
  const std::string copy(text);
  const char* rest = ::strptime(copy.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
  if (!rest || *rest != '\0') return std::nullopt;
  return static_cast<std::int64_t>(::timegm(&parts)) * 1000;
}

std::string show_http_date(std::int64_t ms) {
  const auto seconds = static_cast<std::time_t>(ms / 1000);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  std::array<char, 64> text{};
  return {text.data(), std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &parts)};
}

S3Result<S3Request> read_s3_request(const os::ServedRequest& served) {
  S3Request request;
  request.method = served.method;
  request.headers = served.headers;
  request.peer = served.peer;
  std::string_view target = served.target;
  if (const auto scheme = target.find("://"); !target.starts_with('/') && scheme != target.npos) {
    const auto slash = target.find('/', scheme + 3);  // absolute form, as sent to proxies
    target = slash == target.npos ? "/" : target.substr(slash);
  }
  if (!target.starts_with('/')) return s3_refuse("InvalidURI", "Couldn't parse the specified URI.");
  const auto mark = target.find('?');
  request.path = target.substr(0, mark);
  request.query = mark == target.npos ? "" : target.substr(mark + 1);
  take_query(request.query, request.params);
  std::string_view rest = std::string_view(request.path).substr(1);
  request.bucket = bucket_of_host(request.header("host"));
  if (request.bucket.empty()) {
    const auto slash = rest.find('/');
    request.bucket = percent_decoded(rest.substr(0, slash));
    rest = slash == rest.npos ? std::string_view() : rest.substr(slash + 1);
  }
  request.key = percent_decoded(rest);
  if (!is_utf8(request.key) || !is_utf8(request.bucket))
    return s3_refuse("InvalidURI", "Couldn't parse the specified URI.");
  if (request.key.size() > most_key_bytes)
    return s3_refuse(
        "KeyTooLongError", "Your key is too long", 400,
        {{"Size", std::to_string(request.key.size())}, {"MaxSizeAllowed", std::to_string(most_key_bytes)}});
  if (request.bucket.empty() && !request.key.empty())
    return s3_refuse("InvalidURI", "Couldn't parse the specified URI.");
  return request;
}

}  // namespace ferry::rehearsal
