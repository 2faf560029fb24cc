#pragma once
/// \file
/// Brings home what a run has saved so far, again and again while it trains: should its machine be lost, that is here.
/// Only what the task calls outputs (or outputs/), only files that are not being written (sync/outputs.h), each
/// complete or not at all.

#include <atomic>
#include <map>
#include <memory>
#include <set>
#include <thread>

#include "fleet/run_dir.h"
#include "job/connection.h"
#include "sync/sync.h"

namespace ferry::job {

/// How long to rest after a pull that began `took` ago and moved `wire_bytes`, so that pulls take at most a tenth of
/// the time and what leaves the cloud costs at most a twentieth of what the machine does (`hourly`; 0: it costs
/// nothing). At least `least`.
Millis rest_after_pull(Millis took, std::uint64_t wire_bytes, Usd hourly, Millis least);

/// The least rest between two pulls: 10 s, or FERRY_PULL_EVERY (a duration). Nothing for FERRY_PULL_EVERY=off: no
/// pulls.
std::optional<Millis> pull_every();

/// What the pulls of a run have brought.
struct Pulled {
  std::vector<sync::Entry> home;  ///< the files of the last pull, but for those that came as they went over
  // To remove what has vanished on the machine: what no other fetch brought.
  struct File {
    std::uint64_t size;
    std::int64_t mtime_ns;
  };
  std::map<std::string, File> files;  ///< path → as it came; of those that the machine still had at the last pull
  std::set<std::string> of_others;    ///< paths that another fetch brought before
  std::int64_t state_ns = 0;          ///< mtime of the state that the last pull left (RunDir::outputs_state); 0: none
  std::uint64_t wire_bytes = 0;
};

/// Over one connection. The transfer runs in a thread of its own, which touches neither ledger nor progress; everything
/// else from the thread that owns the connection.
class OutputsPull {
 public:
  /// `least` is pull_every(). Both must outlive this.
  OutputsPull(Connection& connection, const ledger::Run& run, fleet::RunDir run_dir, Millis least, Pulled& pulled);
  /// Cuts a transfer that is under way: what is complete stays.
  ~OutputsPull();
  OutputsPull(const OutputsPull&) = delete;
  OutputsPull& operator=(const OutputsPull&) = delete;

  /// Begins a pull when it is time, and takes in one that has ended; returns at once. Whatever goes wrong is no
  /// trouble: the next one tries again, and the fetch at the end brings everything.
  void tick(std::int64_t steady_ms);
  /// The machine may be gone soon: the next pull begins as soon as the one under way is over, and without rest from now
  /// on.
  void hurry();
  /// Waits for the transfer that is under way, if any: the fetch would only begin it anew.
  void finish(fleet::Context& context);

 private:
  struct Transfer;
  void begin(std::int64_t steady_ms);
  void end(std::int64_t steady_ms);
  /// Takes over from fetches that others made meanwhile.
  void look_at_state();
  /// Of what the machine has no more, where it still has something and all of it could be read: old checkpoints would
  /// fill this computer's disk.
  void remove_vanished(const sync::Report& report);

  Connection& connection_;
  const ledger::Run& run_;
  fleet::RunDir run_dir_;
  Millis least_;
  Pulled& pulled_;
  bool hurries_ = false;
  std::int64_t next_ms_;           // steady; when the next may begin; -1: least_ after the first tick
  std::int64_t began_ms_ = 0;      // steady
  std::int64_t job_began_ms_ = 0;  // by the machine's clock; 0: not asked yet
  std::unique_ptr<Transfer> transfer_;
};

}  // namespace ferry::job
