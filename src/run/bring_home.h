#pragma once
/// \file
/// What comes home by hand, when nobody follows the run or it is to be ended. Internal to this room.

#include "run/outputs.h"
#include "run/reach.h"

namespace ferry::run {

/// Brings home the outputs as they are now and what of the log is missing here; a machine that is stopped is
/// started with `may_start`. `owned`: this process owns the run; otherwise the log is left to whoever does.
Result<Outputs> bring_home(Doors& doors, const ledger::Run& run, bool may_start, bool owned);

/// Writes the log that is here to the run's folder of outputs. Trouble is only told: it holds up nothing.
void write_log_home(Doors& doors, const ledger::Run& run);

}  // namespace ferry::run
