#pragma once
/// \file
/// What people do with runs that exist: look, follow, fetch, stop, release. Every one of them works from any
/// process at any time.

#include <functional>

#include "fleet/context.h"
#include "fleet/machine.h"
#include "fleet/run_dir.h"
#include "fleet/untracked.h"
#include "job/outputs.h"
#include "run/run_lock.h"

namespace ferry::run {

/// Finds runs whose owner died and recovers each: before the job could have been started, whatever was rented
/// is released; from then on, a background process takes over following it. Each is told in one note. Cheap
/// (one ledger query) when there is nothing to do.
Status recover_orphans(fleet::Context& context);

/// Asks the cloud about every instance that the ledger holds for live, and tells what is gone or stopped.
/// Writes nothing of a run that somebody follows or recovers; only a kept run whose machine is gone for good
/// is ended, by its lock. Unreachable clouds are warned about.
Status look_at_clouds(fleet::Context& context);

/// Stops the training, brings home what there is, releases, or, with `ends: stop`, leaves the machine stopped; a run
/// that was kept or rested before is only released. Returns when that is done (or when the owner gave up).
Status cancel(fleet::Context& context, const std::string& run);

/// Blocks until the run is over (a kept one: until its outputs are home), and gives what `ferry run` would
/// have exited with. A run whose follower died is followed again, once; conflict when that one gave up, too.
/// Cancelled when an interruption ends the waiting: the run goes on.
Result<int> wait(fleet::Context& context, const std::string& run);

/// Releases everything of the run. `with_outputs`: they are brought home first, by starting a machine that is
/// stopped; unless the cloud itself says that the machine is gone, it is kept when they cannot be, and that is
/// the error. The log that is here is written home in any case. Returns the ids that were terminated.
Result<std::vector<std::string>> down(fleet::Context& context, const std::string& run, bool with_outputs);

/// Of a run whose machine stopped before its outputs were home: starts it, which costs again, brings them home as
/// down() does, and stops it again where the task says `ends: stop`; otherwise it is given back. What starting it may
/// cost is reserved first. Returns the ids that were terminated.
Result<std::vector<std::string>> fetch_stopped(fleet::Context& context, const std::string& run);

/// Gives up a run for which no instance id was ever returned, asking nobody; conflict for any other. Returns a
/// line for each thing that may be left in an account.
Result<std::vector<std::string>> forget(fleet::Context& context, const std::string& run);

struct SweepOptions {
  bool with_outputs = true;
  bool every_ledger = false;  ///< also what another ledger of the same user@host made
  /// Whether to end what other ledgers made, one line each. Empty: nobody is there to be asked.
  std::function<bool(const std::vector<std::string>& lines)> ask;
};
struct Sweep {
  std::vector<std::string> ended;    ///< ids
  std::vector<std::string> removed;  ///< key pairs, security groups and roles whose machine was gone, one line each
  std::vector<std::string> of_other_ledgers;  ///< left alone, one line each
  bool failed = false;                        ///< a machine could not be ended; told
  bool incomplete = false;                    ///< a place could not be looked at, or a host not cleared; told
};
/// down() for every run; then ends what ferry left on machines of the user's own; then adopts and ends every
/// machine that carries this user's tag and removes what was made for machines that are gone, in every place of the
/// ledger, in the rehearsal cloud and in every region of the environment's own AWS account. What could not be looked at
/// is told first.
Result<Sweep> down_all(fleet::Context& context, const SweepOptions& options);

struct Orphans {
  std::vector<fleet::Untracked> machines;
  std::vector<fleet::Leftover> leftovers;  ///< cost nothing
  bool incomplete = false;                 ///< a place could not be looked at; told
};
/// What is alive of the owner (empty: this user on this computer; else user@host) and in no ledger here, in every
/// place. Ends and notes nothing.
Result<Orphans> find_orphans(fleet::Context& context, const std::string& owner);

/// Whether to go on with a run that another computer began, with a line that says what that means and costs. False:
/// it is left as it is. Empty: nobody is asked, and none is gone on with.
using GoOnQuestion = std::function<Result<bool>(const std::string& question)>;

struct RecoverOptions {
  std::vector<std::string> names;  ///< runs or instance ids, whichever ledger made them; empty: all that this one made
  std::string owner;               ///< user@host; empty: this user on this computer
  std::string store;               ///< where runs may have stored what they made (base/store_place.h); empty: not asked
  std::string provider = "aws";    ///< whose S3 that is
  GoOnQuestion may_go_on = {};
};
struct Recovered {
  std::vector<std::string> runs;      ///< with a machine: their names here
  std::vector<std::string> going_on;  ///< without one: their next attempt is about to begin
  std::vector<std::string> stored;    ///< without one, over: what they made is in the store
  /// Left alone. Of those in the store the first is the run, the second whose it is, or why.
  std::vector<fleet::Untracked> of_other_ledgers;
  std::vector<std::pair<std::string, std::string>> stored_of_others;
  bool incomplete = false;  ///< as in Orphans
};
/// Takes machines that are in no ledger here into this one by their tags, each as a run that a follower goes on with:
/// the log is attached, outputs come home below the current folder, the machine is given back. A key that was lost is
/// replaced by EC2 Instance Connect. Then runs whose machine is gone, by their records in the store: those that may be
/// tried again go on, if may_go_on says so; the others are over, and what they stored is fetched when it is asked for.
/// Fails not_found for a name that is nowhere, before anything is taken.
Result<Recovered> recover(fleet::Context& context, const RecoverOptions& options);

struct ExtendOptions {
  Seconds time;               ///< that is added to the limit of the training, and to the machine's own
  std::optional<Usd> budget;  ///< in place of the run's
  /// Whether to spend what the whole run then may cost, with a line that says so. Empty: nobody is asked.
  std::function<Status(const std::string& question)> ask;
};
struct Extension {
  std::string run;
  std::optional<Usd> at_most;    ///< that the whole run may cost now
  std::int64_t deadline_ms = 0;  ///< when the training is stopped, by the machine's clock
};
/// Gives a run whose training goes on more time, whoever follows it: what that may cost is reserved, within the caps
/// and the budget, then the machine's timer is put off, then the agent's limit. Killed in between, the run has at least
/// the time that it had. Conflict where no job runs; bad_input where it would break the budget; unsupported where the
/// machine was rented by a ferry that could not; otherwise as the ledger's reserve(), and as the connection fails.
Result<Extension> extend(fleet::Context& context, const std::string& run, const ExtendOptions& options);

/// Brings the outputs home as they are now, and the log where nobody else writes it. Conflict with
/// stopped_code when the machine is stopped.
Result<job::Outputs> fetch(fleet::Context& context, const std::string& run);

/// Brings home what is missing here of the log of a run that nobody follows, and writes it beside its outputs. Of
/// one that is over: writes what is here, where that could not be done when it ended.
Status complete_log(fleet::Context& context, const std::string& run);

/// Hands over the whole log once, in order. Without `follow`: up to what the machine has by now. With it:
/// until the job is over. `caught_up` is called once, when what was there at the beginning has been handed over.
/// `time_ms`: when the machine's agent read it, by its clock; 0: not known.
Status logs(fleet::Context& context, const std::string& run, bool follow,
            const std::function<Status(std::string_view, bool is_error, std::int64_t time_ms)>& write,
            const std::function<Status()>& caught_up = {});

/// The words of the ssh command with which visit() does.
Result<os::Argv> visit_argv(fleet::Context& context, const std::string& run, const os::Argv& command);

/// Logs in to the run's machine, or runs `command` there, on this terminal; the exit code of ssh. As long as it lasts,
/// no follower fetches from a run that was left with outputs on its machine, nor gives that machine back.
/// The same with the machine of a run that rests (`ends: stop`): it is started for that, which costs, and stopped again
/// afterwards. What it may cost until its own timer would stop it is reserved first.
Result<int> visit_started(fleet::Context& context, const std::string& run, const os::Argv& command);
Result<int> visit(fleet::Context& context, const std::string& run, const os::Argv& command);

}  // namespace ferry::run
