#pragma once
/// \file
/// What runs may still cost, and whether one more keeps the user's caps. Inside this room only: the caller has begun
/// the transaction, without which two runs would both see room for themselves.
///
/// A machine that rests (`ends: stop`) is none of the machines at once, and counts with its disk. A run that has
/// reserved counts with all that it may still cost, until it is over: then with what it has cost. A machine without a
/// reservation (of a ferry before this one, or found by its tags) counts with its own rate for as long as it is there.
/// A day and a month are of UTC; a machine that was there over midnight counts in both with the time that it was there.
/// A capacity block, which is paid at once, counts whole in the day and month in which it was bought, also as long as
/// nobody knows whether it was. So that a cap holds on the days to come, too, what is reserved now must keep it on a
/// whole day.

#include "ledger/ledger.h"
#include "ledger/sqlite.h"

namespace ferry::ledger {

/// Of all runs of the provider but one.
Result<Use> use_of(Database& database, std::string_view provider, std::string_view but_run, std::int64_t now_ms);
/// As Ledger::reserve().
Status reserve_in(Database& database, const Reservation& wanted, const Caps& caps, std::int64_t now_ms);
/// As Ledger::reserve_purchase().
Status reserve_in(Database& database, const Purchase& wanted, const Caps& caps, std::int64_t now_ms);

}  // namespace ferry::ledger
