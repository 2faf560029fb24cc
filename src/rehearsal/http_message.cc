#include "rehearsal/http_message.h"

#include "base/text.h"

namespace ferry::rehearsal {
namespace {

constexpr std::size_t head_limit = 64 << 10;
constexpr std::size_t body_limit = 1 << 20;

bool is_token(std::string_view text) {
  constexpr std::string_view marks = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           marks.find(c) != marks.npos;
  });
}

bool has_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f; });
}

std::optional<std::size_t> parse_hex_size(std::string_view text) {
  if (text.empty() || text.size() > 8) return std::nullopt;
  std::size_t value = 0;
  for (const char c : text) {
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0) return std::nullopt;
    value = value * 16 + static_cast<std::size_t>(digit);
  }
  return value;
}

std::string_view reason(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 412:
      return "Precondition Failed";
    case 413:
      return "Payload Too Large";
    case 500:
      return "Internal Server Error";
    case 503:
      return "Service Unavailable";
    default:
      return "Status";
  }
}

}  // namespace

std::string_view HttpRequest::header(std::string_view name) const {
  for (const auto& [key, value] : headers)
    if (key == name) return value;
  return {};
}

std::string serialized(const HttpReply& reply, bool keep_alive) {
  std::string out = fmt::format("HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n", reply.status,
                                reason(reply.status), reply.content_type, reply.body.size());
  for (const auto& [key, value] : reply.headers) out += key + ": " + value + "\r\n";
  out += keep_alive ? "\r\n" : "Connection: close\r\n\r\n";
  return out + reply.body;
}

RequestParser::Step RequestParser::feed(std::string_view bytes) {
  buffer_ += bytes;
  if (!has_head_) {
    while (buffer_.starts_with("\r\n"))
      buffer_.erase(0, 2);  // RFC 9112: blank lines before a request are ignored
    const auto end = buffer_.find("\r\n\r\n");
    if (end == buffer_.npos) return buffer_.size() > head_limit ? refuse(431) : Step::more;
    if (end > head_limit) return refuse(431);
    const std::string head = buffer_.substr(0, end + 2);
    buffer_.erase(0, end + 4);
    if (const Step step = parse_head(head); step != Step::more) return step;
    has_head_ = true;
  }
  return chunked_ ? read_chunks() : read_body();
}

HttpRequest RequestParser::take() {
  has_head_ = chunked_ = expects_continue_ = false;
  body_size_ = 0;
  return std::exchange(request_, {});
}

bool RequestParser::wants_continue() { return has_head_ && std::exchange(expects_continue_, false); }

RequestParser::Step RequestParser::refuse(int status) {
  error_status_ = status;
  return Step::bad;
}

RequestParser::Step RequestParser::parse_head(std::string_view head) {
  const auto line_end = head.find("\r\n");
  const auto words = split(head.substr(0, line_end), ' ');
  if (words.size() != 3 || !is_token(words[0]) || words[1].empty() || has_control(words[1]))
    return refuse(400);
  if (!words[2].starts_with("HTTP/1.")) return refuse(words[2].starts_with("HTTP/") ? 505 : 400);
  request_.method = words[0];
  std::string_view target = words[1];
  if (const auto scheme = target.find("://"); target.front() != '/' && scheme != target.npos) {
    const auto slash = target.find('/', scheme + 3);  // absolute form, as sent to proxies
    target = slash == target.npos ? "/" : target.substr(slash);
  }
  const auto mark = target.find('?');
  request_.path = target.substr(0, mark);
  request_.query = mark == target.npos ? "" : target.substr(mark + 1);
  request_.keep_alive = words[2] != "HTTP/1.0";
  return parse_fields(head.substr(line_end + 2));
}

RequestParser::Step RequestParser::parse_fields(std::string_view lines) {
  while (!lines.empty()) {
    const auto end = lines.find("\r\n");
    const auto line = lines.substr(0, end);
    lines.remove_prefix(end + 2);
    const auto colon = line.find(':');
    if (colon == line.npos || !is_token(line.substr(0, colon)) || has_control(line)) return refuse(400);
    request_.headers.emplace_back(lower(line.substr(0, colon)), trim(line.substr(colon + 1)));
  }
  return settle_framing();
}

RequestParser::Step RequestParser::settle_framing() {
  std::optional<std::string> length;
  for (const auto& [name, value] : request_.headers) {
    if (name == "content-length") {
      if (length && *length != value) return refuse(400);
      length = value;
    } else if (name == "transfer-encoding") {
      if (lower(value) != "chunked") return refuse(501);
      chunked_ = true;
    } else if (name == "connection") {
      if (lower(value) == "close") request_.keep_alive = false;
    } else if (name == "expect") {
      expects_continue_ = lower(value) == "100-continue";
    }
  }
  if (length) {
    const auto size = parse_int(*length);
    if (chunked_ || !size || *size < 0) return refuse(400);
    if (static_cast<std::uint64_t>(*size) > body_limit) return refuse(413);
    body_size_ = static_cast<std::size_t>(*size);
  }
  return Step::more;
}

RequestParser::Step RequestParser::read_body() {
  if (buffer_.size() < body_size_) return Step::more;
  request_.body = buffer_.substr(0, body_size_);
  buffer_.erase(0, body_size_);
  return Step::complete;
}

RequestParser::Step RequestParser::read_chunks() {
  while (true) {
    const auto end = buffer_.find("\r\n");
    if (end == buffer_.npos) return buffer_.size() > 1024 ? refuse(400) : Step::more;
    const auto size = parse_hex_size(trim(std::string_view(buffer_).substr(0, buffer_.find_first_of(";\r"))));
    if (!size) return refuse(400);
    if (request_.body.size() + *size > body_limit) return refuse(413);
    if (buffer_.size() < end + 2 + *size + 2) return Step::more;
    if (buffer_.compare(end + 2 + *size, 2, "\r\n") != 0) return refuse(400);  // trailers are not taken
    request_.body.append(buffer_, end + 2, *size);
    buffer_.erase(0, end + 2 + *size + 2);
    if (*size == 0) return Step::complete;
  }
}

}  // namespace ferry::rehearsal
