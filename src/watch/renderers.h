#pragma once
/// \file
/// The three renderers of Progress, and the sink they write to.

#include <memory>
#include <string_view>

#include "os/clock.h"
#include "watch/progress.h"

namespace ferry::watch {

/// A descriptor that is written to until it fails once (a closed pipe): watching must never end a run.
class Sink {
 public:
  explicit Sink(int fd) : fd_(fd) {}
  int fd() const { return fd_; }
  void write(std::string_view bytes);

 private:
  int fd_;
  bool broken_ = false;
};

/// True if both lead to the same terminal, pipe or file.
bool same_target(int first, int second);

std::unique_ptr<Progress> make_plain(int out, int err, os::Clock& clock, bool quiet = false);
std::unique_ptr<Progress> make_terminal(int out, int err, os::Clock& clock);

}  // namespace ferry::watch
