#pragma once
/// \file
/// What a person's settings file says of rehearsals: `rehearsal:` in ~/.config/ferry/config.yaml.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace ferry::task {

struct RehearsalSettings {
  std::optional<bool> internet;    ///< false: machines of rehearsals have no way to the internet
  std::vector<std::string> reach;  ///< HOST:PORT of this computer or its network that they reach besides; as written
};

/// Complaints as parse_task()'s. What else the file says is parse_settings()'s.
Result<RehearsalSettings> parse_rehearsal_settings(std::string_view yaml, std::string_view file);

}  // namespace ferry::task
