#pragma once
/// \file
/// What the machine does before the job that it is asked to start in the same breath: the laptop's end of
/// agent/preparation.h.

#include <functional>
#include <string>

#include "fleet/context.h"
#include "job/connection.h"

namespace ferry::job {

struct Preparation {
  std::string command, input;  ///< a line of the shell, and its standard input
  /// Gets the last line that it wrote on standard error, whenever there are more.
  std::function<void(std::string_view)> newest;
  /// Called once it has ended, well or not, as run_for_long() would tell. Where it ended well, the job starts whatever
  /// this returns; where it did not, this says why.
  std::function<Status(const os::Output&)> ended;
};

/// Waits until what comes before the channel (Connection::agent_after()) has ended. A failure that the machine tells is
/// a value: then, and after cancelled, which the user wanted, the job certainly does not start. Fails lost where nobody
/// knows whether it did.
Result<os::Output> await_preparation(fleet::Context& context, AgentChannel& channel, const Preparation& preparation);

}  // namespace ferry::job
