#pragma once
/// \file
/// A run and what it was tried on, as JSON, for another computer's ledger. Who reads it need not believe who wrote it:
/// names are plain, amounts, times and counts within bounds.

#include "ledger/ledger.h"

namespace ferry::ledger {

/// Without what only this computer has: folders, addresses, keys, profiles, endpoints.
Json history_json(const Run& run, const History& history);

struct ToldRun {
  Run run;  ///< name, phase, outcome, exit code, error, times; the task as it stands there, unchecked
  History tried;
};
/// Fails corrupt for what history_json() never writes. Other members are left alone.
Result<ToldRun> history_from(const Json& json, const std::string& run);

}  // namespace ferry::ledger
