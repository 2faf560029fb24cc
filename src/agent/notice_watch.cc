#include "agent/notice_watch.h"

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <system_error>

#include "aws/ec2_xml.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/env.h"

namespace ferry::agent {
namespace {

constexpr Millis answer_limit{1'000}, look_every{1'000}, known_pause{5'000}, longest_look_pause{60'000};
constexpr std::uint64_t rebalance_every = 5;  // reads
constexpr int token_s = 21'600;
constexpr std::size_t most_answer = 4'096;

/// "Tue, 14 Nov 2023 22:13:20 GMT" in milliseconds since 1970; 0 if it is not one.
std::int64_t http_time(const std::string& text) {
  std::tm parts{};
  const char* rest = ::strptime(text.c_str(), "%a, %d %b %Y %H:%M:%S", &parts);
  return rest ? static_cast<std::int64_t>(::timegm(&parts)) * 1000 : 0;
}

/// By how much the service's clock is ahead of ours, where that is more than its Date header can be wrong by.
std::int64_t ahead_ms(const os::HttpResponse& answer) {
  constexpr std::int64_t tolerance_ms = 2'000;
  const auto date = http_time(answer.header("date"));
  const auto ahead = date > 0 ? date - os::system_clock().now_ms() : 0;
  return std::abs(ahead) > tolerance_ms ? ahead : 0;
}

Result<Notice> notice_in(const os::HttpResponse& answer, Notice::Kind kind) {
  TRY_SET(json, "", parse_json(answer.body.substr(0, most_answer)));
  const bool is_interruption = kind == Notice::Kind::interruption;
  const auto time = json.is_object() ? aws::parse_iso_time(text_at(json, is_interruption ? "time" : "noticeTime")) : 0;
  if (time == 0) return fail(Kind::corrupt, "a notice without time");
  Notice notice{.kind = kind, .time_ms = time - ahead_ms(answer)};
  if (is_interruption) notice.action = short_line(text_at(json, "action", "terminate"), 40);
  return notice;
}

}  // namespace

NoticeReader::NoticeReader(std::unique_ptr<os::HttpClient> http, std::string endpoint)
    : http_(std::move(http)), endpoint_(std::move(endpoint)) {
  while (endpoint_.ends_with('/')) endpoint_.pop_back();
}

Result<os::HttpResponse> NoticeReader::ask(const std::string& method, const std::string& path,
                                           os::HttpRequest request) {
  request.method = method;
  request.url = endpoint_ + path;
  request.timeout = request.connect_timeout = answer_limit;
  auto answer = http_->send(request);
  // A connection that was kept may have been closed meanwhile.
  if (!answer && answer.error().kind == Kind::lost) answer = http_->send(request);
  return answer;
}

Status NoticeReader::renew_token() {
  os::HttpRequest request;
  request.headers = {{"x-aws-ec2-metadata-token-ttl-seconds", std::to_string(token_s)}};
  TRY_SET(answer, "", ask("PUT", "/latest/api/token", std::move(request)));
  if (answer.status != 200 || answer.body.empty() || answer.body.size() > most_answer)
    return fail(Kind::denied, "the metadata service gives no token");
  token_ = std::string(trim(answer.body));
  token_until_ = os::system_clock().steady_ms() + token_s * 500;
  return {};
}

Result<std::optional<os::HttpResponse>> NoticeReader::get(const std::string& path) {
  for (int tries = 0; tries < 2; ++tries) {
    if (token_.empty() || os::system_clock().steady_ms() >= token_until_) TRY("", renew_token());
    os::HttpRequest request;
    request.headers = {{"x-aws-ec2-metadata-token", token_}};
    TRY_SET(answer, "", ask("GET", path, std::move(request)));
    if (answer.status == 200) return std::optional(std::move(answer));
    if (answer.status == 404) return std::nullopt;
    if (answer.status != 401) return fail(Kind::lost, "the metadata service answers " + std::to_string(answer.status));
    token_.clear();
  }
  return fail(Kind::denied, "the metadata service refuses its own token");
}

Result<std::optional<Notice>> NoticeReader::read() {
  TRY_SET(action, "", get("/latest/meta-data/spot/instance-action"));
  if (action) {
    TRY_SET(notice, "", notice_in(*action, Notice::Kind::interruption));
    return std::optional(std::move(notice));
  }
  if (!rebalance_ && reads_++ % rebalance_every == 0) {
    TRY_SET(told, "", get("/latest/meta-data/events/recommendations/rebalance"));
    if (told) {
      TRY_SET(notice, "", notice_in(*told, Notice::Kind::rebalance));
      rebalance_ = std::move(notice);
    }
  }
  return rebalance_;
}

Millis until_next_look(int failures, bool answered_before) {
  if (failures == 0) return look_every;
  const Millis pause = look_every * (1 << std::min(failures, 6));
  return std::min(pause, answered_before ? known_pause : longest_look_pause);
}

std::unique_ptr<NoticeWatch> NoticeWatch::of_this_machine() {
  if (lower(os::env("AWS_EC2_METADATA_DISABLED").value_or("")) == "true") return nullptr;
  auto pipe = os::make_pipe();
  if (!pipe) return nullptr;
  try {
    return std::make_unique<NoticeWatch>(
        std::make_unique<NoticeReader>(os::make_http_client(),
                                       os::env("AWS_EC2_METADATA_SERVICE_ENDPOINT").value_or("http://169.254.169.254")),
        *std::move(pipe));
  } catch (const std::system_error&) {  // no thread can be had
    return nullptr;
  }
}

NoticeWatch::NoticeWatch(std::unique_ptr<NoticeReader> reader, os::Pipe pipe)
    : reader_(std::move(reader)), pipe_(std::move(pipe)) {
  thread_ = std::thread([this] { run(); });
}

NoticeWatch::~NoticeWatch() {
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

std::optional<Notice> NoticeWatch::take() {
  (void)os::read_some(source());
  const std::lock_guard lock(mutex_);
  return std::exchange(news_, std::nullopt);
}

void NoticeWatch::run() {
  std::optional<Notice> told;
  int failures = 0;
  bool answered_before = false;
  std::unique_lock lock(mutex_);
  while (!over_) {
    lock.unlock();
    const auto read = reader_->read();
    failures = read ? 0 : failures + 1;
    answered_before = answered_before || read;
    lock.lock();
    if (read && *read && *read != told) {
      // (Its time, which goes through the two clocks, may waver.)
      const bool is_news = !told || told->kind != (*read)->kind || told->action != (*read)->action;
      told = *read;
      if (is_news) {
        if (!news_) (void)os::write_all(pipe_.write.get(), "n");
        news_ = told;
      }
    }
    changed_.wait_for(lock, until_next_look(failures, answered_before), [&] { return over_; });
  }
}

}  // namespace ferry::agent
