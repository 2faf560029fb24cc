#include "os/env.h"

#include <pwd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

namespace ferry::os {

std::optional<std::string> env(const char* name) {
  const char* value = std::getenv(name);
  if (!value || !*value) return std::nullopt;
  return value;
}

Seconds env_duration(const char* name, Seconds usual) {
  const auto text = env(name);
  return text ? parse_duration(*text).value_or(usual) : usual;
}

Path home_dir() {
  if (auto home = env("HOME")) return *home;
  if (const passwd* entry = ::getpwuid(::getuid())) return entry->pw_dir;
  return "/";
}

namespace {

/// The XDG specification says that a relative path is to be ignored.
Path xdg(const char* variable, const char* fallback) {
  if (const auto value = env(variable); value && value->front() == '/') return Path(*value) / "ferry";
  return home_dir() / fallback / "ferry";
}

}  // namespace

Path data_dir() { return xdg("XDG_DATA_HOME", ".local/share"); }
Path config_dir() { return xdg("XDG_CONFIG_HOME", ".config"); }
Path cache_dir() { return xdg("XDG_CACHE_HOME", ".cache"); }

std::string user_name() {
  for (const char* name : {"USER", "LOGNAME"}) {
    if (auto value = env(name)) return *value;
  }
  if (const passwd* entry = ::getpwuid(::getuid())) return entry->pw_name;
  return "unknown";
}

std::string host_name() {
  char name[256] = {};
  if (::gethostname(name, sizeof name - 1) < 0 || !name[0]) return "unknown";
  return name;
}

bool called_by_agent() {
  for (const char* name : {"AI_AGENT", "CLAUDECODE", "CODEX_SANDBOX", "CURSOR_AGENT", "GEMINI_CLI"}) {
    const auto value = env(name);
    if (value && *value != "0" && *value != "false") return true;
  }
  return false;
}

bool is_root() { return ::geteuid() == 0; }

}  // namespace ferry::os
