#pragma once
/// \file
/// The agent's post in the run's folder: the lock that makes it the only one, and the socket at which it is
/// found. A training, or somebody who cleans up, may remove either, or the whole folder: the agent makes them
/// anew.

#include <sys/stat.h>

#include <optional>

#include "os/fd.h"
#include "os/file.h"

namespace ferry::agent {

/// Makes the folder if need be; nobody else may look into it (0700).
Status private_folder(const os::Path& dir);

/// One thread.
class Post {
 public:
  /// Nothing if another agent serves the folder: it holds the lock, or one that was removed a moment ago and
  /// that it will miss.
  static Result<std::optional<Post>> take(const os::Path& dir);
  /// From now on the agent can be found.
  Status listen();
  int listener() const { return listener_.get(); }
  /// Looks whether lock and socket are where they were put, and makes anew what is not: the folder, too.
  /// Clients that are connected stay so. True if something was. To be called about once a second: two looks
  /// at the file system.
  Result<bool> tend();
  /// Nobody is to connect any more.
  void leave();

 private:
  struct Id {
    dev_t device = 0;
    ino_t number = 0;
    bool operator==(const Id&) const = default;
  };
  Post(os::Path dir, os::FileLock lock) : dir_(std::move(dir)), lock_(std::move(lock)) {}
  os::Path socket() const { return dir_ / "sock"; }
  bool holds_the_lock() const;
  bool is_at_its_socket();
  static std::optional<Id> id_of(const os::Path& path);

  os::Path dir_;
  os::FileLock lock_;
  os::Fd listener_;
  std::optional<Id> bound_;  ///< the socket's file
};

}  // namespace ferry::agent
