#include "s3/objects.h"

#include <algorithm>
#include <thread>

#include "aws/retry.h"
#include "aws/sigv4.h"
#include "base/hash.h"
#include "base/text.h"
#include "s3/xml.h"
#include "store/content.h"
#include "store/keys.h"

namespace ferry::s3 {

Head head_of(const os::HttpResponse& answer) {
  Head head;
  head.etag = unquoted(answer.header("etag"));
  head.sha256 = lower(answer.header("x-amz-meta-sha256"));
  if (!store::is_sha256(head.sha256)) head.sha256.clear();
  head.nonce = answer.header("x-amz-meta-ferry-nonce");
  head.modified_ms = aws::parse_http_date(answer.header("last-modified")).value_or(0);
  const std::string range = answer.header("content-range");
  const auto slash = range.rfind('/');
  const auto bytes = parse_int(slash == std::string::npos ? answer.header("content-length") : range.substr(slash + 1));
  head.bytes = static_cast<std::uint64_t>(std::max<std::int64_t>(bytes.value_or(0), 0));
  return head;
}

std::string new_nonce() { return hex(random_bytes(16)); }

void add_condition(Call& call, const store::Condition& condition) {
  if (condition.is == store::Condition::Is::absent) call.headers.emplace_back("If-None-Match", "*");
  if (condition.is == store::Condition::Is::unchanged)
    call.headers.emplace_back("If-Match", "\"" + condition.version + "\"");
}

Error conditional(Error error, const store::Condition& condition) {
  const bool refused =
      error.code == "PreconditionFailed" || (condition.is == store::Condition::Is::unchanged &&
                                             error.kind == Kind::not_found && error.code != "NoSuchBucket");
  if (condition.is != store::Condition::Is::always && refused) {
    error.kind = Kind::conflict;
    error.advice = "look what is there now; somebody else may be at work with it";
  }
  return error;
}

Result<Head> head_object(Line& line, const std::string& key) {
  const Call call{.action = "GetObject", .doing = "look at the stored " + printable(key), .method = "HEAD", .key = key};
  TRY_SET(answer, "", line.call(call));
  return head_of(answer);
}

Result<std::string> settled(Line& line, const std::string& key, const std::string& nonce, Error refusal) {
  auto head = head_object(line, key);
  if (head && head->nonce == nonce) return std::move(head->etag);
  if (head || head.error().kind == Kind::not_found) return tl::unexpected(std::move(refusal));
  return tl::unexpected(std::move(head).error());
}

Result<std::string> put_bytes(Line& line, const std::string& key, std::string_view bytes,
                              const store::Condition& condition) {
  const std::string nonce = new_nonce();
  Call call{.action = "PutObject", .doing = "store " + printable(key), .method = "PUT", .key = key};
  call.headers = {{"x-amz-meta-sha256", hex(sha256(bytes))}, {"x-amz-meta-ferry-nonce", nonce}};
  add_condition(call, condition);
  call.body = bytes;
  History history;
  auto answer = line.call(call, &history);
  if (answer) return unquoted(answer->header("etag"));
  Error error = conditional(std::move(answer).error(), condition);
  if (error.kind == Kind::conflict && history.uncertain) return settled(line, key, nonce, std::move(error));
  return tl::unexpected(std::move(error));
}

Result<std::pair<std::string, Head>> get_bytes(Line& line, const std::string& key, std::size_t limit) {
  Call call{.action = "GetObject", .doing = "read the stored " + printable(key), .key = key};
  std::string bytes;
  call.begin = [&]() -> Status {
    bytes.clear();
    return {};
  };
  call.streams.take = [&](std::string_view more) -> Status {
    if (bytes.size() + more.size() > limit) {
      return fail(Kind::bad_input, "the stored " + printable(key) + " is too large",
                  "over " + std::to_string(limit) + " bytes");
    }
    bytes += more;
    return {};
  };
  TRY_SET(answer, "", line.call(call));
  Head head = head_of(answer);
  head.bytes = bytes.size();
  if (!head.sha256.empty()) {
    TRY("", store::check_content(store::content_of_bytes(bytes), {head.sha256, bytes.size()}, "the stored " + key,
                                 "store it again from where it is whole"));
  }
  return std::pair(std::move(bytes), std::move(head));
}

Status remove_object(Line& line, const std::string& key, const store::Condition& condition) {
  Call call{.action = "DeleteObject", .doing = "remove the stored " + printable(key), .method = "DELETE", .key = key};
  add_condition(call, condition);
  if (condition.is == store::Condition::Is::unchanged) {
    // S3 calls it a success to delete what is not there, whatever the condition.
    auto head = head_object(line, key);
    if (!head) return tl::unexpected(conditional(std::move(head).error(), condition));
    if (head->etag != condition.version)
      return fail(Kind::conflict, call.doing + ": it was changed meanwhile", {}, "look what is there now");
  }
  History history;
  auto answer = line.call(call, &history);
  if (answer || (condition.is == store::Condition::Is::always && answer.error().code == "NoSuchKey")) return {};
  Error error = conditional(std::move(answer).error(), condition);
  if (error.kind == Kind::conflict && history.uncertain) {
    auto head = head_object(line, key);
    if (!head && head.error().kind == Kind::not_found) return {};
    if (!head) return tl::unexpected(std::move(head).error());
  }
  return tl::unexpected(std::move(error));
}

Status remove_objects(Line& line, const std::vector<std::string>& keys) {
  if (keys.empty()) return {};
  Call call{.action = "DeleteObjects",
            .doing = "remove what is stored below " + printable(keys.front()),
            .method = "POST",
            .query = "delete="};
  call.body = delete_xml(keys);
  call.late_error = [](const os::HttpResponse& answer) -> std::string {
    const auto errors = parse_delete_errors(answer.body);
    return errors.empty() ? "" : errors.front().second;
  };
  TRY("", line.call(call));
  return {};
}

Result<std::string> presigned(Session& session, const std::string& method, const std::string& key, Seconds lasts) {
  if (method != "GET" && method != "PUT") return fail(Kind::bug, "no method for a presigned URL: " + method);
  TRY_SET(credentials, "sign a URL", session.credentials().get());
  const std::int64_t now = session.clock().now_ms() + session.skew_ms();
  if (credentials.expires_ms > 0) lasts = std::min(lasts, Seconds((credentials.expires_ms - now) / 1000));
  lasts = std::min(lasts, Seconds(7 * 24 * 3600));
  if (lasts.count() <= 0) return fail(Kind::denied, "sign a URL: the credentials' time is over", {}, "sign in again");
  const Place place = session.place();
  os::HttpRequest request;
  request.method = method;
  request.url = url_of(place, key);
  return aws::presign(request, credentials, {place.region, "s3"}, now, lasts, aws::signing_options("s3"));
}

bool Together::moved(std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  if (moved_ && !stopped_ && !moved_(bytes)) stopped_ = true;
  return !stopped_ && !error_;
}

void Together::fail_with(Error error) {
  const std::lock_guard lock(mutex_);
  if (!error_) error_ = std::move(error);
}

bool Together::has_failed() {
  const std::lock_guard lock(mutex_);
  return stopped_ || error_.has_value();
}

std::optional<Error> Together::error() {
  const std::lock_guard lock(mutex_);
  if (stopped_) return Error{Kind::cancelled, "the transfer was stopped", {}, {}, {}, {}};
  return error_;
}

void Together::run(int count, const std::function<void()>& work) {
  std::vector<std::thread> others;
  for (int i = 1; i < count; ++i) others.emplace_back(work);
  work();
  for (auto& one : others) one.join();
}

}  // namespace ferry::s3
