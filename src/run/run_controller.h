#pragma once
/// \file
/// One run on its way through its attempts and their phases, with what it holds at the moment. Internal to this room.

#include <future>
#include <set>

#include "account/quota_watch.h"
#include "fleet/planning.h"
#include "job/connection.h"
#include "job/environment.h"
#include "job/local_log.h"
#include "job/outputs.h"
#include "job/outputs_pull.h"
#include "job/preflight.h"
#include "job/training.h"
#include "run/background_send.h"
#include "run/event_callback.h"
#include "run/kept.h"
#include "run/lease.h"
#include "run/next_step.h"
#include "run/node.h"
#include "run/run.h"

namespace ferry::run {

class RunController {
 public:
  RunController(fleet::Context& context, ledger::Run run, RunLock owner);
  ~RunController();

  /// check is done; goes on with plan, launch, connect, sync, setup, train, fetch, release, and with another attempt
  /// where next_step() says so. The exit code.
  int from_the_start(const RunRequest& request, job::Preflight&& ready);
  /// In another process than the one that began the run. The job may have been started: train, fetch, release, and
  /// further attempts; or the run waits for its next attempt. The exit code.
  int from_training();

 private:
  /// Of an attempt whose job may have been started: connects, and follows it.
  Status follow_attempt();
  /// Begins to read what is sent, in a thread of its own: what is in the workdir, or, with `again`, what an attempt
  /// before sent.
  void begin_reading(bool again);
  /// As soon as it is read, begins to make it ready for a machine that is there, or boots: what is not late of it.
  void begin_sending();
  /// After an attempt that ended so: finishes, and makes further attempts where finish() says so.
  int go_on(Status done);
  /// plan, launch, connect, sync, setup, train, on one machine.
  Status attempt();
  /// plan and launch; again and again where the run waits for room (waits_until()).
  Status rent();
  /// Until when no room, and what else passes by itself, is waited out; 0: it is not.
  std::int64_t waits_until() const;
  /// Between two tries to rent: all that the one before may have made is given back. Fails when the wait is over, for
  /// `why`, or nobody waits any more. May set detaching_, without an error.
  Status wait_for_room(const Error& why, Millis rest, std::int64_t until);
  /// How long it waits before it asks again: `rest`, and where it waits for a reservation that begins at a known time,
  /// not beyond that.
  Millis until_it_opens(const Error& why, Millis rest) const;
  /// Of a run that waits because of limits of the account: tells which request for more is open, once each time that it
  /// stands otherwise. Fails quota where it was refused and nothing else can be had.
  Status look_at_quotas(const Error& why);
  /// The run waits for an attempt that a process before was about to make: with nothing rented, and in phase planning.
  Status take_up_waiting();
  /// From the ledger: what the attempts before this one used, and what they left.
  Status take_stock();
  /// As fleet::release_all(), as long as what is in the way passes by itself and the run is still wanted.
  Status release_patiently();
  /// The same of another call, which may be repeated.
  Status patiently(const std::function<Status()>& call);
  /// The machine is given back and the run open again. Fails without either where the same cannot be begun again, or
  /// with the machine perhaps still there.
  Status begin_again();
  /// What the ledger says of the attempt that this process begins now: nothing of the one before.
  Status note_begun();
  /// The ledger has another attempt, which is this one from now on.
  Status begin_attempt();
  /// What the task takes of another run comes from the store: the machine does it.
  Status take_passed_on();
  /// Puts what an attempt before had saved, and is home, where the training will look for it.
  Status restore();
  /// The same, from the store: the machine does it.
  Status restore_stored();
  Status plan();
  /// The task's large folders are in the run's store, for the machine to take. Does nothing where they are already.
  Status store_data();
  Status plan_own_machine(const std::string& host);
  /// What the account's limits and permissions leave of what was planned, and its reservations.
  Status look_at_account(const task::Task& task, const std::string& framework, fleet::Planned& planned);
  /// Its disk belongs to the price.
  Status look_at_image(const task::Task& task, const std::string& framework, fleet::Planned& planned);
  /// What the task's volumes are, and that they can be had, before anything is rented.
  Status look_for_volumes(const task::Task& task, const std::string& rehearsal_region);
  /// fleet::plan_task(), where the task's volumes are.
  Result<fleet::Planned> plan_in_zone(const task::Task& task, const std::string& rehearsal_region);
  /// They are attached to the machine, and mounted; where.
  Result<std::vector<std::string>> bring_volumes(const task::Task& task);
  /// Before its machine is given back.
  void let_go_of_volumes();
  /// What was added meanwhile, by whichever process, to the run's time.
  void heed_extension();
  /// What the training is told of money.
  std::optional<agent::MoneySpec> money_spec() const;
  /// What the run may cost is noted, within what all runs together may; before anything is rented.
  Status reserve();
  Status ask();
  /// The price was agreed to, or there is nobody to ask.
  bool is_agreed() const { return trial_.n > 1 || run_.task.contains(is_agreed_to); }
  Status note_agreed();
  Status launch();
  Status connect();
  /// Sends the workdir; what of it is late has begun to go over then (late_).
  Status sync();
  /// All of it is there. Fails cancelled where nobody waits any more.
  Status await_late();
  /// Node::reopen() while the job's place is made ready. Fails where the connection broke before all was sent.
  Status reopen();
  /// Where it is remembered how the workdir was, last.
  os::Path tree_file(const char* ending) const;
  /// The machine cannot have files of other runs.
  bool has_no_contents() const;
  /// `ferry-agent receive WORKDIR HOW…`.
  Result<mux::Command> start_receiver(const os::Argv& how, mux::Lane lane);
  /// Sends what is below `root` to the machine's workdir, over what is there.
  Result<sync::Report> send(const os::Path& root, sync::Tree tree);
  /// Until it has ended. Fails as it did, or cancelled where nobody waits any more.
  Status await(BackgroundSend& send);
  /// The machine's, of what was received.
  std::string state_file() const;
  Status setup();
  /// What is there before the job: volumes, buckets, the environment, data; of the environment the plan alone, where it
  /// is made in the same flight as the job is started (Trial::planned).
  Status prepare();
  /// Whether that can be: nothing that only this computer can do comes between.
  bool prepares_along(const task::Task& task) const;
  /// That plan, for the machine; `next` is told when it is done.
  job::Preparation preparation(const char* next);
  /// What the environment is, in the ledger.
  Status note_environment();
  Status train();
  /// Brings home what there is.
  Status fetch();
  /// A further interruption lets go; how far it is, is shown.
  sync::Options fetch_options();
  /// For sync::Options::progress, of one transfer.
  std::function<void(const sync::Progress&)> tell_progress();
  /// What came: told, and noted with its cost.
  void told_of_home(const job::Outputs& outputs);
  /// That the run's store, if it has one, can be used is known before anything is rented.
  Status prepare_store();
  /// Fails conflict where another computer's ferry works on the run; waits for one that may be gone. Where the store,
  /// or without one the machine's tag, is out of reach or may not be written, the run goes on without.
  Status take_lease();
  /// Of a run that may be tried again: what another computer needs to begin its next attempt is in its store
  /// (history.h). Trouble is told, and holds up nothing.
  void store_history();
  /// The same of what was sent; while the machine boots.
  void store_sent();
  bool may_go_on_elsewhere() const;
  /// With the lease: what another computer did with the run meanwhile is what this one goes on from.
  Status catch_up_with_others();
  /// The task says `recover: aws`, and this process rented the machine.
  bool wants_stand_in() const;
  /// What takes the machine's place when it dies is made ready, before the job starts; `spec` says so. Trouble is told,
  /// and holds up nothing.
  void arm_stand_in(agent::JobSpec& spec);
  /// Machines that AWS started in the place of others are attempts of the run from now on. True: there is another.
  Result<bool> catch_up_with_stand_ins();
  /// The machines before the one that says so are noted as gone, where they are; the last of them.
  Result<ledger::Instance> end_those_before(cloud::Cloud& cloud, const agent::StandInClaim& claim);
  /// The attempt ended with its machine, and the next one has begun.
  Status lose_attempt();
  /// The newest attempt's machine is that one, like the one before it in all that is not known.
  Status take_up_stand_in(ledger::Instance next, const agent::StandInClaim& claim,
                          const Result<cloud::Instance>& found);
  /// The attempt's machine, which AWS started, is there, and still makes itself ready for the job.
  bool is_stand_in_beginning();
  bool may_be_replaced(const Status& done);
  /// After an attempt that ended so, perhaps with its machine: waits for the one that AWS starts in its place, and
  /// follows it. Nothing: none comes, or none is wanted. May set detaching_, without an error.
  std::optional<Status> follow_stand_in(const Status& done);
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
  /// The task's event_callback hears of the phase, where that is one of those that it hears of.
  void tell_phase();
  /// And of the run's end.
  void tell_end();
  /// Node::connect_again(). May set detaching_, with an error.
  Status connect_again(const char* phase, job::Training& training, Error lost, job::MayInterrupt interruption);
  Status follow_job();
  /// One connection's worth of it, with pulls.
  Result<job::Followed> follow_and_pull(job::Training& training);
  /// Tells, and notes in the ledger, what the pulls brought of a run that is lost; as the end of its error.
  std::string told_of_pulled();
  /// The same of what is in the store.
  std::string told_of_stored();
  /// The same where the next attempt goes on from what is there: it comes home in the end.
  std::string noted_stored();
  /// An agent that knows of no job: whether there was one all the same, as when its folder was removed and it
  /// was killed. What it wrote is there.
  Result<bool> was_forgotten();
  /// The agent has not answered for a while, though ssh works: how the training ended by its note, or ends
  /// now, because the user or the limit wants it. Nothing: it may go on.
  std::optional<agent::JobStatus> end_unheard();
  /// Of the task's data sets, those that the machine can mount; goes on where a connection broke.
  Result<job::Mounted> mount_buckets(const task::Task& task);
  /// The others; goes on where a connection broke.
  Status bring_data(const task::Task& task);
  /// Cuts the training's time where what came before took so long that the machine's own timer would end it first.
  /// Fails timeout where nothing is left.
  Status keep_in_time(agent::JobSpec& spec) const;
  Status record_end(const agent::JobStatus& status);
  /// The job is known to have ended, or never to have begun.
  bool is_over() const { return run_.outcome != ledger::Outcome::none || run_.train_end_ms > 0; }
  agent::JobSpec job_spec(const task::Task& task) const;
  /// Hands the run to a background process; its process id.
  Result<int> start_follower();
  /// start_follower(), and tells how to come back.
  int detach();
  /// Of a run without a machine, for what this process lacks to begin its next attempt: it waits for one that has it.
  int leave_waiting(const Error& lacking);
  /// After `ended`, or what went wrong: does what next_step() says, tells, and the exit code; nothing: another attempt
  /// is to begin.
  std::optional<int> finish(const Status& ended);
  /// Of a run whose machine is to have stored what it made, and may have done so.
  bool may_be_stored() const;
  AttemptEnd end_of(const Status& done, Standing machine) const;
  Policy policy(const Status& done) const;
  /// How much of max_duration the attempts have left until now.
  Seconds time_left() const;
  /// What the attempts have left until now of what the whole run may cost; nothing: no bound is known.
  std::optional<Usd> money_left() const;
  /// Shows what went wrong; why, in few words.
  std::string tell_trouble(const Status& done, const AttemptEnd& end);
  /// What the attempt is called that ends so, where that is not decided yet.
  void note_outcome(const Status& done, const AttemptEnd& end, Step step, const std::string& why);
  /// Whether all that the machine holds is home, or stored, now; otherwise why not, and `end` is how it stands then.
  Status make_durable(const Status& done, AttemptEnd& end);
  /// The rest of a run that is given back, or kept.
  int give_back(const Status& done);
  int keep_machine();
  /// To a machine that stays, for the command that comes next; where this process has made its way there.
  void hold_connection();
  int stop_machine(const Status& done);
  void note_home();
  /// Ends without releasing, telling why and how to come back. Where time may mend `problem`, a follower goes
  /// on.
  int leave(const std::string& why, const Error& problem);
  int leave_stopped();
  /// Ends at once, for the ferry that waits for the run.
  int give_up();
  /// Calls the run lost, unless something worse is noted already, for `why`.
  void call_lost(const std::string& why, Step step);
  /// As long as trying again may help; in a follower of a run that was left, not while somebody is logged in.
  Status fetch_stubbornly();
  Status try_to_fetch();
  /// Makes the laptop's log whole, and writes train.log. Nothing that goes wrong there ends more than itself.
  void finish_log();
  /// What belongs to one attempt, and begins anew with the next.
  struct Trial {
    int n = 1;
    bool resumes = false;                     // it has what an attempt before had saved
    std::vector<plan::Offer> offers;          // best first; once launched, the one that was had
    std::vector<task::Resources> candidates;  // that the offers are for
    std::optional<cloud::Reservation> reservation;
    std::vector<cloud::Volume> volumes;        // in the task's order
    std::optional<Usd> ceiling;                // no dearer machine is rented, an hour
    std::optional<Usd> most;                   // that it can cost
    cloud::Image image;                        // of the best offer
    std::optional<agent::StandInStep> taking;  // take_passed_on()
    job::Environment environment;
    std::optional<job::EnvironmentPlan> planned;  // it is made as the job is started
    std::optional<job::LocalLog> log;
    job::Pulled pulled;
    std::optional<agent::JobStatus> ended;  // as the agent told it in the end
    bool was_cut = false;                   // at max_duration, while this process followed it
    bool is_called_lost = false;
    bool nothing_ran = false;          // whatever the phase: the job certainly was not started
    cloud::LaunchRequest launched_by;  // by this process; without an image: by another
    bool is_stand_in = false;          // AWS started its machine, and that the job
    bool was_started = false;          // the agent has confirmed that it started the job, to us or to a ferry before
  };

