#pragma once
/// \file
/// The phases of a run, in order, and what each failure leads to. The only room that knows the order.

#include <string>

#include "fleet/context.h"
#include "fleet/run_dir.h"
#include "run/run_lock.h"
#include "task/task.h"

namespace ferry::run {

/// What one is asked before anything is rented.
struct Confirmation {
  std::span<const plan::Offer> offers;  ///< best first
  Seconds until_power_off;              ///< from its boot on, whatever happens to ferry
  std::optional<Usd> at_most;           ///< that the run can cost with any offer that is taken; nothing: unknown
  std::optional<Usd> disk_month;        ///< of a machine that rests when the run is over; nothing: it is ended
  std::optional<Usd> ceiling;           ///< an hour of the dearest offer that is taken if better ones cannot be had
};

struct RunRequest {
  task::Task task;
  std::vector<std::string> arguments;  ///< the words of the command, where it was given as words
  os::Path workdir;                    ///< absolute; what is sent
  os::Path results;                    ///< absolute; outputs come home to results/RUN (normally ./runs)
  bool detach = false;                 ///< return once training started
  std::optional<Seconds> wait;         ///< how long no room for a machine, and what else passes, is waited out
  bool keep = false;                   ///< leave the instance when done
  bool check = true;                   ///< look at scripts before renting
  std::string passed_on;               ///< the run whose outputs are among the task's mounts; empty: none
  bool follow = false;                 ///< links out of the workdir go as what they lead to
  /// Asks whether to spend; called once, before the first call that costs, for AWS and whatever stands in for
  /// it. Empty: do not ask.
  std::function<Status(const Confirmation&)> confirm;
  /// Called once the run is in the ledger, with its name. May be empty.
  std::function<void(const std::string& run)> named;
  /// True if what is rented at that EC2 endpoint surely costs nothing: then nobody is asked. Empty: all
  /// costs.
  std::function<bool(const std::string& endpoint)> is_free;
  /// Of a rehearsal: one line for the plan on its machines' way to the internet, asked once the cloud runs. Empty:
  /// there is nothing to say.
  std::function<std::string()> way_out;
  /// Of a rehearsal: why nothing can be installed on its machines from a package index; empty: it may be.
  std::string cut_off;
};

/// Exit code when ferry itself failed.
inline constexpr int ferry_failed = 125;
/// When it could not do it now, and the same command may work later (EX_TEMPFAIL of sysexits.h): no capacity, asked
/// too often, the network or the cloud out of reach. Nothing was rented.
inline constexpr int try_later = 75;
/// Which of the two it is.
constexpr int exit_code_for(Kind kind) { return may_work_later(kind) ? try_later : ferry_failed; }

/// Fails unsupported for a task that wants several machines: they are planned and priced, and not run yet.
Status check_nodes(const task::Task& task);

/// Runs a task from check to release. The value is the exit code to leave with: the training's own (130 when
/// cancelled before it had one), try_later or ferry_failed; every error has been shown by then. Whatever happens, what
/// was rented is released or noted in the ledger for the next ferry command.
int start(fleet::Context& context, const RunRequest& request);

/// Goes on with a run whose job may have been started, to its end: what the background follower does.
int follow(fleet::Context& context, const std::string& run, RunLock owner);

}  // namespace ferry::run
