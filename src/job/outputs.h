#pragma once
/// \file
/// Bringing a run's outputs home.

#include "job/connection.h"
#include "sync/sync.h"

namespace ferry::job {

struct Outputs {
  sync::Report report;
  std::vector<std::string> missing;  ///< outputs the task names that do not exist
  std::vector<std::string> unmade;   ///< those that came home only as they went over
  bool everything_new =
      false;  ///< because of these, or because outputs/ has nothing new, all that the run made came home

  std::uint64_t made() const;  ///< how many of the files this run made or changed
  /// Paths on the machine of files that the run wrote outside its workdir, where it made nothing in it.
  std::vector<std::string> from_elsewhere() const;
};

/// Fetches into run.output_dir: every SHA-256 is checked, every file written complete or not at all, with the
/// user's umask. What belongs to the outputs, links and what the login user cannot read included, is told
/// in sync/outputs.h. When a named output does not exist or is not of this run, all that the run made comes
/// home, too: the model may be there under another name; and if it made nothing in the workdir, what it wrote
/// in its home, scratch and /tmp. `denied` with the list, if something could not come: then what could is
/// here, and the machine must stay. The agent is not needed where ssh works. A fetch that was cancelled goes on where
/// it was the next time. One fetch of a run at a time (a lock), in whichever process. `ended`: what the agent said
/// when the job was over, if that is known; it is asked otherwise.
Result<Outputs> fetch_outputs(fleet::Context& context, Connection& connection, const fleet::RunDir& run_dir,
                              const ledger::Run& run, const sync::Options& options = {},
                              const std::optional<agent::JobStatus>& ended = std::nullopt);

/// What a user should know about them, one line each.
std::vector<std::string> tell(const Outputs& outputs, const ledger::Run& run);

/// What to say before a run about files that go over and match its outputs (`named`; empty: outputs/); empty:
/// there are none.
std::string sent_outputs(const std::vector<std::string>& named, const sync::Tree& tree);

/// The words behind `ferry-agent send WORKDIR` that choose what the task calls outputs, or outputs/, of a job that
/// began at `job_began_ms` by the machine's clock (0: not known).
os::Argv selection_of(const Connection& connection, const ledger::Run& run, std::int64_t job_began_ms);
/// How everything is received that comes from a machine, which may be hostile.
sync::ReceiveOptions receive_options(const fleet::RunDir& run_dir, const sync::Options& options = {});

/// One fetch of a run at a time, in whichever process. Fails timeout after ten minutes, cancelled.
Result<os::FileLock> lock_fetch(const fleet::RunDir& run_dir, const sync::Options& options);

/// Notes in the ledger what of a run is home: all of it, instead of what was noted before.
Status record_home(fleet::Context& context, const std::string& run, const std::vector<sync::Entry>& entries);

/// The name of the run's record at home (run/record.h).
inline constexpr const char* record_file = "run.json";
/// Where a file of ferry's own of that name stands beside the outputs: in run.output_dir, or in .ferry there where the
/// training brought something of that name.
os::Path own_place(fleet::Context& context, const ledger::Run& run, const std::string& name);
/// Makes a folder there, with the user's umask, and its parents; that it is there already is no error.
Status make_home_folder(const os::Path& run_dir);

using LogSink = std::function<Status(std::string_view)>;
using LogRest = std::function<void(std::uint64_t from, const LogSink& write)>;
/// Writes the training's output as plain text to run.output_dir/train.log, or to run.output_dir/.ferry/train.log where
/// the training brought a train.log of its own. A longer one that is there already stays: it was written when
/// more was known. Returns where it is. `rest`, if any, adds what the copy in the run's folder lacks from a byte on; it
/// keeps its own errors, and what came before them is written.
Result<os::Path> write_train_log(fleet::Context& context, const ledger::Run& run, const LogRest& rest = {});
/// The same file from byte `from` on; empty if there is no more.
std::string read_train_log(fleet::Context& context, const ledger::Run& run, std::uint64_t from);

/// Makes the folder under which runs' outputs come home, with a .gitignore so that results are never uploaded
/// with the next run. Fails if it cannot be written to.
Status make_results(const os::Path& results);

}  // namespace ferry::job
