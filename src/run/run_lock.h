#pragma once
/// \file
/// Who moves a run forward: at most one process at a time.

#include <cstdint>
#include <optional>
#include <string>

#include "fleet/context.h"
#include "fleet/run_dir.h"

namespace ferry::run {

/// What the holder of a run's lock does with it.
enum class Role {
  follow,     ///< moves the run from phase to phase: SIGTERM asks it to cancel
  recover,    ///< looks, or releases: to be waited for, never signalled
  hand_over,  ///< has started a follower that has not signed yet: to be waited for
};

/// Who holds a run's lock, as its file says; only what is really alive is a Holder.
struct Holder {
  Role role = Role::recover;
  int pid = 0;              ///< 0: it has not signed yet
  std::uint64_t start = 0;  ///< of the process (os::process_start_time): a reused pid is another process
};

/// The one process that moves a run forward holds this. The kernel frees it when that process is gone,
/// however it went.
class RunLock {
 public:
  /// Nothing if another process owns the run.
  static Result<std::optional<RunLock>> try_take(const fleet::RunDir& folder, Role role = Role::follow);
  /// In a process that was started with hand_over(): it follows the run from now on.
  static Result<RunLock> adopt(const fleet::RunDir& folder, int fd);
  /// Nothing if nobody owns the run. A signature of a process that is gone counts as none.
  static std::optional<Holder> holder_of(const fleet::RunDir& folder);
  /// Signals a follower, with a word (sigqueue(3)) if it is not 0; does nothing to any other holder, nor to a
  /// process that has its pid by now, nor to the caller. True if it was signalled.
  static bool signal(const Holder& holder, int number, int word = 0);

  /// False when the lock's file was removed or replaced while we held it, and another process owns the run
  /// by now: then the run is not to be touched any more. A file that is only missing is made anew. Cheap: to
  /// be asked now and then by whoever waits for long.
  bool still_mine();
  /// What we do with it from now on.
  Status become(Role role);
  int fd() const { return lock_.fd(); }

 private:
  RunLock(fleet::RunDir folder, os::FileLock lock) : run_dir_(std::move(folder)), lock_(std::move(lock)) {}
  /// True if the file we hold is the one at its path.
  bool is_in_place() const;
  fleet::RunDir run_dir_;
  os::FileLock lock_;
  Role role_ = Role::follow;
};

/// Starts `ferry follow-run NAME` in the background: it inherits the ownership (no moment without an owner),
/// goes on with the run from the ledger's phase to the end, and writes what it does to
/// folder.follower_output(). Returns its process id.
Result<int> hand_over(fleet::Context& context, const fleet::RunDir& folder, const std::string& run, RunLock owner,
                      const std::map<std::string, std::string>& env = {});

}  // namespace ferry::run
