#include "rehearsal/http_message.h"

namespace ferry::rehearsal {

std::string_view HttpRequest::header(std::string_view name) const {
  for (const auto& [key, value] : headers)
    if (key == name) return value;
  return {};
}

Result<HttpRequest> whole_message(const os::ServedRequest& head, os::BodyReader& body) {
  TRY_SET(bytes, "", body.read_all(longest_message));
  HttpRequest message;
  message.method = head.method;
  message.headers = head.headers;
  message.body = std::move(bytes);
  std::string_view target = head.target;
  if (const auto scheme = target.find("://"); target.front() != '/' && scheme != target.npos) {
    const auto slash = target.find('/', scheme + 3);  // absolute form, as sent to proxies
    target = slash == target.npos ? "/" : target.substr(slash);
  }
  const auto mark = target.find('?');
  message.path = target.substr(0, mark);
  message.query = mark == target.npos ? "" : target.substr(mark + 1);
  return message;
}

os::ServedReply refusal(const Error& error) {
  os::ServedReply reply;
  reply.status = error.kind == Kind::bad_input ? 413 : 400;
  reply.drop = error.kind == Kind::lost || error.kind == Kind::timeout;
  return reply;
}

os::ServedReply served(HttpReply reply) {
  os::ServedReply out;
  out.status = reply.status;
  out.headers = std::move(reply.headers);
  out.headers.emplace(out.headers.begin(), "Content-Type", std::move(reply.content_type));
  out.body = std::move(reply.body);
  out.drop = reply.drop;
  return out;
}

}  // namespace ferry::rehearsal
