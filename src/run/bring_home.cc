#include "run/bring_home.h"

#include "base/text.h"
#include "run/actions.h"
#include "run/local_log.h"
#include "run/training.h"

namespace ferry::run {

namespace {

/// Completes the local copy of the log from the machine. Only for the run's owner.
Status complete_local_log(Doors& doors, Link& link, const Folder& folder) {
  TRY_SET(log, "", LocalLog::open(folder.log()));
  return complete_log(doors, link, log);
}

}  // namespace

Result<Outputs> bring_home(Doors& doors, const ledger::Run& run, bool may_start, bool owned) {
  const Folder folder(doors.data, run.name);
  TRY_SET(reached, "", reach(doors, run, may_start));
  // Nothing is lost by ending here: whatever the signal, it means just that.
  sync::Options options;
  bool stopped = doors.wish != Wish::go_on;
  options.cancelled = [&] { return stopped = stopped || doors.signals.next().has_value(); };
  auto outputs = fetch_outputs(doors, reached.link, folder, run, options);
  if (!outputs && outputs.error().kind == Kind::cancelled)
    return fail(Kind::cancelled, "stopped; what came home stays, and the machine goes on", {},
                "ferry fetch " + run.name + "  goes on from here");
  if (!outputs) return outputs;
  std::optional<Owner> owner;
  if (!owned) {
    TRY_SET(taken, "", Owner::try_take(folder, Role::settle));
    owner = std::move(taken);
  }
  if (owned || owner) {
    if (const auto whole = complete_local_log(doors, reached.link, folder); !whole)
      doors.progress.warn("fetch", "a part of the log is still on the machine only: " + whole.error().what);
    write_log_home(doors, run);
  }
  return outputs;
}

Status complete_log(Doors& doors, const std::string& run_name) {
  TRY_SET(run, "", doors.ledger.run(run_name));
  const Folder folder(doors.data, run.name);
  TRY_SET(owner, "", Owner::try_take(folder, Role::settle));
  if (!owner) return {};
  TRY_SET(reached, "", reach(doors, run));
  TRY("", complete_local_log(doors, reached.link, folder));
  write_log_home(doors, run);
  return {};
}

void write_log_home(Doors& doors, const ledger::Run& run) {
  const Folder folder(doors.data, run.name);
  if (!os::exists(folder.log())) return;
  const auto written = [&]() -> Status {
    TRY("", os::make_dirs(run.home));
    if (const auto done = write_train_log(folder, run); !done) return tl::unexpected<Error>(done.error());
    return {};
  }();
  if (!written)
    doors.progress.warn("fetch", fmt::format("the log of {} is not in {}: {}", run.name, run.home,
                                             written.error().what));
}

}  // namespace ferry::run
