#pragma once
/// \file
/// A private folder for what must not outlive its process, with a path short enough for unix sockets (whose
/// paths may have 107 bytes only).

#include <string>
#include <string_view>

#include "base/error.h"
#include "os/fd.h"
#include "os/file.h"

namespace ferry::os {

/// A folder (0700) of this process that goes away with this object. It is made in the first of
/// $XDG_RUNTIME_DIR, $TMPDIR and /tmp where its path stays short and plain (no character that any program
/// takes for more than itself). A lock on it, which the kernel drops with the process, tells who lives: what
/// killed processes left under the same prefix is removed when the next one is made.
class PrivateDir {
 public:
  /// At most this many bytes: a unix socket's path, of which a program may add a part of its own, has 108.
  static constexpr std::size_t longest = 80;

  /// `prefix` begins the folder's name. Fails when no such folder can be made anywhere.
  static Result<PrivateDir> make(std::string_view prefix);
  PrivateDir(PrivateDir&& from) noexcept : path_(std::exchange(from.path_, Path())), lock_(std::move(from.lock_)) {}
  PrivateDir& operator=(PrivateDir&&) = delete;
  ~PrivateDir();
  const Path& path() const { return path_; }

 private:
  PrivateDir(Path path, Fd lock) : path_(std::move(path)), lock_(std::move(lock)) {}
  Path path_;
  Fd lock_;  // of the folder itself
};

}  // namespace ferry::os
