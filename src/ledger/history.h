#pragma once
/// \file
/// Ledger::take_history(). Within the caller's transaction.

#include "ledger/ledger.h"
#include "ledger/sqlite.h"

namespace ferry::ledger {

Status replace_history(Database& database, const Run& run, const History& history, std::int64_t now_ms);

}  // namespace ferry::ledger
