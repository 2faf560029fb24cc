#pragma once
/// \file
/// A task that takes what another run made (RunRequest::passed_on) from the store that both have, instead of having it
/// sent. Internal to this room.

#include <optional>
#include <string>
#include <vector>

#include "job/passed_on.h"
#include "run/run.h"

namespace ferry::run {

struct Found {
  job::PassedOn files;
  task::StoredOutputs what;
};

/// Whether what `before` made may be taken by a run with that store, rented so: both store at the same place in S3 of
/// the same cloud, and all that `before` made is there. Pure.
bool may_be_taken(const ledger::Run& before, const std::string& store, task::Provider provider);

/// What the store has of the run that `request` names; nothing where it is all sent, as without a store. `store`: the
/// new run's. `lines` gets why, where the store could not be asked.
std::optional<Found> find_passed_on(fleet::Context& context, const RunRequest& request, const std::string& store,
                                    std::vector<std::string>& lines);

/// After the check: the task says what is taken, and a line from where.
void note_taken(RunRequest& request, const Found& found, const job::Taken& taken, std::vector<std::string>& lines);

}  // namespace ferry::run
