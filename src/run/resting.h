#pragma once
/// \file
/// `ends: stop`: when its run is over a machine is stopped in place of being given back, and rests until the user ends
/// it (`ferry down`). It stays in the ledger as rented, with its key pair, group and role, and costs its disk. The run
/// is in phase fetching then, with `rests` in its task, which is written when the cloud has said that the machine is
/// stopped: a ferry that was killed before is followed by the next command, which stops it. Internal to this room.

#include "fleet/machine.h"
#include "run/reach.h"

namespace ferry::run {

/// Whether the run's machine is to rest now, were it over: the task says so, its outputs are safe, and the user does
/// not want to have it longer.
bool may_rest(const ledger::Run& run);

/// Stops the machine of a run whose outputs are safe, waits for it, and notes that it rests; what the run reserved is
/// free for others. Moves the run to fetching. Fails not_found when the machine is gone.
Status put_to_rest(fleet::Context& context, ledger::Run& run);

/// Before a machine that rests, or stopped itself, is started: what the run may cost once its timer has begun anew is
/// reserved, within the user's limits.
Status reserve_start(fleet::Context& context, const ledger::Run& run);

/// "i-0abc rests: its disk of 100 GiB costs $8.00 a month until  ferry down digits-7k2".
std::string resting_words(const ledger::Instance& instance);

}  // namespace ferry::run
