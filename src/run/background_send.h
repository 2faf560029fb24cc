#pragma once
/// \file
/// Sends files beside everything else that a run does meanwhile: the workdir, which is read and compressed while its
/// machine boots, and what of it is late (job/late.h). Internal to this room.

#include <atomic>
#include <future>
#include <mutex>
#include <optional>
#include <thread>

#include "mux/client.h"
#include "os/file.h"
#include "os/process.h"
#include "sync/sync.h"

namespace ferry::run {

/// Sends what is below `root` to a `ferry-agent receive`. An error says what that program said last.
Result<sync::Report> send_to(mux::Command& receiver, const os::Path& root, sync::Tree tree,
                             const sync::Options& options);

/// send_to(), in threads of its own. Use from one thread.
class BackgroundSend {
 public:
  /// Begins: until attach(), what goes first is read, compressed and held, as far as Options::expects_nothing says.
  /// `options`: but for `cancelled` and `progress`.
  BackgroundSend(os::Path root, sync::Tree tree, sync::Options options);
  /// Ends it, and waits until it has ended: at most moments.
  ~BackgroundSend();
  BackgroundSend(const BackgroundSend&) = delete;
  BackgroundSend& operator=(const BackgroundSend&) = delete;

  /// The receiver is there. Call once.
  void attach(mux::Command receiver);
  /// Waits at most `limit`. True: it has ended.
  bool wait(Millis limit) const;
  /// Ends it unless it has ended; cancelled is then its error.
  void stop();
  /// How far it is.
  sync::Progress progress() const;
  /// Once it has ended.
  const Result<sync::Report>& report();

 private:
  Result<sync::Report> end();

  std::atomic<bool> ends_ = false;
  mutable std::mutex mutex_;
  sync::Progress progress_;
  os::Fd receivers_end_;  ///< of what the sending thread speaks to
  std::optional<mux::Command> receiver_;
  std::thread bridge_;  ///< between the two
  std::optional<Result<sync::Report>> report_;
  std::future<Result<sync::Report>> sent_;  // of a thread, which uses what stands above
};

}  // namespace ferry::run
