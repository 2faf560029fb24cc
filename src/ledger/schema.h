#pragma once
/// \file
/// The ledger's tables and how an older file is brought up to date.

#include "base/error.h"
#include "ledger/sqlite.h"
#include "os/file.h"

namespace ferry::ledger {

/// The schema this program writes, kept in the file as PRAGMA user_version.
extern const std::int64_t schema_version;
/// No ferry to come has so many: a larger number is damage.
inline constexpr std::int64_t most_schemas = 10'000;

/// From one schema to a later one, in the transaction that the caller has begun.
Status migrate(Database& database, std::int64_t from, std::int64_t to);

/// Whether its tables, indexes and triggers are those of schema_version, whatever its user_version says.
bool has_current_schema(Database& database);

/// Error::code of a database that is some other program's: it is left alone.
inline constexpr const char* other_program = "other-program";

/// Makes the tables in an empty file, migrates an older one, does nothing to a current one. Fails unsupported
/// for a newer one and corrupt for a database of some other program. Safe when several processes come at
/// once.
Status bring_up_to_date(Database& database, const os::Path& file);

}  // namespace ferry::ledger
