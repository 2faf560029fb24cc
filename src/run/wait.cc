// `ferry wait`: blocks until a run is over, whoever follows it.
#include "base/text.h"
#include "run/actions.h"
#include "run/ending.h"
#include "run/reach.h"

namespace ferry::run {

using ledger::Phase;

Result<int> wait(fleet::Context& context, const std::string& run_name) {
  TRY_SET(seen, "", context.ledger.run(run_name));
  const fleet::RunDir run_dir(context.data, seen.name);
  bool recovered = false;
  while (true) {
    const auto holder = RunLock::holder_of(run_dir);
    TRY_SET(run, "", context.ledger.run(seen.name));
    if (run.phase == Phase::released || is_kept(run)) return exit_code_of(run);
    if (!holder) {
      // Whoever followed it is gone: once, somebody is found. After that it is the user's turn.
      if (recovered) {
        return fail(
            Kind::conflict, fmt::format("{} is not over, and nobody follows it: it is {}", run.name, name(run.phase)),
            run.error, fmt::format("ferry fetch {0} brings its outputs home; ferry down {0} ends it", run.name));
      }
      TRY("", recover_orphan(context, run.name));
      recovered = true;
      continue;
    }
    if (context.check_signals(false) != fleet::Interrupt::go_on)
      return fail(Kind::cancelled, "stopped waiting; " + run.name + " goes on", {}, "ferry wait " + run.name);
    context.clock.sleep(Millis(100));
  }
}

}  // namespace ferry::run
