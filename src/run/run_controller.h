#pragma once
/// \file
/// One run on its way through the phases, with what it holds at the moment. Internal to this room.

#include <future>
#include <map>

#include "fleet/planning.h"
#include "job/connection.h"
#include "job/environment.h"
#include "job/local_log.h"
#include "job/outputs.h"
#include "job/outputs_pull.h"
#include "job/preflight.h"
#include "job/repeats.h"
#include "job/training.h"
#include "run/lease.h"
#include "run/reach.h"
#include "run/run.h"

namespace ferry::run {

/// In Run::task: when the user wanted the job cancelled. Whoever follows it next asks for it (again).
inline constexpr const char* cancel_asked = "cancel_asked_ms";

class RunController {
 public:
  RunController(fleet::Context& context, ledger::Run run, RunLock owner);
  ~RunController();

  /// check is done; goes on with plan, launch, connect, sync, setup, train, fetch, release. The exit code.
  int from_the_start(const RunRequest& request, job::Preflight&& ready);
  /// The job may have been started: train, fetch, release. The exit code.
  int from_training();

 private:
  Status plan(const RunRequest& request, const std::string& framework);
  Status plan_own_machine(const std::string& host);
  /// What the account's limits and permissions leave of what was planned, and its reservations.
  Status look_at_account(const task::Task& task, const std::string& framework, fleet::Planned& planned);
  Status ask(const RunRequest& request);
  Status launch(const RunRequest& request, const std::string& framework);
  Status connect();
  Status sync(const sync::Tree& tree);
  Status setup(const RunRequest& request, const job::Preflight& ready);
  Status train();
  /// Brings home what there is.
  Status fetch();
  /// A further interruption lets go; how far it is, is shown.
  sync::Options fetch_options();
  /// What came: told, and noted with its cost.
  void told_of_home(const job::Outputs& outputs);
  /// That the run's store, if it has one, can be used is known before anything is rented.
  Status prepare_store();
  /// Fails conflict where another computer's ferry works on the run; waits for one that may be gone. Where the store,
  /// or without one the machine's tag, is out of reach or may not be written, the run goes on without.
  Status take_lease();
  /// Ends this process without another word to the run: somebody else works on it, for `why`.
  [[noreturn]] void stop_at_once(const std::string& why);
  /// What the agent is told of it.
  Result<agent::StoreSpec> store_spec() const;
  /// The store has all of the run: noted in the ledger, with how the job ended.
  Result<bool> is_stored();
  /// Waits, after the training's end, until the machine has stored everything. False: it cannot, or is gone.
  Result<bool> await_stored();
  /// Brings home what is stored, when the machine is given back. Trouble is told: it is safe where it is.
  void bring_stored();
  Status release();

  Status enter(ledger::Phase phase);
  /// In the foreground for a few minutes; in the background, more and more seldom, as long as the machine may
  /// be there and nobody wants something else of it.
  Status reopen_connection(job::MayInterrupt interruption);
  /// After a lost connection: tells why and opens another, slower each time that the agent said nothing over
  /// the last one. In the foreground, gives up when it never does. May set detaching_, with an error.
  Status connect_again(const char* phase, job::Training& training, Error lost, job::MayInterrupt interruption);
  Status follow_job();
  /// One connection's worth of it, with pulls.
  Result<job::Followed> follow_and_pull(job::Training& training);
  /// Tells, and notes in the ledger, what the pulls brought of a run that is lost; as the end of its error.
  std::string told_of_pulled();
  /// The same of what is in the store.
  std::string told_of_stored();
  /// An agent that knows of no job: whether there was one all the same, as when its folder was removed and it
  /// was killed. What it wrote is there.
  Result<bool> was_forgotten();
  /// The agent has not answered for a while, though ssh works: how the training ended by its note, or ends
  /// now, because the user or the limit wants it. Nothing: it may go on.
  std::optional<agent::JobStatus> end_unheard();
  Status record_end(const agent::JobStatus& status);
  /// The job is known to have ended, or never to have begun.
  bool is_over() const { return run_.outcome != ledger::Outcome::none || run_.train_end_ms > 0; }
  /// From this computer to the machine's `ports_`, as long as the connection lives.
  void open_tunnels();
  agent::JobSpec job_spec(const task::Task& task) const;
  /// Hands the run to a background process; its process id.
  Result<int> start_follower();
  /// start_follower(), and tells how to come back.
  int detach();
  /// After `ended`, or what went wrong: fetch if something ran, release, tell, and the exit code.
  int finish(const Status& ended);
  /// Ends without releasing, telling why and how to come back. Where time may mend `problem`, a follower goes
  /// on.
  int leave(const std::string& why, const Error& problem);
  int leave_stopped();
  /// Ends at once, for the ferry that waits for the run.
  int give_up();
  /// Calls the run lost, unless something worse is noted already, for `why`.
  void call_lost(const std::string& why);
  /// As long as trying again may help; in a follower of a run that was left, not while somebody is logged in.
  Status fetch_stubbornly();
  Status try_to_fetch();
  /// Makes the laptop's log whole, and writes train.log. Nothing that goes wrong there ends more than itself.
  void finish_log();
  /// gone only if the ledger holds nothing for rented, or the cloud itself says so. An error's kind is no
  /// proof: a program missing on the laptop is not_found, too. there, too, when nobody knows.
  Standing look_at_machine();
  Seen seen_;  // what was heard then

  fleet::Context& context_;
  ledger::Run run_;
  std::optional<RunLock> owner_;
  std::optional<Lease> lease_;  // in its store, or on its machine
  fleet::RunDir run_dir_;
  fleet::TimeLimits lifetime_;
  std::unique_ptr<cloud::Cloud> cloud_;
  fleet::CloudLocation location_;
  std::vector<plan::Offer> offers_;          // best first; once launched, the one that was had
  std::vector<task::Resources> candidates_;  // that the offers are for
  std::optional<cloud::Reservation> reservation_;
  std::optional<Usd> ceiling_;  // no dearer machine is rented, an hour
  std::optional<Usd> most_;     // that the run can cost
  cloud::Image image_;          // of the best offer
  ledger::Instance instance_;
  std::optional<job::Connection> connection_;
  std::optional<job::OutputsPull> pull_;  // over connection_; while the job runs
  job::Pulled pulled_;
  job::Environment environment_;
  std::optional<job::LocalLog> log_;
  std::future<Status> hashing_;             // of the workdir; goes on in a thread of its own
  std::vector<std::string> fetched_files_;  // relative to run_.output_dir
  std::vector<int> ports_;                  // of the machine, that tunnels lead to
  std::map<int, int> tunnels_;              // of those, the ports here
  int fruitless_ = 0;                       // connections in a row over which the agent said nothing
  int unheard_ = 0;                         // of them, the last ones that were well themselves
  job::Repeats repeats_;                    // what is told of those
  std::uint64_t log_size_ = 0;              // as the agent told it in the end; 0: not yet
  bool detaching_ = false;
  bool was_cut_ = false;        // at max_duration, while this process followed it
  bool nothing_ran_ = false;    // whatever the phase: the job certainly was not started
  bool is_background_ = false;  // a follower
  bool was_started_ = false;    // the agent has confirmed that it started the job, to us or to a ferry before
};

}  // namespace ferry::run
