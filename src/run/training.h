#pragma once
/// \file
/// Following a job on the instance: its log to the laptop's copy and the screen, its state to the caller.

#include "run/link.h"
#include "run/local_log.h"

namespace ferry::run {

/// How the following ended.
struct Followed {
  agent::JobStatus status;
  Wish wish = Wish::go_on;  ///< detach: the job goes on; cancel: it was asked to stop and `status` is its end
};

class Training {
 public:
  /// All must outlive this.
  Training(Doors& doors, const ledger::Run& run, const Folder& folder, LocalLog& log)
      : doors_(doors), run_(run), folder_(folder), log_(log) {}

  /// Starts the job (calm if it was started before) and waits until setup is over. A value whose state is
  /// done means that setup failed, or, with the reason not_started, that nothing ran.
  Result<Followed> setup(Link& link, const agent::JobSpec& spec);
  /// Follows until the job is over and every byte of its log is here. A lost connection is `lost`: open a new
  /// link and call again.
  Result<Followed> follow(Link& link);
  /// Whether the agent told anything since this was asked last.
  bool heard() { return std::exchange(heard_, false); }

 private:
  enum class Until { running, done };
  Result<Followed> watch(agent::Client& client, Until until);
  Status take(agent::LogChunk chunk);
  void show_live(const agent::JobStatus& status);

  Doors& doors_;
  const ledger::Run& run_;
  const Folder& folder_;
  LocalLog& log_;
  bool cancel_sent_ = false, heard_ = false;
};

/// How long a cancelled training may take to save what it has, after SIGTERM.
inline constexpr Seconds cancel_grace{30};

}  // namespace ferry::run
