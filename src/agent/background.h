#pragma once
/// \file
/// What a command leaves running when it ends: a saver that is still writing is waited for, a service that
/// idles is not.

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/tree.h"
#include "os/file.h"

namespace ferry::agent {

/// How long what runs on in the background is waited for.
struct Patience {
  Millis quiet{5'000};    ///< nothing written and nothing done for so long: it is not waited for any more
  Millis small{60'000};   ///< at most, for what writes little, as a monitor does, or only works
  Millis large{600'000};  ///< at most, for what writes a MiB and more in each `quiet`, as a saver does
};

/// One thread.
class Background {
 public:
  /// `expected`: processes that may run on, with all below them, and are not waited for (services that setup
  /// started).
  Background(os::Path workdir, std::set<Named> expected, Patience patience)
      : workdir_(std::move(workdir)), expected_(std::move(expected)), patience_(patience) {}

  /// One more of these.
  void expect(Named process) { expected_.insert(process); }

  /// Looks at what is left of the job (ten times a second at most) and says whether it is waited for: it
  /// writes below the workdir, or works. `now`: Clock::steady_ms.
  bool waits(std::int64_t now);
  /// The command lines of what is left now.
  std::vector<std::string> left() const;

 private:
  struct Seen {
    std::uint64_t worked_ms = 0, written = 0;
    std::uint64_t below = 0;  ///< bytes of the files below the workdir that it has open for writing
  };
  struct Stamp {
    std::uint64_t entries = 0, bytes = 0;
    std::int64_t newest = 0;
    bool operator==(const Stamp&) const = default;
  };
  std::vector<pid_t> others() const;
  Seen look_at(pid_t pid) const;
  Stamp look_at_outputs() const;
  void note_changes(std::int64_t now, const std::vector<pid_t>& left);

  os::Path workdir_;
  std::set<Named> expected_;
  Patience patience_;
  std::map<pid_t, Seen> before_;
  Stamp outputs_;
  std::int64_t began_ = 0, looked_ = 0, window_ = 0;  ///< `window_`: since then the sums below are counted
  std::int64_t active_ = 0, large_ = 0;
  std::uint64_t worked_ms_ = 0, written_ = 0, grown_ = 0;
  bool waits_ = false;
};

}  // namespace ferry::agent
