// `ferry wait`: blocks until a run is over, whoever follows it.
#include "base/text.h"
#include "run/actions.h"
#include "run/ending.h"
#include "run/reach.h"

namespace ferry::run {

using ledger::Phase;

Result<int> wait(Doors& doors, const std::string& run_name) {
  TRY_SET(seen, "", doors.ledger.run(run_name));
  const Folder folder(doors.data, seen.name);
  bool settled = false;
  while (true) {
    const auto holder = Owner::holder_of(folder);
    TRY_SET(run, "", doors.ledger.run(seen.name));
    if (run.phase == Phase::released || is_kept(run)) return exit_code_of(run);
    if (!holder) {
      // Whoever followed it is gone: once, somebody is found. After that it is the person's turn.
      if (settled) {
        return fail(Kind::conflict, fmt::format("{} is not over, and nobody follows it: it is {}", run.name, name(run.phase)),
                    run.error, fmt::format("ferry fetch {0} brings its outputs home; ferry down {0} ends it", run.name));
      }
      TRY("", settle_run(doors, run.name));
      settled = true;
      continue;
    }
    if (doors.check_signals(false) != Wish::go_on)
      return fail(Kind::cancelled, "stopped waiting; " + run.name + " goes on", {}, "ferry wait " + run.name);
    doors.clock.sleep(Millis(100));
  }
}

}  // namespace ferry::run
