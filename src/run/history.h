#pragma once
/// \file
/// What a run with a store was tried on so far, in that store (store::history_key()), and with it what another computer
/// needs to begin the next attempt: what was asked for, without secrets, and what was sent (store::sent_key()). Whoever
/// has the run's lease puts it there. The role that ferry makes for a machine may not write it. All the same nothing is
/// believed of it that would be done on this computer. Internal to this room.

#include <optional>
#include <string>

#include "fleet/context.h"
#include "job/stored.h"
#include "ledger/ledger.h"
#include "store/store.h"

namespace ferry::run {

struct RunHistory {
  std::string ledger;     ///< whose it is (fleet/labels.h)
  ledger::Run run;        ///< name, phase, times, and the task as its own ledger notes it
  ledger::History tried;  ///< machines without what only the computer that rented them has: addresses, keys, profiles
};

/// As this ledger knows it.
Status put_history(fleet::Context& context, store::Store& store, const ledger::Run& run);
/// Nothing where the store has none. Fails corrupt for what no ferry wrote.
Result<std::optional<RunHistory>> read_history(store::Store& store, const std::string& run);

/// What another computer did with the run since this one last had its lease: taken into the ledger, and true. Only with
/// the lease.
Result<bool> catch_up(fleet::Context& context, const ledger::Run& run);

/// What the store has of its newest attempt, number `attempt`, shows how far that has come at least: a history is
/// written now and then.
void settle_phase(ledger::Run& run, int attempt, const job::Stored& stored);

/// Whether the run may be gone on with on this computer, whoever wrote the history: not where its task would have this
/// computer run a command, or read a file, that was not named here. Otherwise why not: unsupported, not_found.
Status may_go_on_here(const RunHistory& history);
/// What a person must know who is asked whether to go on: the command, where, what it may still cost.
std::string describe_going_on(const RunHistory& history);
/// As it is to stand in this ledger: the run as `base` with what the history knows, each machine as this computer finds
/// it. Pure but for `context`'s ledger id.
Result<RunHistory> as_noted_here(fleet::Context& context, const ledger::Run& base, RunHistory history);

}  // namespace ferry::run
