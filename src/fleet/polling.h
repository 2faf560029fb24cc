#pragma once
/// \file
/// Waiting for a cloud.

#include "fleet/context.h"

namespace ferry::fleet {

/// "waiting until i-0abc was running (1m so far, at most 10m)", for Progress::update().
inline std::string waiting_text(const std::string& what, Millis so_far, Seconds limit) {
  return fmt::format("waiting until {} ({} so far, at most {})", what, show_duration(so_far), show_duration(limit));
}

/// Waits with growing steps until `done` gives something, or the limit passes, or the user cancels, or lets
/// go (then whatever `may_cancel` says).
template <class Done>
Status poll_until(Context& context, Seconds limit, bool may_cancel, const std::string& what, Done done) {
  const auto begun = context.clock.steady_ms(), end = begun + limit.count() * 1000;
  constexpr Millis first{50}, most{2000};
  for (auto nap = first;; nap = std::min(nap * 2, most)) {
    TRY_SET(finished, "", done());
    if (finished) return {};
    const auto interrupt = context.check_signals(false);
    if (context.letting_go) return fail(Kind::cancelled, "stopped waiting until " + what);
    if (may_cancel && interrupt == Interrupt::cancel) return fail(Kind::cancelled, "cancelled");
    const auto now = context.clock.steady_ms();
    if (now > end) {
      return fail(Kind::timeout, fmt::format("{} not within {}", what, show_duration(limit)));
    }
    if (nap == most) context.progress.update(waiting_text(what, Millis(now - begun), limit));
    context.sleep(nap, false);
  }
}

/// Whether time alone may cure it: AWS is busy or has trouble of its own, the network is away, something is
/// still in use.
inline bool may_pass(const Error& error) {
  return error.kind == Kind::throttled || error.kind == Kind::io || error.kind == Kind::timeout ||
         error.kind == Kind::lost || error.code == "DependencyViolation";
}

/// How long what must be given back is tried to be given back: a machine costs until then.
/// FERRY_RELEASE_LIMIT overrides it.
Seconds release_limit();

/// Makes the call again while may_pass() and release_limit() allow it, and nobody lets go.
template <class Call>
auto patiently(Context& context, Call call) -> decltype(call()) {
  const auto end = context.clock.steady_ms() + release_limit().count() * 1000;
  for (Millis nap{1000};; nap = std::min(nap * 2, Millis(15'000))) {
    auto answer = call();
    if (answer || !may_pass(answer.error()) || context.clock.steady_ms() + nap.count() > end) return answer;
    context.progress.update(answer.error().what + "; trying again");
    context.sleep(nap, false);
    if (context.letting_go) return answer;
  }
}

}  // namespace ferry::fleet
