#include "run/doors.h"

#include <csignal>

namespace ferry::run {

Wish Doors::check_signals(bool can_detach) {
  constexpr std::int64_t a_second = 1000;
  if (const auto now = clock.steady_ms(); while_waiting && now - looked_after_ms >= a_second) {
    looked_after_ms = now;
    while_waiting();
  }
  while (const auto number = signals.next()) {
    if (wish != Wish::go_on) continue;
    if (*number == SIGINT && ask) {
      progress.pause();
      wish = ask(can_detach);
    } else if (*number == SIGHUP && can_detach) {
      wish = Wish::detach;
    } else {
      wish = Wish::cancel;
    }
  }
  return wish;
}

}  // namespace ferry::run
