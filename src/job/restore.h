#pragma once
/// \file
/// What earlier attempts of a run have stored comes back to where its training left it: the machine takes it from the
/// store itself, at the speed that it has there.

#include "agent/restore.h"
#include "job/connection.h"

namespace ferry::job {

/// Shows how far it is. attempt 0: nothing was stored. Fails lost with the connection, cancelled by the user, otherwise
/// as the machine says.
Result<agent::RestoreReport> restore_stored(fleet::Context& context, Connection& connection,
                                            const agent::RestoreOrder& order);

}  // namespace ferry::job
