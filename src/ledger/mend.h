#pragma once
/// \file
/// A damaged ledger is set aside, and another is made of what can still be read of it and of its copies (copies.h). A
/// run that may hold a machine, of which something can be had from neither, is left out as a whole, so that the machine
/// is in no ledger and is found by its tags.

#include "base/error.h"
#include "ledger/sqlite.h"
#include "os/file.h"

namespace ferry::ledger {

/// Looks at the ledger once more, with every writer kept out. False: it is whole, and nothing was done. True: another
/// one stands in its place, the damaged one beside it (FILE.damaged, FILE.damaged-2, …), and last_mending() tells.
/// Killed at any line, the next call goes on. Fails denied, disk_full, timeout or io where nothing could be made.
Result<bool> mend(const os::Path& file);

/// Finishes what a killed mend() had all but done. Takes no lock: the caller holds that of the schema.
Status finish_mending(const os::Path& file);

/// Notes for last_mending() that a ledger that had runs once is an empty file by now.
void note_if_emptied(const os::Path& file);

/// Adds to a ledger the runs of another one that it does not have, with all that belongs to them: of the file that a
/// process still holds open, when it was removed or replaced.
Status add_missing(Database& from, Database& into);

/// Fails corrupt where SQLite does not find every page and index of it in order.
Status check_pages(Database& database);
/// check_pages(), and each row is one that a ferry wrote.
bool is_whole(Database& database);

}  // namespace ferry::ledger
