#pragma once
/// \file
/// One run on this machine: its job, its limits, its log and its result. No sockets here; see server.h.
///
///   idle ──start──▶ setup ──exit 0──▶ running ──▶ done ──(limit + retention, or release)──▶ machine off
///                     └───── any other exit, cancel, limit ─────▶ ┘
///
/// A phase is over when its shell ended and its pipes are at their end. What the run's shell left in the
/// background is waited for while it writes below the workdir (background.h), within the limit. When a phase
/// was asked to stop (SIGTERM to its group, readers of pipes last), everything in its group gets its time
/// until the grace is over, because a shell may die of SIGTERM before the training it started has saved its
/// checkpoint. Services that setup left in the background live until the run is over. Then every process of
/// the job gets SIGKILL; what was not asked to end before is named in the training's log and in the status.
///
/// If the agent itself is killed, the job's output has nowhere to go: the job's shell is killed with it
/// (PR_SET_PDEATHSIG), the next agent kills the rest and reports done, reason "lost", and why.
///
/// A run with a store has a process of its own for that (store_process.h), which is none of the job's. When that says
/// that all is stored, the agent ends the machine, if it may and ferry has not released it; while bytes move to the
/// store it waits for that. Where the store fails, the machine waits as without one. An agent that is asked to end
/// gives it a minute.
///
/// A machine that may be taken back (JobSpec::notices) is asked whether it is (notice_watch.h). Then the job is told as
/// NoticeSpec says, the file that FERRY_NOTICE names is written, the store's process hurries, and what still runs when
/// the time to save is over is killed: a sixth of what was left, 20 s at most, is the store's alone. However the job
/// ended then, its reason is "interrupted".
///
/// Before the job's time is over (JobSpec::on_limit) it is asked to save: the file that FERRY_NOTICE names is written,
/// and those of its processes that handle the signal get it; what still runs at the limit gets SIGTERM. However a job
/// ended that was told so, its reason is the limit's: "max_duration", or "idle". More time takes it back.
///
/// A job that does nothing for JobSpec::idle_s (idle.h) is asked to save in the same way, and then stopped. Its limit
/// has come with that: what it made waits for `retention`, as after max_duration. One that goes on meanwhile, and was
/// not told, is left alone.
///
/// Where it may not end the machine (a user's own), the agent ends itself: soon after the release, `idle`
/// after the end of the job or the last sign of a client, and at once, with its job, when its folder was
/// removed. On a machine that is only the run's, nobody who means well removes it: the folder is made anew,
/// the job goes on, its log is kept in the file that nobody else can see any more, and both log and status say
/// so.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/background.h"
#include "agent/idle.h"
#include "agent/job.h"
#include "agent/notice_watch.h"
#include "agent/power.h"
#include "agent/protocol.h"
#include "agent/saved.h"
#include "agent/spool.h"
#include "agent/store_child.h"
#include "os/clock.h"

