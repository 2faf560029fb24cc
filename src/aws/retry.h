#pragma once
/// \file
/// Asking again: AWS SDKs' "standard" mode, on an injected clock. The only place where AWS calls are repeated
/// after a failure of the wire or of AWS itself.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "os/clock.h"
#include "os/http.h"

namespace ferry::aws {

/// What may happen when nobody knows whether AWS did the work (the answer was lost or late).
enum class Repeat {
  freely,            ///< idempotent, or carries a ClientToken: send it again
  unless_uncertain,  ///< send again only what AWS surely did not do
  never              ///< once, on a connection of its own: the caller looks before it is sent again
};

/// What an answer (or its absence) calls for.
enum class Verdict { final_answer, throttled, transient, uncertain, clock_skew };
/// `code` is AWS's error code, if the answer has one.
Verdict judge(int status, std::string_view code);
Verdict judge(const Error& transport_error);

/// An HTTP date ("Sun, 06 Nov 1994 08:49:37 GMT") in milliseconds since 1970; nothing if it is not one.
std::optional<std::int64_t> parse_http_date(std::string_view text);

/// Shared by all calls of one client: the attempts allowed, the budget of retries, and how wrong our clock
/// is.
class Retry {
 public:
  /// `random` gives numbers in [0, 1); the default is unpredictable.
  Retry(os::Clock& clock, int max_attempts, std::function<double()> random = {});

  using Make = std::function<os::HttpRequest(std::int64_t now_ms)>;    ///< signs for that time
  using CodeOf = std::function<std::string(const os::HttpResponse&)>;  ///< AWS's error code, or ""
  /// Sends until there is a final answer, the attempts are used up, the budget is empty or two and a half
  /// minutes have passed; the last answer or transport error is returned. After an error that says our clock
  /// is wrong, once more by the server's.
  Result<os::HttpResponse> send(os::HttpClient& http, Repeat repeat, const Make& make, const CodeOf& code_of);

 private:
  bool wait_for_next(int attempt, Verdict verdict, std::int64_t began_ms);

  os::Clock& clock_;
  int max_attempts_;
  std::function<double()> random_;
  int budget_ = 500;          // a retry takes 5, after a time-out 10; a first-time success gives 1 back
  std::int64_t skew_ms_ = 0;  // the server's clock minus ours
};

}  // namespace ferry::aws
