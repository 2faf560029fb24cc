#pragma once
/// \file
/// One run on this machine: its job, its limits, its log and its result. No sockets here; see server.h.
///
///   idle ──start──▶ setup ──exit 0──▶ running ──▶ done ──(limit + linger, or release)──▶ machine off
///                     └───── any other exit, cancel, limit ─────▶ ┘
///
/// A phase is over when its shell ended and its pipes are at their end; a background process that keeps a
/// pipe open is waited for `drain` only. When a phase was asked to stop (SIGTERM to its group), everything in
/// its group gets its time until the grace is over, because a shell may die of SIGTERM before the training it
/// started has saved its checkpoint. Services that setup left in the background live until the run is over.
/// Then every process of the job gets SIGKILL.
///
/// If the agent itself is killed, the job's output has nowhere to go: the job's shell is killed with it
/// (PR_SET_PDEATHSIG), the next agent kills the rest and reports done, reason "lost".

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/job.h"
#include "agent/power.h"
#include "agent/protocol.h"
#include "agent/saved.h"
#include "agent/spool.h"
#include "os/clock.h"

namespace ferry::agent {

struct ServeOptions {
  os::Path dir;               ///< the run's folder on the instance: lock, sock, log, state.json, agent.log
  Seconds orphan{1800};       ///< no start and no sign of a client for so long: the machine is powered off
  bool may_power_off = true;  ///< false: the agent only ends itself where it would have ended the machine
  Millis term_grace{10'000};  ///< between SIGTERM and SIGKILL at the limit
  Millis drain{2'000};  ///< how long pipes that background processes hold are read after the shell ended
};

/// Call step() after each of the others and whenever due() says so. One thread.
class Supervisor {
 public:
  /// Takes up what a former agent left in the folder.
  static Result<std::unique_ptr<Supervisor>> open(ServeOptions options);

  JobStatus status() const;
  const std::string& run() const { return saved_.run; }
  Spool& spool() { return spool_; }
  /// Grows when attached clients should be told the status.
  std::uint64_t version() const { return version_; }

  /// Starts the job, durably noted before. If it was started already, nothing happens.
  Result<JobStatus> start(JobSpec spec);
  /// SIGTERM, SIGKILL after `grace`; a shorter grace than before counts. A job that never started never will.
  void cancel(Millis grace);
  /// Outputs are safe: no linger. With `power_off`, the machine ends in a moment. Conflict while the job
  /// runs; denied when the agent may not end the machine.
  Status release(bool power_off);
  /// The agent is asked to end: stops the job first.
  void leave();
  /// A client showed itself.
  void touch();

  std::vector<int> sources() const { return job_ ? job_->sources() : std::vector<int>{}; }
  void read(int source);
  /// Does what is due now.
  void step();
  /// When step() must be called next at the latest (Clock::steady_ms).
  std::int64_t due() const;
  /// The agent has nothing left to do.
  bool over() const;

 private:
  struct Stop {
    std::string reason;
    std::int64_t kill_at = 0;
    bool killed = false;
  };
  Supervisor(ServeOptions options, Spool spool);
  void take_up(Saved saved);
  bool active() const { return job_.has_value(); }
  bool may_power_off() const { return options_.may_power_off && saved_.power_off; }
  Status begin(LogPhase phase);
  void stop(const std::string& reason, Millis grace);
  void enforce_limits();
  bool phase_over();
  void end_phase();
  void finish();
  void plan_end();
  void end_machine();
  void persist();
  void beat();
  void log(const std::string& text) const;

  ServeOptions options_;
  os::Clock& clock_;
  Spool spool_;
  CpuMeter cpu_;
  Saved saved_;
  std::optional<Job> job_;
  std::optional<Stop> stop_;
  std::optional<std::int64_t> exited_at_;  ///< the phase's shell was seen ended. All times here: steady_ms
  std::int64_t deadline_at_ = 0, end_at_ = 0, beat_at_ = 0;
  std::optional<std::int64_t> save_at_;  ///< the state on disk is old; try again then
  std::uint64_t version_ = 1;
  bool leaving_ = false, over_ = false;
};

}  // namespace ferry::agent
