#pragma once
/// \file
/// Options for `docker run` as people write them in config.docker.run_options. Inside this room only.

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace ferry::task {

/// One word an option, as docker takes them: `--gpus all -v ~/a:/a` is {"--gpus=all", "--volume=~/a:/a"}. A `~/` at the
/// beginning of a volume's source is the login user's home on the machine. Fails bad_input for what docker does not
/// know, and for what would keep ferry from running setup and training in the container, or from bringing the outputs
/// home.
Result<std::vector<std::string>> parse_run_options(std::string_view text);

}  // namespace ferry::task
