#include "aws/retry.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <random>

#include "aws/errors.h"
#include "base/text.h"

namespace ferry::aws {
namespace {

constexpr int full_budget = 500;
constexpr int retry_cost = 5;
constexpr int uncertain_cost = 10;
constexpr double longest_delay_s = 20;
/// Whatever AWS_MAX_ATTEMPTS says: whoever called has something else to try meanwhile, such as to look.
constexpr std::int64_t longest_trying_ms = 150'000;
/// AWS accepts five minutes of skew; a signature error with less has another cause.
constexpr std::int64_t notable_skew_ms = 4 * 60 * 1000;

double unpredictable() {
  static thread_local std::mt19937_64 engine{std::random_device{}()};
  return std::uniform_real_distribution<double>(0, 1)(engine);
}

template <std::size_t N>
bool is_one_of(std::string_view code, const std::array<std::string_view, N>& codes) {
  return std::find(codes.begin(), codes.end(), code) != codes.end();
}

constexpr std::array<std::string_view, 7> clock_codes = {
    "RequestTimeTooSkewed",      "RequestExpired",     "AuthFailure", "SignatureDoesNotMatch", "RequestInTheFuture",
    "InvalidSignatureException", "IncompleteSignature"};
constexpr std::array<std::string_view, 2> surely_clock_codes = {"RequestTimeTooSkewed", "RequestExpired"};

}  // namespace

Verdict judge(int status, std::string_view code) {
  if (status >= 200 && status < 300) return Verdict::final_answer;
  if (is_one_of(code, clock_codes)) return Verdict::clock_skew;
  if (kind_of(code, status) == Kind::throttled) return Verdict::throttled;
  // A refusal: AWS says that it did not start the work.
  if (status == 503 || code == "Unavailable" || code == "ServiceUnavailable") return Verdict::transient;
  if (code == "RequestTimeout" || code == "RequestTimeoutException") return Verdict::transient;
  if (kind_of(code, status) != Kind::io) return Verdict::final_answer;
  return status == 500 || status == 502 || status == 504 ? Verdict::uncertain : Verdict::final_answer;
}

Verdict judge(const Error& transport_error) {
  const bool wire = transport_error.kind == Kind::lost || transport_error.kind == Kind::timeout;
  return wire ? Verdict::uncertain : Verdict::final_answer;
}

std::optional<std::int64_t> parse_http_date(std::string_view text) {
  constexpr std::array<std::string_view, 12> months = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const auto words = split(trim(text), ' ');
  if (words.size() != 6 || words[5] != "GMT") return std::nullopt;
  const auto time = split(words[4], ':');
  const auto month = std::find(months.begin(), months.end(), words[2]);
  if (time.size() != 3 || month == months.end()) return std::nullopt;
  const auto day = parse_int(words[1]), year = parse_int(words[3]);
  const auto hour = parse_int(time[0]), minute = parse_int(time[1]), second = parse_int(time[2]);
  if (!day || !year || !hour || !minute || !second) return std::nullopt;
  if (*year < 1970 || *year > 9999 || *day < 1 || *day > 31) return std::nullopt;
  if (*hour < 0 || *hour > 23 || *minute < 0 || *minute > 59 || *second < 0 || *second > 60) return std::nullopt;
  using namespace std::chrono;
  const year_month_day date{std::chrono::year(static_cast<int>(*year)),
                            std::chrono::month(static_cast<unsigned>(month - months.begin() + 1)),
                            std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok()) return std::nullopt;
  const std::int64_t days = sys_days(date).time_since_epoch().count();
  return (((days * 24 + *hour) * 60 + *minute) * 60 + *second) * 1000;
}

Retry::Retry(os::Clock& clock, int max_attempts, std::function<double()> random)
    : clock_(clock), max_attempts_(max_attempts), random_(random ? std::move(random) : unpredictable) {}

bool Retry::wait_for_next(int attempt, Verdict verdict, std::int64_t began_ms) {
  if (clock_.steady_ms() - began_ms > longest_trying_ms) return false;
  const int price = verdict == Verdict::uncertain ? uncertain_cost : retry_cost;
  if (attempt >= max_attempts_ || budget_ < price) return false;
  budget_ -= price;
  const double seconds = random_() * std::min(std::pow(2.0, attempt - 1), longest_delay_s);
  clock_.sleep(Millis(static_cast<std::int64_t>(seconds * 1000)));
  return true;
}

Result<os::HttpResponse> Retry::send(os::HttpClient& http, Repeat repeat, const Make& make, const CodeOf& code_of) {
  bool clock_set = false;
  const auto began_ms = clock_.steady_ms();
  for (int attempt = 1;;) {
    auto answer = http.send(make(clock_.now_ms() + skew_ms_));
    const std::string code = answer && answer->status >= 300 ? code_of(*answer) : "";
    const Verdict verdict = answer ? judge(answer->status, code) : judge(answer.error());
    if (verdict == Verdict::final_answer) {
      if (attempt == 1) budget_ = std::min(budget_ + 1, full_budget);
      return answer;
    }
    if (verdict == Verdict::clock_skew) {
      const auto server = parse_http_date(answer->header("date"));
      const std::int64_t skew = server ? *server - clock_.now_ms() : skew_ms_;
      const bool differs = std::llabs(skew - skew_ms_) >= notable_skew_ms || is_one_of(code, surely_clock_codes);
      if (clock_set || !server || !differs) return answer;
      clock_set = true;
      skew_ms_ = skew;
      continue;
    }
    if (repeat == Repeat::never || (verdict == Verdict::uncertain && repeat == Repeat::unless_uncertain)) return answer;
    if (!wait_for_next(attempt, verdict, began_ms)) return answer;
    ++attempt;
  }
}

}  // namespace ferry::aws
