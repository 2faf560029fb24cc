#pragma once
/// \file
/// A run and its store, from the ledger's point of view. Internal to this room.

#include "fleet/store_access.h"
#include "job/stored.h"

namespace ferry::run {

/// Opens the run's store, with the credentials that its machine was rented with.
job::OpenStore store_of(fleet::Context& context, const ledger::Run& run, fleet::Hurry hurry = fleet::Hurry::no);

/// Whether it can be asked from here. A folder of a machine of one's own may be that machine's alone.
bool is_seen_from_here(const fleet::Context& context, const ledger::Run& run);

/// What is in the store of the newest attempt that has stored anything; nothing: the run has no store, none that is
/// seen from here, or it is empty.
Result<std::optional<job::Stored>> look_in_store(fleet::Context& context, const ledger::Run& run);

/// How the job ended, as its machine left word in the store, unless that is known already; and that its outputs are
/// there. Changes `run` and what is noted of it in the ledger. Only for the run's owner.
Status adopt_stored(fleet::Context& context, ledger::Run& run, const job::Stored& stored);

/// Brings home what is there, and what of the log is longer there than here.
Result<job::Outputs> bring_stored_home(fleet::Context& context, const ledger::Run& run, const job::Stored& stored,
                                       const sync::Options& options);

}  // namespace ferry::run
