#include "sandbox/volume.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sandbox/folder.h"

namespace ferry::sandbox {

namespace {

/// The folder of the instance's volumes, opened through no link: its disk is the instance's to write.
Result<os::Fd> open_shown(const os::Path& dir) {
  const Folder folder{dir};
  TRY("", os::make_dirs(folder.disk(), 0700));
  TRY("", os::make_dirs(folder.root()));
  TRY_SET(at, "", os::open_file(folder.root(), O_RDONLY | O_DIRECTORY));
  for (const char* name : {"srv", "rehearsal-volumes"}) {
    if (::mkdirat(at.get(), name, 0755) < 0 && errno != EEXIST) return fail_errno(std::string("make ") + name);
    os::Fd next(::openat(at.get(), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!next) return fail_errno(std::string("open ") + name);
    at = std::move(next);
  }
  return at;
}

bool is_there(int folder, const std::string& id) {
  struct stat info;
  return ::fstatat(folder, id.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0;
}

ferry::Status move_between(int from, int to, const std::string& id) {
  if (::renameat(from, id.c_str(), to, id.c_str()) < 0) return fail_errno("move volume " + id);
  return {};
}

}  // namespace

ferry::Status give_volume(const os::Path& dir, const os::Path& store, const std::string& id) {
  TRY_SET(home, "", os::open_file(store, O_RDONLY | O_DIRECTORY));
  TRY_SET(shown, "", open_shown(dir));
  const bool is_home = is_there(home.get(), id);
  if (!is_home && is_there(shown.get(), id)) return {};
  if (!is_home && ::mkdirat(home.get(), id.c_str(), 0755) < 0) return fail_errno("make volume " + id);
  return move_between(home.get(), shown.get(), id);
}

ferry::Status take_volume(const os::Path& dir, const os::Path& store, const std::string& id) {
  TRY_SET(home, "", os::open_file(store, O_RDONLY | O_DIRECTORY));
  if (is_there(home.get(), id)) return {};
  TRY_SET(shown, "", open_shown(dir));
  return move_between(shown.get(), home.get(), id);
}

}  // namespace ferry::sandbox
