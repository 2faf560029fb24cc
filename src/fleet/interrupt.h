#pragma once
/// \file
/// Has the cloud take back a spot machine of a run, as it would when it wants it: the notice comes at once, and two
/// minutes later the machine goes. By AWS's Fault Injection Service (aws/fis.h), which needs a role: one is made that
/// may interrupt this machine and nothing else, and removed when the notice was sent.

#include <string>

#include "fleet/machine.h"

namespace ferry::fleet {

/// What the role may is written under this name.
inline constexpr const char* interrupt_policy_name = "ferry-interrupt";

/// Of the run's interruptions.
std::string interrupt_role_name(const std::string& run, const std::string& launch_id);

/// Returns when the notice was sent: the experiment's id. Fails bad_input for a machine that is not rented as spot,
/// not_found for one that does not run, unsupported for one of the user's own, denied with what allows it where these
/// credentials may not, else as AWS does. The role is noted as the run's before it is made; what could not be removed
/// stays noted.
Result<std::string> send_interruption(Context& context, const ledger::Run& run, const ledger::Instance& machine);

}  // namespace ferry::fleet
