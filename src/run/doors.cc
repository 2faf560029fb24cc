#include "run/doors.h"

#include <csignal>

namespace ferry::run {

Wish Doors::check_signals(bool can_detach) {
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
