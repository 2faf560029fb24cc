#include "run/interrupter.h"

#include "os/fd.h"

namespace ferry::run {

namespace {
constexpr Millis step{100};
/// A transfer that moves reads its signals many times a second.
constexpr int steps_unheard = 10;
}  // namespace

Interrupter::Interrupter(Doors& doors, bool can_detach, std::function<bool(Doors&)> ends,
                         std::function<void(const sync::Progress&)> told)
    : doors_(doors),
      can_detach_(can_detach),
      ends_(std::move(ends)),
      told_(std::move(told)),
      listener_([this] { listen(); }) {}

Interrupter::~Interrupter() {
  over_ = true;
  listener_.join();
}

void Interrupter::listen() {
  for (int unheard = 0; !over_;) {
    // Only looks: reading them is for the thread of the doors.
    if (os::wait_readable(doors_.signals.fd(), step)) {
      std::this_thread::sleep_for(std::chrono::milliseconds(step));
      if (++unheard >= steps_unheard) stop_ = true;
    } else {
      unheard = 0;
    }
  }
}

sync::Options Interrupter::options() {
  stop_ = false;
  sync::Options options;
  options.cancelled = &stop_;
  options.progress = [this](const sync::Progress& now) {
    doors_.check_signals(can_detach_);
    if (ends_(doors_)) stop_ = true;
    if (told_) told_(now);
  };
  return options;
}

bool Interrupter::ends() {
  doors_.check_signals(can_detach_);
  return ends_(doors_);
}

}  // namespace ferry::run
