#pragma once
/// \file
/// How far a transfer has come, in one line.

#include <cstdint>
#include <deque>
#include <string>

#include "base/units.h"

namespace ferry::watch {

/// "1.2 of 3.4 GB · 12000 of 20000 files · 24 MB/s · 01:31 left". The rate is that of the last seconds, so that a link
/// that became slow, or stopped, shows; time left goes by it. Both are left out before there is something to go by, and
/// the files where there is only one.
class Transfer {
 public:
  struct Amounts {
    std::uint64_t bytes = 0, bytes_total = 0, files = 0, files_total = 0;
  };
  /// `now_ms`: of a steady clock; never less than before.
  std::string line(const Amounts& amounts, std::int64_t now_ms);

 private:
  struct Look {
    std::int64_t ms;
    std::uint64_t bytes;
  };
  std::deque<Look> looks_;  // of the last seconds, and one from before
};

}  // namespace ferry::watch
