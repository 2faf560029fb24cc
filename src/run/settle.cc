// What is done about runs whose owner died, and what `ferry ps` looks at.
#include <algorithm>
#include <map>

#include "base/text.h"
#include "run/actions.h"
#include "run/bring_home.h"
#include "run/reach.h"

namespace ferry::run {

using ledger::Outcome;
using ledger::Phase;

namespace {

constexpr const char* settle_failed = "settle-failed";
constexpr std::int64_t a_day = 24 * 3'600'000;

/// Tries to settle a run that failed, as its events tell.
struct FailedTries {
  int count = 0;
  std::int64_t last_ms = 0, told_ms = 0;
};

Result<FailedTries> failed_tries(Doors& doors, const std::string& run) {
  TRY_SET(events, "", doors.ledger.events(run));
  FailedTries tries;
  for (const auto& event : events) {
    if (event.kind != settle_failed) continue;
    ++tries.count;
    tries.last_ms = event.time_ms;
    if (int_at(event.data, "told") != 0) tries.told_ms = event.time_ms;
  }
  return tries;
}

/// How long to wait after so many failures: not at all where a machine costs. Where a launch was never
/// answered, one may exist: that is asked about more often than a key pair that costs nothing.
Millis next_try_after(int failures, const std::vector<ledger::Instance>& instances) {
  constexpr Millis first{60'000}, often{600'000}, seldom{6 * 3'600'000};
  const auto any_is = [&](ledger::Rent state) {
    return std::ranges::any_of(instances, [&](const auto& one) { return one.state == state; });
  };
  if (failures == 0 || any_is(ledger::Rent::live)) return Millis(0);
  const auto doubled = first * (std::int64_t{1} << std::min(failures - 1, 20));
  return std::min(doubled, any_is(ledger::Rent::intent) ? often : seldom);
}

/// Settles a run unless that failed a moment ago. What cannot be cured at once and costs nothing that is
/// known is told once a day.
Status settle_patiently(Doors& doors, const std::string& name) {
  TRY_SET(tries, "", failed_tries(doors, name));
  TRY_SET(instances, "", doors.ledger.instances(name));
  const auto now = doors.clock.now_ms();
  const auto pause = next_try_after(tries.count, instances);
  if (now - tries.last_ms < pause.count()) return {};
  auto settled = settle_run(doors, name);
  if (settled) return {};
  const bool costs = tries.count > 0 && pause.count() == 0;
  const bool tell = costs || tries.told_ms == 0 || now - tries.told_ms >= a_day;
  const auto& error = settled.error();
  TRY("", doors.ledger.add_event(name, settle_failed, {{"what", error.what}, {"told", tell ? 1 : 0}}));
  if (!tell) return {};
  const auto cure = ever_rented(instances) ? "ferry down " + name
                                           : fmt::format("ferry down {0}; no machine of it is known: to give "
                                                         "it up, ferry down --forget {0}",
                                                         name);
  doors.progress.warn("settle", fmt::format("{} could not be settled now: {}{}; this is tried again later, "
                                            "or by {}",
                                            name, error.what, error.why.empty() ? "" : " (" + error.why + ")",
                                            cure));
  return {};
}

/// The machine if the cloud says that it is stopped; nothing, too, when nobody knows.
std::optional<cloud::Instance> stopped_one(Doors& doors, const ledger::Instance& instance) {
  auto place = place_of(instance);
  const auto cloud = open_cloud(doors, place);
  auto seen = cloud ? see(doors, **cloud, instance) : tl::unexpected<Error>(cloud.error());
  return seen && seen->standing == Standing::stopped ? std::move(seen->now) : std::nullopt;
}

/// Nobody can follow a run whose machine is stopped, and what is to become of it is the person's to say. Told once a
/// day; what looks at the cloud goes on telling.
Status note_stopped(Doors& doors, ledger::Run run, ledger::Instance instance, const cloud::Instance& now) {
  constexpr const char* told = "stopped-told";
  TRY("", note_power(doors, now, instance));
  if (run.outcome != Outcome::lost) {
    run.error = std::string("its machine was stopped from outside") +
                (run.train_end_ms > 0 ? ", and its outputs are not home" : ", and the training with it");
    run.outcome = Outcome::lost;
    run.exit_code.reset();
    TRY("", doors.ledger.update(run));
  }
  TRY_SET(events, "", doors.ledger.events(run.name));
  const auto last = std::find_if(events.rbegin(), events.rend(), [](const auto& one) { return one.kind == told; });
  if (last != events.rend() && doors.clock.now_ms() - last->time_ms < a_day) return {};
  TRY("", doors.ledger.add_event(run.name, told, Json::object()));
  doors.progress.note(fmt::format("{} was left behind while {}: {}; {}", run.name, ledger::name(run.phase),
                                  stopped_words(instance, now.state), stopped_advice(run.name)));
  return {};
}

}  // namespace

Status settle_run(Doors& doors, const std::string& name) {
  const Folder folder(doors.data, name);
  TRY_SET(owner, "", Owner::try_take(folder, Role::settle));
  if (!owner) return {};
  TRY_SET(run, "", doors.ledger.run(name));  // it may have moved on before we held the lock
  if (run.phase == Phase::released || is_kept(run)) return {};
  TRY_SET(instances, "", doors.ledger.instances(name));
  const auto machine = live_instance(doors, run);
  const bool holds_something = run.phase >= Phase::setup && machine;
  if (holds_something) {
    if (const auto now = stopped_one(doors, *machine)) return note_stopped(doors, std::move(run), *machine, *now);
    TRY_SET(pid, "", hand_over(doors, folder, run.name, std::move(*owner)));
    doors.progress.note(fmt::format("{} was left behind while {}; following it again in the background",
                                    run.name, ledger::name(run.phase)),
                        {{"run", run.name}, {"follower_pid", pid}});
    return {};
  }
  TRY_SET(ended, "", release_all(doors, run));
  const bool rented = ever_rented(instances) || !ended.empty();
  const auto left = "ferry died while " + std::string(ledger::name(run.phase));
  TRY("", mark_released(doors, run, rented ? Outcome::lost : Outcome::not_started,
                        rented ? left : left + ": nothing was rented"));
  doors.progress.note(fmt::format("{} was left behind while {}; {}", run.name, ledger::name(run.phase),
                                  ended.empty() ? "nothing was rented" : "released " + join(ended, ", ")),
                      {{"run", run.name}, {"terminated", ended}});
  return {};
}

Status settle(Doors& doors) {
  pay_owed_logs(doors);
  TRY_SET(unfinished, "", doors.ledger.runs(true));
  for (const auto& run : unfinished) {
    if (is_kept(run) || os::is_locked(Folder(doors.data, run.name).owner_lock())) continue;
    if (const auto settled = settle_patiently(doors, run.name); !settled)
      doors.progress.warn("settle", fmt::format("{} could not be looked after: {}", run.name,
                                                settled.error().what));
  }
  return {};
}

namespace {

/// A kept machine that is gone has nobody who waits for it: its run ends here, in its owner's place. One that is
/// stopped has nobody who notes it.
Status look_after_kept(Doors& doors, cloud::Cloud& cloud, const ledger::Instance& instance) {
  TRY_SET(owner, "", Owner::try_take(Folder(doors.data, instance.run), Role::settle));
  if (!owner) return {};
  TRY_SET(run, "", doors.ledger.run(instance.run));
  if (!is_kept(run)) return {};
  auto kept = instance;
  TRY_SET(seen, "", see(doors, cloud, instance));
  if (seen.standing != Standing::gone) return seen.now ? note_power(doors, *seen.now, kept) : Status();
  TRY("", release_all(doors, run));
  return mark_released(doors, run, run.outcome, run.error);
}

}  // namespace

Status look_at_clouds(Doors& doors) {
  TRY_SET(noted, "", doors.ledger.unreleased());
  std::map<Place, std::unique_ptr<cloud::Cloud>> clouds;
  for (const auto& instance : noted) {
    if (instance.id.empty()) continue;
    auto place = place_of(instance);
    auto& cloud = clouds[place];
    if (!cloud) {
      auto opened = open_cloud(doors, place);
      if (!opened) {
        doors.progress.warn("ps", "cannot ask " + instance.world + ": " + opened.error().what);
        continue;
      }
      cloud = std::move(*opened);
    }
    // A training's owner finds out by itself, and notes it: looking writes nothing of a run that is not over.
    const auto now = look(*cloud, instance);
    if (now) continue;
    const auto& error = now.error();
    const bool tells = error.kind == Kind::denied || error.kind == Kind::not_found ||
                       error.code == stopped_code;
    if (tells) {
      const auto why = error.kind == Kind::denied && !error.why.empty() ? " (" + error.why + ")" : "";
      doors.progress.warn("ps", fmt::format("{}: {}{}", instance.run, error.what, why));
    }
    if (error.kind != Kind::not_found && error.code != stopped_code) continue;
    if (const auto ended = look_after_kept(doors, *cloud, instance); !ended)
      doors.progress.warn("ps", fmt::format("{}: {}", instance.run, ended.error().what));
  }
  return {};
}

}  // namespace ferry::run