  fleet::Context& context_;
  ledger::Run run_;
  std::optional<RunLock> owner_;
  std::optional<Lease> lease_;  // in its store, or on its machine
  fleet::RunDir run_dir_;
  Node node_;
  Trial trial_;
  std::unique_ptr<BackgroundSend> workdir_;  // from begin_sending() until it is there
  std::unique_ptr<BackgroundSend> late_;     // from sync() until the job starts
  sync::Tree late_tree_;                     // what that sends
  std::optional<job::OutputsPull> pull_;     // over node_.connection; while the job runs
  EventCallback callback_;
  std::vector<std::string> fetched_files_;  // relative to run_.output_dir
  bool detaching_ = false;
  std::vector<account::QuotaShortage> short_of_;  // what ruled offers out when it was planned last
  std::set<std::string> told_of_quotas_;          // lines

  std::optional<Beginning> beginning_;  // none: this process cannot begin an attempt
  std::vector<std::string> lacking_;    // what beginning_ has no value of
  bool is_store_ready_ = false;
  bool was_connected_ = false;  // by connect(): a connection may be held when the run is over
  fleet::TimeLimits whole_;     // of all attempts
  Seconds trained_{0};          // in the attempts before
  ledger::Instance last_;       // the machine before
  int retried_ = 0;             // attempts that followed a training that failed
  // The last: its thread reads and writes what stands above, and is waited for where it goes.
  std::shared_future<Status> hashing_;     // of what is sent
  std::future<Status> beginning_to_send_;  // uses what stands above
};

/// What passes by itself, or may be given meanwhile: no room, a limit, a network, a session of AWS that ran out.
bool passes(const Error& error);

}  // namespace ferry::run
