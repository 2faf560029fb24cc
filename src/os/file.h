#pragma once
/// \file
/// Files and folders. Paths are bytes (std::filesystem::path on Linux); nothing here assumes UTF-8.

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "os/fd.h"

namespace ferry::os {

using Path = std::filesystem::path;

bool exists(const Path& path);  ///< follows links; false when it cannot be told
bool is_directory(const Path& path);

/// Whole content of a file of at most `limit` bytes.
Result<std::string> read_file(const Path& path, std::size_t limit = std::size_t{1} << 30);
/// Complete or invisible: temp file beside `path`, fsync, rename. Parent folders must exist.
Status write_file(const Path& path, std::string_view bytes, mode_t mode = 0644);
/// Appends and flushes to the kernel (no fsync).
Status append_file(const Path& path, std::string_view bytes, mode_t mode = 0644);
/// Makes `path` and missing parents with `mode` (exact for those made here, whatever the umask).
Status make_dirs(const Path& path, mode_t mode = 0755);
/// Removes a file, link or whole tree; links are not followed; absent is fine. Folders without write
/// permission are opened up first.
Status remove_all(const Path& path);
/// Names in a folder, sorted by bytes, without "." and "..".
Result<std::vector<std::string>> list_dir(const Path& path);
/// open(2) with O_CLOEXEC added.
Result<Fd> open_file(const Path& path, int flags, mode_t mode = 0644);
/// Bytes free for this user on the file system that holds `path` (or its nearest existing parent).
std::uint64_t free_space(const Path& path);

/// A folder that goes away with this object. Under $TMPDIR or /tmp; mode 0700. Its name is short enough
/// for unix sockets inside it.
class TempDir {
 public:
  /// Throws std::runtime_error if it cannot be made.
  explicit TempDir(std::string_view prefix = "ferry");
  ~TempDir();
  TempDir(TempDir&& from) noexcept : path_(std::exchange(from.path_, Path())) {}
  TempDir& operator=(TempDir&&) = delete;
  const Path& path() const { return path_; }

 private:
  Path path_;
};

/// An exclusive flock(2) on a file, which is created if absent. The kernel drops it when the last
/// descriptor of it closes (also by kill -9), so it tells truly whether the holder is alive. A child
/// process that inherits the descriptor keeps it held.
class FileLock {
 public:
  /// Nothing if someone else holds it.
  static Result<std::optional<FileLock>> try_take(const Path& path);
  /// Waits until it is free, at most `limit`; then Kind::timeout.
  static Result<FileLock> take(const Path& path, Millis limit);
  /// From a descriptor that was inherited.
  static FileLock adopt(Fd fd) { return FileLock(std::move(fd)); }
  int fd() const { return fd_.get(); }
  void release() { fd_.reset(); }

 private:
  explicit FileLock(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
};
/// True if some process holds the lock on `path`.
bool is_locked(const Path& path);

}  // namespace ferry::os
