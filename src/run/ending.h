#pragma once
/// \file
/// What a run's end is called: outcome, exit code and reason, decided in one place and from values alone, so
/// that the ledger, what is shown and the exit code cannot disagree. Internal to this room.

#include "agent/protocol.h"
#include "ledger/ledger.h"

namespace ferry::run {

inline constexpr int exit_cut = 124;        ///< as timeout(1) has it
inline constexpr int exit_cancelled = 130;  ///< as a shell has it after Ctrl-C

/// In Run::task of a run that did not start: nothing was rented, and the same may work later.
inline constexpr const char* may_start_later = "may_start_later";

/// How a job ended.
struct JobEnding {
  /// none: by itself and well, which is called succeeded once the outputs are home.
  ledger::Outcome outcome = ledger::Outcome::none;
  /// The training's own; of a run that was stopped never 0, whatever the training said: exit_cancelled or
  /// exit_cut. Nothing when it never said anything that counts.
  std::optional<int> exit_code;
  std::string error;  ///< why, one line; empty when it ended by itself
};
JobEnding ending_of(const agent::JobStatus& status, Seconds max_duration);

/// What the run made is safe without its machine: all of it is home, or in the run's store.
bool is_durable(const ledger::Run& run);

/// The job ended by itself and well; only its outputs are awaited.
bool awaits_outputs(const ledger::Run& run);

/// What the run is called once nothing more can come of it: succeeded only where it is durable.
/// `otherwise`: when it is neither that nor decided already.
ledger::Outcome final_outcome(const ledger::Run& run, ledger::Outcome otherwise);

/// What `ferry run` exits with: 0 only for a run that succeeded; where the run has no code of its own,
/// try_later for one that may_start_later, else ferry_failed.
int exit_code_of(const ledger::Run& run);

}  // namespace ferry::run
