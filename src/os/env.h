#pragma once
/// \file
/// Environment variables and the folders ferry may write to (XDG Base Directory Specification).

#include <optional>
#include <string>

#include "base/units.h"
#include "os/file.h"

namespace ferry::os {

/// Nothing if unset or empty.
std::optional<std::string> env(const char* name);
/// A length of time, as parse_duration() reads it; `usual` if unset, empty, or none.
Seconds env_duration(const char* name, Seconds usual);
/// $HOME, else the password file.
Path home_dir();
/// $XDG_DATA_HOME/ferry, else ~/.local/share/ferry: the ledger, run folders, keys, the rehearsal cloud.
Path data_dir();
/// $XDG_CONFIG_HOME/ferry, else ~/.config/ferry: what people write for us.
Path config_dir();
/// $XDG_CACHE_HOME/ferry, else ~/.cache/ferry: what can be made again.
Path cache_dir();
/// The login name, for tags; "unknown" if there is none.
std::string user_name();
std::string host_name();
bool is_root();
/// True if a coding agent reads what this process writes, as the variables that such programs set for what they start
/// say: AI_AGENT, CLAUDECODE, CODEX_SANDBOX, CURSOR_AGENT, GEMINI_CLI (not empty, 0 or false).
bool called_by_agent();

}  // namespace ferry::os
