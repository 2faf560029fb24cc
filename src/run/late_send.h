#pragma once
/// \file
/// Sends the late part of a workdir (job/late.h) beside everything else that a run does meanwhile. Internal to this
/// room.

#include <atomic>
#include <future>
#include <mutex>

#include "mux/client.h"
#include "os/file.h"
#include "sync/sync.h"

namespace ferry::run {

/// Sends what is below `root` to a `ferry-agent receive`. An error says what that program said last.
Result<sync::Report> send_to(mux::Command& receiver, const os::Path& root, sync::Tree tree,
                             const sync::Options& options);

/// send_to(), in a thread of its own. Use from one thread.
class LateSend {
 public:
  LateSend(mux::Command receiver, os::Path root, sync::Tree tree, bool expects_nothing);
  /// Ends it, and waits until it has ended: at most moments.
  ~LateSend();
  LateSend(const LateSend&) = delete;
  LateSend& operator=(const LateSend&) = delete;

  /// Waits at most `limit`. True: it has ended.
  bool wait(Millis limit) const;
  /// Ends it unless it has ended; cancelled is then its error.
  void stop();
  /// How far it is.
  sync::Progress progress() const;
  /// Once it has ended.
  const Result<sync::Report>& report() const { return report_.get(); }

 private:
  std::atomic<bool> ends_ = false;
  mutable std::mutex mutex_;
  sync::Progress progress_;
  std::shared_future<Result<sync::Report>> report_;  // of the thread, which uses what stands above
};

}  // namespace ferry::run
