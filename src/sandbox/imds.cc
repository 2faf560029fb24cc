#include "sandbox/imds.h"

#include "base/hash.h"
#include "base/text.h"
#include "os/clock.h"

namespace ferry::sandbox {

namespace {

constexpr std::size_t longest_head = 8192, most_headers = 64;
constexpr std::int64_t longest_ttl = 21600;
constexpr std::string_view ttl_header = "x-aws-ec2-metadata-token-ttl-seconds";

bool is_token_character(char c) { return c > ' ' && c < 0x7f && c != ':'; }

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
    default:
      return "Method Not Allowed";
  }
}

ImdsReply plain_error(int status) {
  return {status,
          fmt::format(
              "<?xml version=\"1.0\" encoding=\"iso-8859-1\"?>\n<html><head><title>{0} - {1}</title></head>"
              "<body><h1>{0} - {1}</h1></body></html>\n",
              status, reason(status)),
          {{"Content-Type", "text/html"}}};
}

/// "latest", or one of the dated versions older clients ask for ("2021-07-15", "1.0").
bool is_version(std::string_view segment) {
  if (segment == "latest" || segment == "1.0") return true;
  return segment.size() == 10 && std::all_of(segment.begin(), segment.end(),
                                             [](char c) { return c == '-' || (c >= '0' && c <= '9'); });
}

}  // namespace

std::string ImdsRequest::header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (key == name) return value;
  }
  return {};
}

bool ImdsRequest::has(std::string_view name) const {
  return std::any_of(headers.begin(), headers.end(),
                     [&](const auto& header) { return header.first == name; });
}

Result<ImdsRequest> parse_imds_request(std::string_view head) {
  if (head.size() > longest_head) return fail(Kind::corrupt, "request too long");
  auto lines = split(head, '\n');
  for (auto& line : lines) {
    if (line.ends_with('\r')) line.pop_back();
  }
  const auto words = split(lines.empty() ? std::string() : lines[0], ' ');
  if (words.size() != 3 || words[0].empty() || !words[1].starts_with('/') ||
      !words[2].starts_with("HTTP/1.") || words[2].size() != 8) {
    return fail(Kind::corrupt, "not an HTTP request line");
  }
  ImdsRequest request;
  request.method = words[0];
  request.path = words[1].substr(0, words[1].find('?'));
  request.minor_version = words[2].back() == '0' ? 0 : 1;
  if (lines.size() > most_headers) return fail(Kind::corrupt, "too many headers");
  for (std::size_t i = 1; i < lines.size(); ++i) {
    const auto colon = lines[i].find(':');
    const auto key = std::string_view(lines[i]).substr(0, colon);
    if (colon == std::string::npos || key.empty() ||
        !std::all_of(key.begin(), key.end(), is_token_character)) {
      return fail(Kind::corrupt, "not an HTTP header");
    }
    request.headers.emplace_back(lower(key), trim(std::string_view(lines[i]).substr(colon + 1)));
  }
  return request;
}

Imds::Imds(const Json& tree, std::string user_data, bool token_required)
    : token_required_(token_required), secret_(random_bytes(32)) {
  if (tree.is_object()) {
    for (const auto& [path, text] : tree.items()) {
      const std::string key = path.substr(std::min(path.find_first_not_of('/'), path.size()));
      if (!key.empty()) tree_[key] = text.is_string() ? text.get<std::string>() : dump_json(text);
    }
  }
  if (!user_data.empty()) tree_["latest/user-data"] = std::move(user_data);
}

ImdsReply Imds::answer(const ImdsRequest& request, std::int64_t now) const {
  // What came through a proxy is not the instance itself asking.
  if (request.has("x-forwarded-for")) return plain_error(403);
  if (request.method == "PUT") {
    return request.path == "/latest/api/token" || request.path == "/latest/api/token/"
               ? give_token(request, now)
               : plain_error(405);
  }
  if (request.method != "GET" && request.method != "HEAD") return plain_error(405);
  const std::string token = request.header("x-aws-ec2-metadata-token");
  if (token.empty() ? token_required_ : !token_is_good(token, now)) return plain_error(401);
  return look_up(request.path);
}

