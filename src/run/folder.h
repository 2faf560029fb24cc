#pragma once
/// \file
/// A run's private folder on the laptop, and who owns the run.

#include <optional>
#include <string>

#include "os/file.h"

namespace ferry::run {

struct Doors;

/// data/runs/NAME (0700): key, host key, known_hosts, log, lock.
struct Folder {
  os::Path path;
  Folder(const os::Path& data, const std::string& run) : path(data / "runs" / run) {}
  os::Path identity() const { return path / "id_ed25519"; }
  os::Path known_hosts() const { return path / "known_hosts"; }
  os::Path log() const { return path / "log"; }
  os::Path owner_lock() const { return path / "owner"; }
  os::Path fetch_lock() const { return path / "fetch"; }
  os::Path outputs_state() const { return path / "outputs.state"; }
  os::Path follower_output() const { return path / "follower.txt"; }
};

/// The one process that moves a run forward holds this. The kernel frees it when that process is gone,
/// however it went.
class Owner {
 public:
  /// Nothing if another process owns the run.
  static Result<std::optional<Owner>> try_take(const Folder& folder);
  /// In a process that was started with hand_over().
  static Result<Owner> adopt(const Folder& folder, int fd);
  /// The owner's process id; nothing if nobody owns the run.
  static std::optional<int> pid_of(const Folder& folder);
  int fd() const { return lock_.fd(); }

 private:
  explicit Owner(os::FileLock lock) : lock_(std::move(lock)) {}
  Status sign(const Folder& folder);
  os::FileLock lock_;
};

/// Starts `ferry follow-run NAME` in the background: it inherits the ownership (no moment without an owner),
/// goes on with the run from the ledger's phase to the end, and writes what it does to
/// folder.follower_output(). Returns its process id.
Result<int> hand_over(Doors& doors, const Folder& folder, const std::string& run, Owner owner);

}  // namespace ferry::run
