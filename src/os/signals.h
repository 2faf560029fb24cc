#pragma once
/// \file
/// Signals as readable bytes, so that one poll loop can wait for them beside everything else.

#include <initializer_list>
#include <optional>

#include "os/fd.h"

namespace ferry::os {

struct Signal {
  int number = 0;
  int word = 0;  ///< that whoever queued it gave along (sigqueue(3)); 0 otherwise
};

/// While it lives, the given signals do not end the process but can be read here (signalfd(2)). Children
/// started with Process::spawn get the default mask back. Make one before starting threads.
class SignalQueue {
 public:
  explicit SignalQueue(std::initializer_list<int> signals);
  ~SignalQueue();
  SignalQueue(const SignalQueue&) = delete;
  SignalQueue& operator=(const SignalQueue&) = delete;
  /// Readable when a signal waits.
  int fd() const { return fd_.get(); }
  /// The next signal's number, if one waits.
  std::optional<int> next();
  /// The same, with its word.
  std::optional<Signal> next_with_word();

 private:
  Fd fd_;
};

}  // namespace ferry::os