ImdsReply Imds::give_token(const ImdsRequest& request, std::int64_t now) const {
  const auto ttl = parse_int(request.header(ttl_header));
  if (!ttl || *ttl < 1 || *ttl > longest_ttl) return plain_error(400);
  const std::string until = std::to_string(now + *ttl);
  std::string token = base64(until + "." + hmac_sha256(secret_, until));
  return {200,
          std::move(token),
          {{"Content-Type", "text/plain"}, {"X-Aws-Ec2-Metadata-Token-Ttl-Seconds", std::to_string(*ttl)}}};
}

bool Imds::token_is_good(const std::string& token, std::int64_t now) const {
  const auto raw = from_base64(token);
  if (!raw) return false;
  const auto dot = raw->find('.');
  if (dot == std::string::npos) return false;
  const std::string until = raw->substr(0, dot);
  return raw->substr(dot + 1) == hmac_sha256(secret_, until) && parse_int(until).value_or(0) > now;
}

std::string Imds::listing(const std::string& folder) const {
  if (const auto given = tree_.find(folder); given != tree_.end()) return given->second;
  std::set<std::string> names;
  for (auto at = tree_.lower_bound(folder); at != tree_.end() && at->first.starts_with(folder); ++at) {
    const std::string below = at->first.substr(folder.size());
    const auto slash = below.find('/');
    // As EC2 does, user-data is not listed with a slash and neither is any other leaf.
    names.insert(slash == std::string::npos ? below : below.substr(0, slash + 1));
  }
  return join(std::vector<std::string>(names.begin(), names.end()), "\n");
}

ImdsReply Imds::look_up(std::string path) const {
  path.erase(0, path.find_first_not_of('/') == std::string::npos ? path.size() : path.find_first_not_of('/'));
  while (path.ends_with('/')) path.pop_back();
  const auto text_reply = [](std::string body) {
    return ImdsReply{200, std::move(body), {{"Content-Type", "text/plain"}}};
  };
  if (path.empty()) return text_reply("1.0\nlatest");
  const auto slash = path.find('/');
  if (!is_version(path.substr(0, slash))) return plain_error(404);
  path = "latest" + (slash == std::string::npos ? "" : path.substr(slash));
  if (const auto leaf = tree_.find(path); leaf != tree_.end()) {
    ImdsReply reply = text_reply(leaf->second);
    if (path == "latest/user-data") reply.headers = {{"Content-Type", "application/octet-stream"}};
    return reply;
  }
  std::string names = listing(path + "/");
  return names.empty() ? plain_error(404) : text_reply(std::move(names));
}

std::string imds_reply_text(const ImdsReply& reply, bool with_body, bool keep_alive) {
  std::string text = fmt::format("HTTP/1.1 {} {}\r\n", reply.status, reason(reply.status));
  for (const auto& [key, value] : reply.headers) text += key + ": " + value + "\r\n";
  text += fmt::format("Server: EC2ws\r\nContent-Length: {}\r\nConnection: {}\r\n\r\n", reply.body.size(),
                      keep_alive ? "keep-alive" : "close");
  return with_body ? text + reply.body : text;
}

void serve_metadata(const Imds& service, const os::Fd& connection) {
  constexpr Millis patience{10'000};
  std::string buffer;
  while (os::wait_readable(connection.get(), patience)) {
    const auto part = os::read_some(connection.get(), 4096);
    if (!part || part->empty()) return;
    buffer += *part;
    std::size_t end;
    while ((end = buffer.find("\r\n\r\n")) != std::string::npos) {
      const auto request = parse_imds_request(std::string_view(buffer).substr(0, end));
      buffer.erase(0, end + 4);
      if (!request) {
        (void)os::write_all(connection.get(), imds_reply_text(plain_error(400), true, false));
        return;
      }
      // No request of this service has a body; a client that sends one is answered and left.
      const bool has_body =
          parse_int(request->header("content-length")).value_or(0) != 0 || request->has("transfer-encoding");
      const bool keep =
          request->minor_version == 1 && lower(request->header("connection")) != "close" && !has_body;
      const auto reply = service.answer(*request, os::system_clock().steady_ms() / 1000);
      if (!os::write_all(connection.get(), imds_reply_text(reply, request->method != "HEAD", keep)) || !keep)
        return;
    }
    if (buffer.size() > longest_head) return;
  }
}

}  // namespace ferry::sandbox
