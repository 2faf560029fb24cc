// `ferry cancel`: whoever follows the run is asked; where nobody does, somebody is found.
#include <csignal>

#include "base/text.h"
#include "run/actions.h"
#include "run/reach.h"

namespace ferry::run {

using ledger::Phase;

namespace {

/// A cancelled training has cancel_grace to save; outputs and termination take their time after it.
constexpr Seconds owner_limit{900};

}  // namespace

Status cancel(fleet::Context& context, const std::string& run_name) {
  TRY_SET(seen, "", context.ledger.run(run_name));
  const auto& name = seen.name;
  if (seen.phase == Phase::released) {
    context.progress.note(name + " is over already");
    return {};
  }
  const fleet::RunDir run_dir(context.data, name);
  const auto end = context.clock.steady_ms() + owner_limit.count() * 1000;
  std::optional<Holder> asked;  // to end
  bool recovered = false;
  while (true) {
    const auto holder = RunLock::holder_of(run_dir);
    TRY_SET(run, "", context.ledger.run(name));
    if (run.phase == Phase::released) return {};
    if (!holder && int_at(run.task, rests) != 0 && int_at(seen.task, rests) == 0) return {};  // `ends: stop`
    if (!holder) {
      // A kept run has nobody, and one that could not be ended by its follower has nobody any more.
      if (is_kept(run) || recovered) {
        TRY_SET(ended, "", down(context, name, true));
        return {};
      }
      TRY("", recover_orphan(context, name));
      recovered = true;
      continue;
    }
    // Only who follows is asked: who looks, releases or is about to hand over is waited for.
    if (holder->role == Role::follow && (!asked || asked->pid != holder->pid) && RunLock::signal(*holder, SIGTERM))
      asked = holder;
    if (context.check_signals(false) != fleet::Interrupt::go_on)
      return fail(Kind::cancelled,
                  "stopped waiting" + std::string(asked ? "; " + name + " ends without us" : "; " + name + " goes on"));
    if (context.clock.steady_ms() > end)
      return fail(Kind::timeout, fmt::format("{} did not end within {}", name, show_duration(owner_limit)), {},
                  "ferry down " + name);
    context.clock.sleep(Millis(50));
  }
}

}  // namespace ferry::run
