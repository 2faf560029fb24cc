#include "s3/session.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "aws/retry.h"
#include "aws/sigv4.h"
#include "base/hash.h"
#include "base/text.h"
#include "base/version.h"
#include "s3/errors.h"
#include "store/content.h"

namespace ferry::s3 {
namespace {

constexpr double first_pause_ms = 250;
constexpr Millis newcomer_pause{2'000};
constexpr std::int64_t notable_skew_ms = 4 * 60 * 1000;  // S3 takes a quarter of an hour

double unpredictable() {
  static thread_local std::mt19937_64 engine{std::random_device{}()};
  return std::uniform_real_distribution<double>(0, 1)(engine);
}

}  // namespace

Session::Session(Place place, std::shared_ptr<aws::Provider> credentials, os::Clock& clock, Limits limits,
                 MakeTransport make_transport, std::function<double()> random)
    : place_(std::move(place)),
      random_(random ? std::move(random) : unpredictable),
      credentials_(std::move(credentials)),
      clock_(clock),
      limits_(std::move(limits)),
      make_transport_(std::move(make_transport)),
      began_ms_(clock.steady_ms()) {
  if (place_.region.empty()) place_.region = "us-east-1";  // S3 says which one it is
}

Place Session::place() const {
  const std::lock_guard lock(mutex_);
  return place_;
}

void Session::set_region(const std::string& region) {
  const std::lock_guard lock(mutex_);
  place_.region = region;
}

std::int64_t Session::skew_ms() const {
  const std::lock_guard lock(mutex_);
  return skew_ms_;
}

void Session::set_skew_ms(std::int64_t skew) {
  const std::lock_guard lock(mutex_);
  skew_ms_ = skew;
}

double Session::random() {
  const std::lock_guard lock(mutex_);
  return random_();
}

std::string base64_of_hex(std::string_view hex) { return base64(store::raw_sha256(hex)); }

/// What is done once in a request's life.
struct Line::Once {
  bool damaged = false, moved = false, clock = false, expired = false;
};

os::HttpRequest Line::signed_request(const Call& call, const aws::Credentials& credentials) const {
  const Place place = session_->place();
  os::HttpRequest request;
  request.method = call.method;
  request.url = url_of(place, call.key, call.query);
  request.headers = call.headers;
  request.body = call.body;
  request.timeout = std::max(session_->limits().silence, call.silence);
  request.ca_bundle = place.ca_bundle;
  if (!place.account.empty() && call.action != "CreateBucket")
    request.headers.emplace_back("x-amz-expected-bucket-owner", place.account);
  const bool has_body = call.streams.file >= 0 || !call.body.empty();
  const std::string hash = !call.sha256.empty() ? call.sha256 : hex(sha256(call.body));
  // Not of CompleteMultipartUpload's body: there the header would stand for the whole object.
  if ((call.method == "PUT" && call.action != "CreateBucket") || call.action == "DeleteObjects") {
    request.headers.emplace_back("x-amz-checksum-sha256", base64_of_hex(hash));
  }
  const bool tls = lower(request.url.substr(0, 6)) == "https:";
  request.headers.emplace_back("x-amz-content-sha256", tls && has_body ? "UNSIGNED-PAYLOAD" : hash);
  request.headers.emplace_back("User-Agent", "ferry/" + ferry_version());
  if (session_->is_anonymous()) return request;
  const aws::SigningScope scope{place.region, "s3"};
  aws::sign(request, credentials, scope, session_->clock().now_ms() + session_->skew_ms(), aws::signing_options("s3"));
  return request;
}

bool Line::pause(int attempt, std::int64_t began_ms, const Call& call) {
  const Limits& limits = session_->limits();
  if (attempt >= (call.attempts > 0 ? call.attempts : limits.attempts)) return false;
  // From half to the whole of a span that doubles: never at once, never all together.
  const double span =
      std::min(first_pause_ms * std::pow(2.0, attempt), static_cast<double>(limits.longest_pause.count()));
  const auto wait = static_cast<std::int64_t>(span * (0.5 + 0.5 * session_->random()));
  if (session_->clock().steady_ms() + wait - began_ms > limits.patience.count()) return false;
  for (std::int64_t left = wait; left > 0; left -= 200) {
    stopped_ = call.streams.moved && !call.streams.moved(0);
    if (stopped_) return false;
    session_->clock().sleep(Millis(std::min<std::int64_t>(left, 200)));
  }
  return true;
}

bool Line::is_once_more(const os::HttpResponse& answer, const std::string& code, const aws::Credentials& used,
                        Once& once) {
  switch (judge(answer.status, code)) {
    case Verdict::damaged:
      return !std::exchange(once.damaged, true);
    case Verdict::moved: {
      const std::string region = region_said(answer);
      if (once.moved || region.empty() || region == session_->place().region) return false;
      once.moved = true;
      session_->set_region(region);
      return true;
    }
    case Verdict::clock: {
      const auto server = aws::parse_http_date(answer.header("date"));
      const std::int64_t skew = server ? *server - session_->clock().now_ms() : 0;
      if (once.clock || !server || std::llabs(skew - session_->skew_ms()) < notable_skew_ms) return false;
      once.clock = true;
      session_->set_skew_ms(skew);
      return true;
    }
    case Verdict::expired:
      if (session_->is_anonymous()) return false;
      session_->credentials().refused(used);
      return !std::exchange(once.expired, true);
    default:
      return false;
  }
}

Result<os::HttpResponse> Line::call(const Call& call, History* history) {
  const auto began_ms = session_->clock().steady_ms();
  stopped_ = false;
  const auto is_new = [&] {
    return session_->clock().steady_ms() - session_->began_ms() < session_->limits().newcomer.count();
  };
  const auto cancelled = [&] { return fail(Kind::cancelled, call.doing + ": was stopped"); };
  Once once;
  for (int attempt = 1;;) {
    const auto found =
        session_->is_anonymous() ? Result<aws::Credentials>(aws::Credentials{}) : session_->credentials().get();
    if (!found && is_new() && found.error().kind == Kind::denied) {  // the role may come yet
      session_->clock().sleep(newcomer_pause);
      continue;
    }
    if (!found) return fail(call.doing, found.error());
    const aws::Credentials& credentials = *found;
    if (call.begin) TRY(call.doing, call.begin());
    auto answer = transport_->exchange(signed_request(call, credentials), call.streams);
    if (!answer) {
      if (judge(answer.error()) == Verdict::last) return fail(call.doing, std::move(answer).error());
      if (history) history->uncertain = true;
      if (pause(attempt++, began_ms, call)) continue;
      if (stopped_) return cancelled();
      return fail(call.doing, std::move(answer).error());
    }
    const bool good = answer->status / 100 == 2;
    std::string late = good && call.late_error ? call.late_error(*answer) : "";
    if (good && late.empty()) return answer;
    aws::Fault fault = fault_of(*answer);
    if (!late.empty()) fault.code = late;
    if (is_once_more(*answer, fault.code, credentials, once)) continue;
    const Verdict verdict = judge(answer->status, fault.code);
    if (verdict == Verdict::newcomer && is_new() && !session_->is_anonymous()) {
      session_->credentials().refused(credentials);  // the machine may have had none of the role's yet
      session_->clock().sleep(newcomer_pause);
      stopped_ = call.streams.moved && !call.streams.moved(0);
      if (!stopped_) continue;
    }
    if (verdict == Verdict::uncertain && history) history->uncertain = true;
    const bool again = verdict == Verdict::again || verdict == Verdict::uncertain;
    if (again && pause(attempt++, began_ms, call)) continue;
    if (stopped_) return cancelled();
    return tl::unexpected(error_of(fault, answer->status, call.doing, call.action));
  }
}

}  // namespace ferry::s3
