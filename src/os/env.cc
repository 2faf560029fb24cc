#include "os/env.h"

#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

namespace ferry::os {

std::optional<std::string> env(const char* name) {
  const char* value = std::getenv(name);
  if (!value || !*value) return std::nullopt;
  return value;
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

Result<Path> runtime_dir() {
  Path path = "/tmp/ferry-" + std::to_string(::getuid());
  if (const auto value = env("XDG_RUNTIME_DIR"); value && value->front() == '/' && value->size() < 60) {
    path = Path(*value) / "ferry";
  }
  if (::mkdir(path.c_str(), 0700) < 0 && errno != EEXIST) return fail_errno("make folder " + path.string());
  struct stat info;
  if (::lstat(path.c_str(), &info) < 0) return fail_errno("look at " + path.string());
  if (!S_ISDIR(info.st_mode) || info.st_uid != ::geteuid() || (info.st_mode & 077) != 0) {
    return fail(Kind::denied, "the folder for sockets is not private: " + path.string(),
                "it belongs to someone else or others may enter it", "remove it, or set XDG_RUNTIME_DIR");
  }
  return path;
}

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

bool is_root() { return ::geteuid() == 0; }

}  // namespace ferry::os
