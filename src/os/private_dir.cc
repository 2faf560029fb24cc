#include "os/private_dir.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "os/env.h"

namespace ferry::os {

namespace {

bool is_plain(std::string_view path) {
  return path.starts_with('/') && path.find_first_not_of(
                                      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                      "0123456789/._-") == std::string_view::npos;
}

/// The folder, open and locked; nothing if somebody else has it.
Fd lock_folder(const Path& path) {
  auto fd = open_file(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!fd || ::flock(fd->get(), LOCK_EX | LOCK_NB) < 0) return Fd();
  return std::move(*fd);
}

/// Between its making and its locking another process may have swept the folder away.
bool is_still_there(const Path& path, const Fd& fd) {
  struct stat here, held;
  return ::lstat(path.c_str(), &here) == 0 && ::fstat(fd.get(), &held) == 0 && here.st_ino == held.st_ino &&
         here.st_dev == held.st_dev;
}

void sweep(const Path& base, const std::string& prefix) {
  const auto names = list_dir(base);
  if (!names) return;
  for (const auto& name : *names) {
    if (!name.starts_with(prefix)) continue;
    const auto path = base / name;
    struct stat info;
    if (::lstat(path.c_str(), &info) < 0 || !S_ISDIR(info.st_mode) || info.st_uid != ::geteuid()) continue;
    const Fd lock = lock_folder(path);
    if (lock) (void)os::remove_all(path);
  }
}

}  // namespace

Result<PrivateDir> PrivateDir::make(std::string_view prefix) {
  const std::string beginning = std::string(prefix) + ".";
  std::string why;
  for (const auto& base : {env("XDG_RUNTIME_DIR"), env("TMPDIR"), std::optional<std::string>("/tmp")}) {
    if (!base) continue;
    sweep(*base, beginning);
    std::string pattern = (Path(*base) / (beginning + "XXXXXX")).string();
    if (!is_plain(pattern) || pattern.size() > longest) continue;
    for (int tries = 0; tries < 100; ++tries) {
      std::string made = pattern;
      if (!::mkdtemp(made.data())) {
        why = *base + ": " + std::strerror(errno);
        break;
      }
      Fd lock = lock_folder(made);
      if (lock && is_still_there(made, lock)) return PrivateDir(made, std::move(lock));
    }
  }
  return fail(Kind::io, "there is no place for a private folder of short path", why,
              "let XDG_RUNTIME_DIR or TMPDIR name a folder of yours with a short path");
}

PrivateDir::~PrivateDir() {
  if (!path_.empty()) (void)os::remove_all(path_);
}

}  // namespace ferry::os
