#include "sync/open_files.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "os/file.h"

namespace ferry::sync {

namespace {

namespace fs = std::filesystem;

bool is_number(const std::string& name) { return !name.empty() && name.find_first_not_of("0123456789") == name.npos; }

/// The line "flags:" of /proc/PID/fdinfo/FD, which is octal.
bool may_write(const fs::path& fdinfo) {
  const auto text = os::read_file(fdinfo, 4096);
  const auto at = text ? text->find("flags:") : std::string::npos;
  if (at == std::string::npos) return false;
  const auto flags = std::strtoul(text->c_str() + at + 6, nullptr, 8);
  return (flags & O_ACCMODE) != O_RDONLY;
}

}  // namespace

std::set<std::uint64_t> inodes_open_for_writing() {
  std::set<std::uint64_t> inodes;
  std::error_code ignored;  // processes end while we look
  for (fs::directory_iterator process("/proc", ignored), end; process != end; process.increment(ignored)) {
    if (ignored) break;
    if (!is_number(process->path().filename().string())) continue;
    std::error_code denied;
    for (fs::directory_iterator open(process->path() / "fd", denied); !denied && open != end; open.increment(denied)) {
      struct stat info;
      if (::stat(open->path().c_str(), &info) < 0 || !S_ISREG(info.st_mode)) continue;
      if (may_write(process->path() / "fdinfo" / open->path().filename())) inodes.insert(info.st_ino);
    }
  }
  return inodes;
}

}  // namespace ferry::sync
