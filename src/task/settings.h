#pragma once
/// \file
/// The user's own settings file, ~/.config/ferry/config.yaml: what every task has, unless it says otherwise.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bill.h"
#include "base/error.h"
#include "base/units.h"
#include "task/aws_settings.h"

namespace ferry::task {

/// `rehearsal:`
struct RehearsalSettings {
  std::optional<bool> internet;    ///< false: machines of rehearsals have no way to the internet
  std::vector<std::string> reach;  ///< HOST:PORT of this computer or its network that they reach besides; as written
};

struct Settings {
  AwsSettings aws;
  RehearsalSettings rehearsal;
  std::optional<std::string> store;  ///< as Task::store, for machines that are rented
  Caps limits;                       ///< `limits:`, that all runs together keep
  std::optional<Seconds> hold;       ///< `hold_connection:`, as read_hold() has it
  /// `defaults: skypilot`: a task that says nothing of its size gets what SkyPilot gives it.
  bool skypilot_defaults = false;
};
/// Complaints as parse_task()'s.
Result<Settings> parse_settings(std::string_view yaml, std::string_view file);
/// How long a connection is held for the next command: a duration of at most a day, or "off" (0).
Result<Seconds> read_hold(std::string_view text);
/// The settings with `store: URI`: in the place of the line that says so, else at the end; all else, comments too, as
/// it was. Fails bad_input where that would not be read as meant (settings in braces, for example).
Result<std::string> with_store(std::string_view yaml, std::string_view file, const std::string& uri);

}  // namespace ferry::task
