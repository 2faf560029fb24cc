#include "os/signals.h"

#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>

namespace ferry::os {

SignalQueue::SignalQueue(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : signals) sigaddset(&set, number);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  fd_ = Fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}

SignalQueue::~SignalQueue() = default;

std::optional<int> SignalQueue::next() {
  const auto signal = next_with_word();
  return signal ? std::optional(signal->number) : std::nullopt;
}

std::optional<Signal> SignalQueue::next_with_word() {
  signalfd_siginfo info;
  if (::read(fd_.get(), &info, sizeof info) != sizeof info) return std::nullopt;
  return Signal{static_cast<int>(info.ssi_signo), info.ssi_code == SI_QUEUE ? info.ssi_int : 0};
}

}  // namespace ferry::os
