#pragma once
/// \file
/// What decides about machines, the rows of runs and instances that are not released, is in the ledger three times:
/// SQL triggers write two copies of each (schema.cc), whichever ferry writes the row. SQLite does not notice a
/// character that became another one; that two of three differ is noticed, and the two that agree are right.

#include "ledger/sqlite.h"

namespace ferry::ledger {

/// Fails corrupt where a row and its copies are not the same.
Status check_copies(Database& database);

/// Makes rows of what two of three say, and copies of the rows. A run of which no two say the same is removed, whole.
/// `copies_are_whole`: all that there were are there, so that a row that has none is not one that a ferry wrote.
/// True if nothing was removed.
Result<bool> settle_copies(Database& database, bool copies_are_whole);

}  // namespace ferry::ledger
