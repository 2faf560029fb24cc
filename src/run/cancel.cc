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

Status cancel(Doors& doors, const std::string& run_name) {
  TRY_SET(seen, "", doors.ledger.run(run_name));
  const auto& name = seen.name;
  if (seen.phase == Phase::released) {
    doors.progress.note(name + " is over already");
    return {};
  }
  const Folder folder(doors.data, name);
  const auto end = doors.clock.steady_ms() + owner_limit.count() * 1000;
  std::optional<Holder> asked;  // to end
  bool settled = false;
  while (true) {
    const auto holder = Owner::holder_of(folder);
    TRY_SET(run, "", doors.ledger.run(name));
    if (run.phase == Phase::released) return {};
    if (!holder) {
      // A kept run has nobody, and one that could not be ended by its follower has nobody any more.
      if (is_kept(run) || settled) {
        TRY_SET(ended, "", down(doors, name, true));
        return {};
      }
      TRY("", settle_run(doors, name));
      settled = true;
      continue;
    }
    // Only who follows is asked: who looks, releases or is about to hand over is waited for.
    if (holder->role == Role::follow && (!asked || asked->pid != holder->pid) &&
        Owner::signal(*holder, SIGTERM))
      asked = holder;
    if (doors.check_signals(false) != Wish::go_on)
      return fail(Kind::cancelled, "stopped waiting" + std::string(asked ? "; " + name + " ends without us"
                                                                         : "; " + name + " goes on"));
    if (doors.clock.steady_ms() > end)
      return fail(Kind::timeout,
                  fmt::format("{} did not end within {}", name, show_duration(owner_limit)), {},
                  "ferry down " + name);
    doors.clock.sleep(Millis(50));
  }
}

}  // namespace ferry::run
