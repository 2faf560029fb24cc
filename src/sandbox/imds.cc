#include "sandbox/imds.h"

#include "base/hash.h"
#include "base/text.h"
#include "os/clock.h"

namespace ferry::sandbox {

namespace {

constexpr os::ServerLimits limits{.head_bytes = 8192, .silence = Millis(10'000)};
constexpr std::int64_t longest_ttl = 21600;
constexpr std::string_view ttl_header = "x-aws-ec2-metadata-token-ttl-seconds";

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

os::ServedReply reply_with(int status, std::string type, std::string text) {
  os::ServedReply reply;
  reply.status = status;
  reply.headers = {{"Server", "EC2ws"}, {"Content-Type", std::move(type)}};
  reply.body = std::move(text);
  return reply;
}

os::ServedReply plain_error(int status) {
  return reply_with(
      status, "text/html",
      fmt::format("<?xml version=\"1.0\" encoding=\"iso-8859-1\"?>\n<html><head><title>{0} - {1}</title></head>"
                  "<body><h1>{0} - {1}</h1></body></html>\n",
                  status, reason(status)));
}

/// "latest", or one of the dated versions older clients ask for ("2021-07-15", "1.0").
bool is_version(std::string_view segment) {
  if (segment == "latest" || segment == "1.0") return true;
  return segment.size() == 10 &&
         std::all_of(segment.begin(), segment.end(), [](char c) { return c == '-' || (c >= '0' && c <= '9'); });
}

void add_to(std::map<std::string, std::string>& all, const Json& tree) {
  if (!tree.is_object()) return;
  for (const auto& [path, text] : tree.items()) {
    const std::string key = path.substr(std::min(path.find_first_not_of('/'), path.size()));
    if (!key.empty()) all[key] = text.is_string() ? text.get<std::string>() : dump_json(text);
  }
}

}  // namespace

Imds::Imds(const Json& tree, std::string user_data, bool token_required)
    : token_required_(token_required), secret_(random_bytes(32)) {
  add_to(fixed_, tree);
  if (!user_data.empty()) fixed_["latest/user-data"] = std::move(user_data);
  tree_ = fixed_;
}

void Imds::set_live(const Json& tree) {
  tree_ = fixed_;
  add_to(tree_, tree);
}

os::ServedReply Imds::answer(const os::ServedRequest& request, std::int64_t now) const {
  const std::string path = request.target.substr(0, request.target.find('?'));
  if (!path.starts_with('/')) return plain_error(400);
  // What came through a proxy is not the instance itself asking.
  if (std::any_of(request.headers.begin(), request.headers.end(),
                  [](const auto& header) { return header.first == "x-forwarded-for"; }))
    return plain_error(403);
  if (request.method == "PUT") {
    return path == "/latest/api/token" || path == "/latest/api/token/" ? give_token(request, now) : plain_error(405);
  }
  if (request.method != "GET" && request.method != "HEAD") return plain_error(405);
  const std::string token = request.header("x-aws-ec2-metadata-token");
  if (token.empty() ? token_required_ : !token_is_good(token, now)) return plain_error(401);
  return look_up(path);
}

os::ServedReply Imds::give_token(const os::ServedRequest& request, std::int64_t now) const {
  const auto ttl = parse_int(request.header(ttl_header));
  if (!ttl || *ttl < 1 || *ttl > longest_ttl) return plain_error(400);
  const std::string until = std::to_string(now + *ttl);
  auto reply = reply_with(200, "text/plain", base64(until + "." + hmac_sha256(secret_, until)));
  reply.headers.emplace_back("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", std::to_string(*ttl));
  return reply;
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

os::ServedReply Imds::look_up(std::string path) const {
  path.erase(0, path.find_first_not_of('/') == std::string::npos ? path.size() : path.find_first_not_of('/'));
  while (path.ends_with('/')) path.pop_back();
  const auto text_reply = [](std::string text) { return reply_with(200, "text/plain", std::move(text)); };
  if (path.empty()) return text_reply("1.0\nlatest");
  const auto slash = path.find('/');
  if (!is_version(path.substr(0, slash))) return plain_error(404);
  path = "latest" + (slash == std::string::npos ? "" : path.substr(slash));
  if (const auto leaf = tree_.find(path); leaf != tree_.end()) {
    return reply_with(200, path == "latest/user-data" ? "application/octet-stream" : "text/plain", leaf->second);
  }
  std::string names = listing(path + "/");
  return names.empty() ? plain_error(404) : text_reply(std::move(names));
}

void serve_metadata(const Imds& service, os::Fd connection) {
  // One answer a connection: this process knows only what was so when it began.
  const auto handler = [&](const os::ServedRequest& request, const os::BodyReader&) {
    auto reply = service.answer(request, os::system_clock().steady_ms() / 1000);
    reply.close = true;
    return reply;
  };
  os::HttpServer::converse(std::move(connection), handler, limits);
}

}  // namespace ferry::sandbox
