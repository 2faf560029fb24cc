#include "agent/post.h"

#include <sys/socket.h>
#include <unistd.h>

#include "base/text.h"
#include "os/socket.h"

namespace ferry::agent {
namespace {

os::Path lock_of(const os::Path& dir) { return dir / "lock"; }

/// Some other process has a file open that was this folder's lock until it was removed.
bool another_misses_its_lock(const os::Path& dir) {
  std::error_code failed;
  const auto real = std::filesystem::canonical(dir, failed);
  const auto wanted = lock_of(failed ? dir : real).string() + " (deleted)";
  const auto ourselves = std::to_string(::getpid());
  for (const auto& process : os::list_dir("/proc").value_or(std::vector<std::string>())) {
    if (!parse_int(process) || process == ourselves) continue;
    const auto folder = os::Path("/proc") / process / "fd";  // of other users: cannot be read
    for (const auto& fd : os::list_dir(folder).value_or(std::vector<std::string>())) {
      if (std::filesystem::read_symlink(folder / fd, failed).native() == wanted) return true;
    }
  }
  return false;
}

/// Whoever listens there is this process.
bool is_ours(const os::Path& path) {
  const auto socket = os::connect_unix(path);
  if (!socket) return false;
  ucred peer{};
  socklen_t size = sizeof peer;
  return ::getsockopt(socket->get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.pid == ::getpid();
}

}  // namespace

Status private_folder(const os::Path& dir) {
  TRY("make the run's folder", os::make_dirs(dir, 0700));
  if (::chmod(dir.c_str(), 0700) != 0) return fail_errno("chmod " + dir.string());
  return {};
}

Result<std::optional<Post>> Post::take(const os::Path& dir) {
  TRY_SET(lock, "lock the run's folder", os::FileLock::try_take(lock_of(dir)));
  // Its job would be ended as one that a killed agent left.
  if (!lock || another_misses_its_lock(dir)) return std::nullopt;
  return Post(dir, std::move(*lock));
}

Status Post::listen() {
  TRY_SET(listener, "", os::listen_unix(socket()));
  listener_ = std::move(listener);
  bound_ = id_of(socket());
  return {};
}

std::optional<Post::Id> Post::id_of(const os::Path& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return std::nullopt;
  return Id{info.st_dev, info.st_ino};
}

bool Post::holds_the_lock() const {
  struct stat held {};
  return ::fstat(lock_.fd(), &held) == 0 && id_of(lock_of(dir_)) == Id{held.st_dev, held.st_ino};
}

bool Post::is_at_its_socket() {
  const auto there = id_of(socket());
  if (!there) return false;
  // Where a file system gives one file several numbers, who answers tells whose it is.
  if (there != bound_ && is_ours(socket())) bound_ = there;
  return there == bound_;
}

Result<bool> Post::tend() {
  bool mended = false;
  if (!holds_the_lock()) {
    TRY("", private_folder(dir_));
    TRY_SET(lock, "lock the run's folder", os::FileLock::try_take(lock_of(dir_)));
    // Somebody who starts an agent finds us out and lets go.
    if (!lock) return false;
    lock_ = std::move(*lock);
    mended = true;
  }
  if (!is_at_its_socket()) {
    TRY("", listen());
    mended = true;
  }
  return mended;
}

void Post::leave() {
  if (const auto there = id_of(socket()); there && there == bound_) ::unlink(socket().c_str());
  listener_.reset();
}

}  // namespace ferry::agent
