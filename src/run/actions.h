#pragma once
/// \file
/// What people do with runs that exist: look, follow, fetch, stop, release. Every one of them works from any
/// process at any time.

#include <functional>

#include "run/doors.h"
#include "run/folder.h"
#include "run/machine.h"
#include "run/outputs.h"

namespace ferry::run {

/// Finds runs whose owner died and settles each: before the job could have been started, whatever was rented
/// is released; from then on, a background process takes over following it. Each is told in one note. Cheap
/// (one ledger query) when there is nothing to do.
Status settle(Doors& doors);

/// Asks the cloud about every instance that the ledger holds for live, and notes what is gone. Unreachable
/// clouds are warned about.
Status look_at_clouds(Doors& doors);

/// Stops the training, brings home what there is, releases. Returns when released (or when the owner gave
/// up).
Status cancel(Doors& doors, const std::string& run);

/// Releases everything of the run; with `fetch`, outputs are brought home first where the machine can be
/// reached: if it answers and they cannot be stored here, it is kept, and that is the error. Returns the ids
/// that were terminated.
Result<std::vector<std::string>> down(Doors& doors, const std::string& run, bool fetch);

/// down() for every run, then everything that carries this user's ferry tags, in every place of the ledger
/// and in every region of the environment's own AWS account. Returns the ids terminated.
Result<std::vector<std::string>> down_all(Doors& doors, bool fetch);

/// Brings the outputs home as they are now. For a released run: says whether they are home.
Result<Outputs> fetch(Doors& doors, const std::string& run);

/// Hands over the whole log once, in order. Without `follow`: up to what the machine has by now. With it:
/// until the job is over.
Status logs(Doors& doors, const std::string& run, bool follow,
            const std::function<Status(std::string_view, bool is_error)>& write);

/// The ssh command line to the run's machine, with today's address.
Result<os::Argv> ssh_command(Doors& doors, const std::string& run, const os::Argv& command);

}  // namespace ferry::run
