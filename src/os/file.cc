#include "os/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <stdexcept>

#include "base/hash.h"
#include "os/clock.h"

namespace ferry::os {

namespace {

std::string shown(const char* verb, const Path& path) { return std::string(verb) + " " + path.string(); }

}  // namespace

bool exists(const Path& path) { return ::access(path.c_str(), F_OK) == 0; }

bool is_directory(const Path& path) {
  struct stat info;
  return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

Result<Fd> open_file(const Path& path, int flags, mode_t mode) {
  const int fd = ::open(path.c_str(), flags | O_CLOEXEC, mode);
  if (fd < 0) return fail_errno(shown("open", path));
  return Fd(fd);
}

Result<std::string> read_file(const Path& path, std::size_t limit) {
  TRY_SET(fd, "", open_file(path, O_RDONLY));
  return read_to_end(fd.get(), limit).map_error([&](Error error) {
    error.what = shown("read", path) + ": " + error.what;
    return error;
  });
}

Status write_file(const Path& path, std::string_view bytes, mode_t mode) {
  const Path temp = path.string() + ".tmp-" + random_name(8);
  TRY_SET(fd, "", open_file(temp, O_WRONLY | O_CREAT | O_EXCL, mode));
  const auto undo = [&](Status failed) {
    ::unlink(temp.c_str());
    return failed;
  };
  if (auto done = write_all(fd.get(), bytes); !done) {
    return undo(fail(shown("write", path), std::move(done).error()));
  }
  if (::fchmod(fd.get(), mode) < 0 || ::fsync(fd.get()) < 0) return undo(fail_errno(shown("write", path)));
  if (::rename(temp.c_str(), path.c_str()) < 0) return undo(fail_errno(shown("write", path)));
  return {};
}

Status append_file(const Path& path, std::string_view bytes, mode_t mode) {
  TRY_SET(fd, "", open_file(path, O_WRONLY | O_CREAT | O_APPEND, mode));
  return write_all(fd.get(), bytes);
}

Status make_dirs(const Path& path, mode_t mode) {
  if (path.empty() || os::is_directory(path)) return {};
  if (path.has_parent_path() && path.parent_path() != path) TRY("", make_dirs(path.parent_path(), mode));
  if (::mkdir(path.c_str(), mode) == 0) {
    if (::chmod(path.c_str(), mode) < 0) return fail_errno(shown("chmod", path));
    return {};
  }
  const int code = errno;
  if (os::is_directory(path)) return {};  // another process was faster
  return fail_errno(shown("make folder", path), code);
}

namespace {

Status remove_at(int folder, const char* name, const Path& shown_path) {
  if (::unlinkat(folder, name, 0) == 0 || errno == ENOENT) return {};
  if (errno != EISDIR && errno != EPERM && errno != EACCES) return fail_errno(shown("remove", shown_path));
  struct stat info;
  if (::fstatat(folder, name, &info, AT_SYMLINK_NOFOLLOW) < 0) {
    return errno == ENOENT ? Status() : fail_errno(shown("remove", shown_path));
  }
  if (!S_ISDIR(info.st_mode)) return fail_errno(shown("remove", shown_path), EACCES);
  if ((info.st_mode & 0700) != 0700) {
    [[maybe_unused]] const int tried = ::fchmodat(folder, name, (info.st_mode & 07777) | 0700, 0);
  }
  const int fd = ::openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return fail_errno(shown("remove", shown_path));
  DIR* listing = ::fdopendir(fd);
  Status result;
  while (const dirent* item = ::readdir(listing)) {
    const std::string_view child = item->d_name;
    if (child == "." || child == "..") continue;
    if (result = remove_at(fd, item->d_name, shown_path / item->d_name); !result) break;
  }
  ::closedir(listing);
  if (!result) return result;
  if (::unlinkat(folder, name, AT_REMOVEDIR) < 0 && errno != ENOENT) return fail_errno(shown("remove", shown_path));
  return {};
}

}  // namespace

Status remove_all(const Path& path) { return remove_at(AT_FDCWD, path.c_str(), path); }

Result<std::vector<std::string>> list_dir(const Path& path) {
  DIR* listing = ::opendir(path.c_str());
  if (!listing) return fail_errno(shown("read folder", path));
  std::vector<std::string> names;
  while (const dirent* item = ::readdir(listing)) {
    const std::string_view child = item->d_name;
    if (child != "." && child != "..") names.emplace_back(child);
  }
  ::closedir(listing);
  std::sort(names.begin(), names.end());
  return names;
}

std::uint64_t free_space(const Path& path) {
  Path at = path;
  while (!at.empty() && !os::exists(at) && at.has_parent_path() && at.parent_path() != at) at = at.parent_path();
  struct statvfs info;
  if (::statvfs(at.empty() ? "." : at.c_str(), &info) < 0) return 0;
  return static_cast<std::uint64_t>(info.f_bavail) * info.f_frsize;
}

TempDir::TempDir(std::string_view prefix) {
  const char* base = std::getenv("TMPDIR");
  std::string pattern = (Path(base && *base ? base : "/tmp") / (std::string(prefix) + ".XXXXXX")).string();
  if (!::mkdtemp(pattern.data())) throw std::runtime_error("cannot make a temporary folder: " + pattern);
  path_ = pattern;
}

TempDir::~TempDir() {
  if (!path_.empty()) (void)os::remove_all(path_);
}

Result<std::optional<FileLock>> FileLock::try_take(const Path& path) {
  TRY_SET(fd, "", open_file(path, O_RDWR | O_CREAT, 0600));
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) == 0) return FileLock(std::move(fd));
  if (errno == EWOULDBLOCK) return std::optional<FileLock>();
  return fail_errno(shown("lock", path));
}

Result<FileLock> FileLock::take(const Path& path, Millis limit) {
  const auto end = system_clock().steady_ms() + limit.count();
  while (true) {
    TRY_SET(lock, "", try_take(path));
    if (lock) return std::move(*lock);
    if (system_clock().steady_ms() >= end)
      return fail(Kind::timeout, shown("lock", path) + ": held by another process");
    system_clock().sleep(Millis(5));
  }
}

bool is_locked(const Path& path) {
  auto fd = open_file(path, O_RDONLY);
  if (!fd) return false;
  // A shared lock is refused exactly while someone holds the exclusive one.
  if (::flock(fd->get(), LOCK_SH | LOCK_NB) == 0) return false;
  return errno == EWOULDBLOCK;
}

}  // namespace ferry::os
