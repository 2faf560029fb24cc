#include "fleet/context.h"

#include <algorithm>
#include <csignal>

namespace ferry::fleet {

namespace {
/// timeout(1), service managers and terminals may send the same request twice; so soon after the first it is
/// no second one.
constexpr Millis same_request{300};
constexpr Millis step{100};

void take(Context& context, const os::Signal& signal, bool can_detach) {
  const int number = signal.number;
  if (number == SIGTERM && signal.word == give_up_word) {
    context.given_up = context.letting_go = true;
    context.interrupt = Interrupt::cancel;
    return;
  }
  if (context.interrupt != Interrupt::go_on) {
    const bool is_same = context.clock.steady_ms() - context.interrupted_ms < same_request.count();
    if (number != SIGHUP && !is_same) context.letting_go = true;
    return;
  }
  if (number == SIGHUP && context.is_ending) return;  // nobody watches any more; the rest needs nobody
  if (number == SIGINT && context.ask && !context.is_ending) {
    context.progress.pause();
    context.interrupt = context.ask(can_detach);
  } else if (number == SIGHUP && can_detach) {
    context.interrupt = Interrupt::detach;
  } else {
    context.interrupt = Interrupt::cancel;
  }
  context.interrupted_ms = context.clock.steady_ms();
  if (context.is_ending)
    context.progress.note("what is left is being done; another Ctrl-C or SIGTERM stops waiting for it");
}

}  // namespace

Interrupt Context::check_signals(bool can_detach) {
  constexpr std::int64_t a_second = 1000;
  if (const auto now = clock.steady_ms(); while_waiting && now - looked_after_ms >= a_second) {
    looked_after_ms = now;
    while_waiting();
  }
  while (const auto signal = signals.next_with_word()) take(*this, *signal, can_detach);
  return interrupt;
}

bool Context::sleep(Millis time, bool can_detach) {
  const auto before = interrupt;
  for (auto left = time; left.count() > 0; left -= step) {
    if (check_signals(can_detach) != before || letting_go) return false;
    clock.sleep(std::min(left, step));
  }
  return true;
}

}  // namespace ferry::fleet
