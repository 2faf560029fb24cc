#pragma once
/// \file
/// What a store says of a run apart from what its machine put there: runs/RUN/record.json, which the ferry that began
/// the run puts before anything is rented. With it a run is known again where its ledger is not. The machine of a run
/// may write there, too: nothing is believed that would lead out of the run. Internal to this room.

#include <optional>
#include <string>
#include <vector>

#include "fleet/context.h"
#include "run/actions.h"
#include "store/store.h"

namespace ferry::run {

struct StoredRecord {
  std::string owner, ledger;  ///< user@host and ledger id (fleet/labels.h) of the ferry that began it; empty: not said
  /// As this ledger would note it: its store, the folders for it below the current one, phase training; what was meant
  /// by it, as far as that has the form that ferry writes.
  ledger::Run run;
};

/// Puts there what another ferry needs to go on with the run when this computer is gone. No secret's value. Shows
/// before anything is rented that the store can be used, and that nobody else's run is called so there: names are few,
/// and what that one stored is not this one's. Fails exists.
Status put_record(fleet::Context& context, const ledger::Run& run);

/// Of one run; nothing where the store has none. Fails corrupt for what no ferry wrote.
Result<std::optional<StoredRecord>> read_record(fleet::Context& context, store::Store& store, const std::string& run);

/// What the record of a run that was found by its machine's tags knows besides: what was meant by it. Where there is
/// no store, or it cannot be asked, the run stays as it is.
void add_record(fleet::Context& context, const std::string& run);

/// Every run in the store that is in no ledger here and has a record, by name. A record that cannot be read is told.
Result<std::vector<StoredRecord>> find_records(fleet::Context& context, store::Store& store);

struct TakeOptions {
  bool is_named = false;  ///< the user wants this one: one that another computer's ferry holds is waited for
  bool may_live = false;  ///< its machine may be where nobody looked
  GoOnQuestion may_go_on = {};
};
/// Takes a run whose machine was not found into this ledger. One that was not at its end, and could be tried again from
/// here (history.h), waits for its next attempt if `may_go_on` says so: true, and it is for recover_orphan() then.
/// Others are over: with their outcome where all is stored, otherwise lost; what is stored stays there until it is
/// fetched. Fails not_found where the store has nothing but the record; conflict where not all is stored and its
/// machine may live, or another computer's ferry is at work with it; as `may_go_on` does, or cancelled when that says
/// no.
Result<bool> take_stored(fleet::Context& context, const StoredRecord& record, const TakeOptions& options);

}  // namespace ferry::run
