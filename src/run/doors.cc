#include "run/doors.h"

#include <algorithm>
#include <csignal>

namespace ferry::run {

namespace {
/// timeout(1), service managers and terminals may send the same request twice; so soon after the first it is
/// no second one.
constexpr Millis same_request{300};
constexpr Millis step{100};

void take(Doors& doors, const os::Signal& signal, bool can_detach) {
  const int number = signal.number;
  if (number == SIGTERM && signal.word == give_up_word) {
    doors.given_up = doors.letting_go = true;
    doors.wish = Wish::cancel;
    return;
  }
  if (doors.wish != Wish::go_on) {
    const bool is_same = doors.clock.steady_ms() - doors.wished_ms < same_request.count();
    if (number != SIGHUP && !is_same) doors.letting_go = true;
    return;
  }
  if (number == SIGHUP && doors.is_ending) return;  // nobody watches any more; the rest needs nobody
  if (number == SIGINT && doors.ask && !doors.is_ending) {
    doors.progress.pause();
    doors.wish = doors.ask(can_detach);
  } else if (number == SIGHUP && can_detach) {
    doors.wish = Wish::detach;
  } else {
    doors.wish = Wish::cancel;
  }
  doors.wished_ms = doors.clock.steady_ms();
  if (doors.is_ending)
    doors.progress.note("what is left is being done; another Ctrl-C or SIGTERM stops waiting for it");
}

}  // namespace

Wish Doors::check_signals(bool can_detach) {
  constexpr std::int64_t a_second = 1000;
  if (const auto now = clock.steady_ms(); while_waiting && now - looked_after_ms >= a_second) {
    looked_after_ms = now;
    while_waiting();
  }
  while (const auto signal = signals.next_with_word()) take(*this, *signal, can_detach);
  return wish;
}

bool Doors::sleep(Millis time, bool can_detach) {
  const auto before = wish;
  for (auto left = time; left.count() > 0; left -= step) {
    if (check_signals(can_detach) != before || letting_go) return false;
    clock.sleep(std::min(left, step));
  }
  return true;
}

}  // namespace ferry::run
