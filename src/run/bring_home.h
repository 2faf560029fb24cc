#pragma once
/// \file
/// What comes home by hand, when nobody follows the run or it is to be ended. Internal to this room.

#include "job/outputs.h"
#include "run/reach.h"

namespace ferry::run {

struct BroughtHome {
  job::Outputs outputs;
  std::optional<agent::JobStatus> job;  ///< how the training stood, where the run is owned and the agent said so
};
/// Error::code of bring_home() of an owned run that was found again: nothing of a run was ever put on its machine.
inline constexpr const char* never_used_code = "never used";

/// Brings home the outputs as they are now and what of the log is missing here; a machine that is stopped is
/// started with `may_start`. `owned`: this process owns the run, whose machine is to be given back: a training
/// that still runs is stopped first. Otherwise the log is left to whoever owns it.
Result<BroughtHome> bring_home(fleet::Context& context, const ledger::Run& run, bool may_start, bool owned);

/// Makes the copy of the log here whole from the machine, as far as that can be, and writes train.log: from the
/// machine itself, where there is no room for the copy. What is missing then is told. `size`: what a whole log
/// has; if it is not known, the machine is asked. Returns where train.log is. Only for the run's owner.
Result<os::Path> bring_log_home(fleet::Context& context, job::Connection& connection, const fleet::RunDir& run_dir,
                                const ledger::Run& run, std::optional<std::uint64_t> size = std::nullopt);

/// For bringing something home where nothing is lost by ending: whatever signal comes ends it.
sync::Options unless_interrupted(fleet::Context& context);

/// Writes the log that is here, if there is any, to the run's folder of outputs. Trouble is only told: it holds up
/// nothing.
void write_log_home(fleet::Context& context, const ledger::Run& run);

/// Writes train.log of runs that are over where that could not be done when they ended. Cheap when there are none.
void pay_owed_logs(fleet::Context& context);

}  // namespace ferry::run