namespace ferry::agent {

struct ServeOptions {
  os::Path dir;               ///< the run's folder on the instance: lock, sock, log, state.json, agent.log
  Seconds orphan{1800};       ///< no start and no sign of a client for so long: the machine is powered off
  bool may_power_off = true;  ///< false: the agent only ends itself where it would have ended the machine
  Millis term_grace{10'000};  ///< between SIGTERM and SIGKILL at the limit
  Millis drain{2'000};        ///< how long pipes that someone else holds are read after the shell ended
  Patience patience{};        ///< with what the training left in the background
  /// Between the news that all is stored and the end of the machine: clients should hear it.
  Millis farewell{2'000};
  os::Path program{};  ///< this one, for the store's process; empty: the file that runs
  /// Where a run may have put its model that made nothing in its workdir (OutputsQuery::elsewhere); none: the usual
  /// places.
  std::optional<std::vector<std::string>> elsewhere{};
  Millis idle{600'000};  ///< an agent that may not end the machine ends itself after so long without job and client
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

  /// Starts the job, durably noted before. If it was started already, nothing happens. One that cannot be
  /// started is done, reason not_started.
  JobStatus start(JobSpec spec);
  /// The start was refused with `error`: as start() when it fails.
  JobStatus refuse(const Error& error);
  /// SIGTERM, SIGKILL after `grace`; a shorter grace than before counts. A job that never started never will.
  void cancel(Millis grace);
  /// The job's limit, and what the machine was booted with, end later from now on: first the machine's own timer, then
  /// the limit, so that the machine is never without one nor the job promised more than it has. As Client::extend().
  Result<JobStatus> extend(const Extension& extension);
  /// Outputs are safe: no retention. With `power_off`, the machine ends in a moment. Conflict while the job
  /// runs; denied when the agent may not end the machine.
  Status release(bool power_off);
  /// The agent is asked to end: stops the job first.
  void leave();
  /// Its folder was removed where it may not end the machine: it is on its way out, and makes nothing anew.
  bool is_abandoned() const { return !may_power_off() && spool_.is_removed(); }
  /// Files of the run's folder were removed, and the agent's post is there again: the state on disk, too.
  void miss_files();
  /// Adds a line to DIR/agent.log.
  void log(const std::string& text) const;
  /// A client showed itself.
  void touch();
  /// So many are connected now.
  void set_clients(std::size_t count) { clients_ = count; }

  std::vector<int> sources() const;
  void read(int source);
  /// Does what is due now.
  void step();
  /// When step() must be called next at the latest (Clock::steady_ms).
  std::int64_t due() const;
  /// The agent has nothing left to do.
  bool over() const;

 private:
  /// The job was told by another way than SIGTERM; then that comes, too. steady_ms.
  struct Interruption {
    std::int64_t term_at = 0, kill_at = 0;
  };
  /// A limit is near, and the job was asked to save.
  struct Asked {
    std::string reason;
    bool is_told = false;  ///< it knows; else it goes on as if nothing were
    std::int64_t at = 0, end_at = 0;
  };
  struct Stop {
    std::string reason;
    std::int64_t begun_at = 0, kill_at = 0;
    bool killed = false;
  };
  Supervisor(ServeOptions options, Spool spool);
  void take_up(Saved saved);
  void never_start(JobStatus status);
  bool active() const { return job_.has_value(); }
  bool may_power_off() const { return options_.may_power_off && saved_.power_off; }
  Status begin(LogPhase phase);
  void stop(const std::string& reason, Millis grace);
  void enforce_limits();
  void kill_job();
  bool phase_over();
  bool background_over();
  void end_phase();
  void finish(const std::string& reason);
  void plan_end();
  void end_machine();
  /// Where a group of machines would start another one in the place of this one.
  void want_no_other();
  void persist();
  void beat();
  /// What the job's environment says of its limits.
  void add_limits(const std::optional<MoneySpec>& money);
  /// Writes anew what FERRY_BUDGET_LEFT names.
  void write_limits();
  void note_store(const JobSpec& spec);
  os::Path notice_path() const;
  void write_notice(const Json& told);
  /// `spec`: of interruptions, where the machine may be taken back.
  void watch_notices(const std::optional<NoticeSpec>& spec);
  /// When the job is to be asked to save.
  std::int64_t ask_at() const;
  void ask_to_save(const std::string& reason, std::int64_t left_ms);
  void take_back_asking(const std::string& why);
  /// Why the job ended that has ended now; "": by itself.
  std::string reason_of_end() const;
  void hear_notice();
  void take_notice(const Notice& notice);
  void interrupt(const Notice& notice, std::int64_t left_ms);
  bool is_interrupted() const;
  void keep_store();
  void step_store();
  void hear_of_store();
  void step_idle();
  bool is_ending_idle() const { return asked_ && asked_->reason == idled; }
  /// What is below the agent, and none of the job's.
  std::set<pid_t> spared() const;
  /// One line in the training's log, and in the status.
  void tell(const std::string& text);
  /// One in the training's log.
  void add_line(const std::string& text);

  ServeOptions options_;
  os::Clock& clock_;
  Spool spool_;
  CpuMeter cpu_;
  Saved saved_;
  std::optional<Job> job_;
  std::optional<Stop> stop_;
  std::unique_ptr<NoticeWatch> notices_;
  NoticeSpec notice_spec_;
  std::optional<Interruption> interruption_;
  std::optional<NoticeSpec> on_limit_;
  std::string limited_by_;
  std::optional<Asked> asked_;
  std::optional<IdleWatch> idle_;
  std::uint64_t printed_ = 0;       ///< bytes, by the job itself
  std::optional<MoneySpec> money_;  ///< as it was said at money_at_
  std::int64_t money_at_ = 0, limits_at_ = 0;
  std::optional<Background> background_;
  std::optional<StoreChild> store_;
  std::optional<std::int64_t> exited_at_;  ///< the phase's shell was seen ended. All times here: steady_ms
  std::int64_t deadline_at_ = 0, end_at_ = 0, beat_at_ = 0, leave_at_ = 0;
  std::optional<std::int64_t> save_at_;  ///< the state on disk is old; try again then
  std::uint64_t version_ = 1;
  std::size_t clients_ = 0;
  bool leaving_ = false, over_ = false, told_of_background_ = false;
  bool told_of_folder_ = false, ended_before_notice_ = false;
};

}  // namespace ferry::agent
