#pragma once
/// \file
/// Machines of the user's own (infra: ssh/HOST), which are never ended: what ferry started there is.

#include <string>
#include <vector>

#include "fleet/machine.h"

namespace ferry::fleet {

/// Ends the run's agent and whatever its training started there, and removes its files. What serves later
/// runs (the agent's program, environments) stays in ~/.ferry until clear_own_machine(). Fails io with what
/// is left; lost, timeout or denied when the machine cannot be reached.
/// `connected`: a connection that is there already; may be null, or broken.
Status clean_own_machine(Context& context, const RunDir& run_dir, const ledger::Instance& instance,
                         ssh::Session* connected = nullptr);

/// The same for `runs` as the user's ssh config knows `host`; then removes ~/.ferry, unless other runs
/// need it. An agent whose run has no files there any more needs nothing: it is ended. A connection there that is held
/// is let go of.
Status clear_own_machine(Context& context, const std::string& host, const std::vector<std::string>& runs);

}  // namespace ferry::fleet
