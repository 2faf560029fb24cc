#pragma once
/// \file
/// A command on the machine that takes as long as it takes: making an environment, mounting, fetching a file.

#include <functional>
#include <string>

#include "fleet/context.h"
#include "os/process.h"
#include "ssh/session.h"

namespace ferry::job {

/// Gives `command` its `input` and reads what it says until it ends. Kept are the first 64 KiB of its output and the
/// last ones of its errors. `newest` gets the last line of these whenever there are more. The exit code is a value.
/// Fails cancelled when the user ends it (it is sent SIGTERM), lost when the connection breaks: "… while `doing`".
Result<os::Output> run_for_long(fleet::Context& context, ssh::Session& session, const std::string& command,
                                std::string_view input, std::string_view doing,
                                const std::function<void(std::string_view)>& newest = {});

}  // namespace ferry::job
