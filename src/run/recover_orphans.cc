// What is done about runs whose owner died, and what `ferry ps` looks at.
#include <algorithm>
#include <map>

#include "base/text.h"
#include "fleet/labels.h"
#include "run/actions.h"
#include "run/bring_home.h"
#include "run/damaged_ledger.h"
#include "run/kept.h"
#include "run/reach.h"
#include "run/resting.h"

namespace ferry::run {

using ledger::Outcome;
using ledger::Phase;

namespace {

constexpr const char* recovery_failed = "settle-failed";
constexpr std::int64_t a_day = 24 * 3'600'000;

/// Tries to recover a run that failed, as its events tell.
struct FailedTries {
  int count = 0;
  std::int64_t last_ms = 0, told_ms = 0;
};

Result<FailedTries> failed_tries(fleet::Context& context, const std::string& run) {
  TRY_SET(events, "", context.ledger.events(run));
  FailedTries tries;
  for (const auto& event : events) {
    if (event.kind != recovery_failed) continue;
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
Status recover_patiently(fleet::Context& context, const std::string& name) {
  TRY_SET(tries, "", failed_tries(context, name));
  TRY_SET(instances, "", context.ledger.instances(name));
  const auto now = context.clock.now_ms();
  const auto pause = next_try_after(tries.count, instances);
  if (now - tries.last_ms < pause.count()) return {};
  auto recovered = recover_orphan(context, name);
  if (recovered) return {};
  const bool costs = tries.count > 0 && pause.count() == 0;
  const bool tell = costs || tries.told_ms == 0 || now - tries.told_ms >= a_day;
  const auto& error = recovered.error();
  TRY("", context.ledger.add_event(name, recovery_failed, {{"what", error.what}, {"told", tell ? 1 : 0}}));
  if (!tell) return {};
  const auto cure = ever_rented(instances) ? "ferry down " + name
                                           : fmt::format(
                                                 "ferry down {0}; no machine of it is known: to give "
                                                 "it up, ferry down --forget {0}",
                                                 name);
  context.progress.warn("settle", fmt::format("{} could not be settled now: {}{}; this is tried again later, "
                                              "or by {}",
                                              name, error.what, error.why.empty() ? "" : " (" + error.why + ")", cure));
  return {};
}

/// The machine if the cloud says that it is stopped; nothing, too, when nobody knows.
std::optional<cloud::Instance> stopped_one(fleet::Context& context, const ledger::Instance& instance) {
  auto place = fleet::location_of(instance);
  const auto cloud = fleet::open_cloud(context, place);
  auto seen = cloud ? see(context, **cloud, instance) : tl::unexpected<Error>(cloud.error());
  return seen && seen->standing == Standing::stopped ? std::move(seen->now) : std::nullopt;
}

/// Whether what is noted as such an event was not noted within a day.
Result<bool> is_due(fleet::Context& context, const std::string& run, std::string_view told) {
  TRY_SET(events, "", context.ledger.events(run));
  const auto last = std::find_if(events.rbegin(), events.rend(), [&](const auto& one) { return one.kind == told; });
  return last == events.rend() || context.clock.now_ms() - last->time_ms >= a_day;
}

/// Nobody can follow a run whose machine is stopped, and what is to become of it is the user's to say. Told once a
/// day; what looks at the cloud goes on telling.
Status note_stopped(fleet::Context& context, ledger::Run run, ledger::Instance instance, const cloud::Instance& now) {
  constexpr const char* told = "stopped-told";
  TRY("", fleet::record_power(context, now, instance));
  if (run.outcome != Outcome::lost) {
    run.error = std::string(fleet::ends_by_stop(run) ? "its machine stopped, as ends: stop has it"
                                                     : "its machine was stopped from outside") +
                (run.train_end_ms > 0 ? ", and its outputs are not home" : ", and the training with it");
    run.outcome = Outcome::lost;
    run.exit_code.reset();
    TRY("", context.ledger.update(run));
  }
  TRY_SET(due, "", is_due(context, run.name, told));
  if (!due) return {};
  TRY("", context.ledger.add_event(run.name, told, Json::object()));
  context.progress.note(fmt::format("{} was left behind while {}: {}; {}", run.name, ledger::name(run.phase),
                                    fleet::stopped_words(instance, now.state), fleet::stopped_advice(run.name)));
  return {};
}

/// Its machine stopped as it was to, and whoever told it so was killed before that was noted.
Status note_rest(fleet::Context& context, ledger::Run run) {
  TRY("", put_to_rest(context, run));
  TRY_SET(instance, "", live_instance(context, run));
  context.progress.note(resting_words(instance));
  return {};
}

/// A run that waits for its next attempt is followed again, by a process that has all that the attempt needs. That it
/// lacks something is told once a day.
Status go_on_waiting(fleet::Context& context, const ledger::Run& run, RunLock owner,
                     const std::vector<std::string>& lacking) {
  constexpr const char* told = "waiting-told";
  if (lacking.empty()) {
    TRY_SET(pid, "", hand_over(context, fleet::RunDir(context.data, run.name), run.name, std::move(owner)));
    context.progress.note(run.name + " waits for its next attempt; going on with it in the background",
                          {{"run", run.name}, {"follower_pid", pid}});
    return {};
  }
  // Whatever was made for it costs nothing while it waits.
  if (run.phase > Phase::planning) TRY("", fleet::release_all(context, run));
  TRY_SET(due, "", is_due(context, run.name, told));
  if (!due) return {};
  TRY("", context.ledger.add_event(run.name, told, Json::object()));
  context.progress.error(lacks(run.name, lacking));
  return {};
}

}  // namespace

Status recover_orphan(fleet::Context& context, const std::string& name) {
  const fleet::RunDir run_dir(context.data, name);
  TRY_SET(owner, "", RunLock::try_take(run_dir, Role::recover));
  if (!owner) return {};
  TRY_SET(run, "", context.ledger.run(name));  // it may have moved on before we held the lock
  if (run.phase == Phase::released || is_kept(run)) return {};
  std::vector<std::string> lacking;
  // What was kept may be damaged: then there is nothing to go on with, and what is rented is given back as usual.
  if (goes_on_later(context, run) && kept_beginning(run, lacking))
    return go_on_waiting(context, run, std::move(*owner), lacking);
  TRY_SET(instances, "", context.ledger.instances(name));
  const auto machine = live_instance(context, run);
  const bool holds_something = run.phase >= Phase::setup && machine;
  // From the store, which may have it all, though nobody here has looked yet.
  const bool may_be_stored = run.phase >= Phase::setup && run.phase < Phase::releasing && !run.store.empty();
  const bool is_awaited = !run.outputs_home && (run.outputs_stored || may_be_stored);
  if (holds_something || is_awaited) {
    const auto now = machine ? stopped_one(context, *machine) : std::nullopt;
    if (now && may_rest(run) && run.outputs_home) return note_rest(context, std::move(run));
    // One that stops when it has stored everything is looked after in the store, once.
    const bool may_have_stored = is_awaited && fleet::ends_by_stop(run) && run.outcome != Outcome::lost;
    if (now && !may_have_stored) return note_stopped(context, std::move(run), *machine, *now);
    TRY_SET(pid, "", hand_over(context, run_dir, run.name, std::move(*owner)));
    context.progress.note(fmt::format("{} was left behind while {}; following it again in the background", run.name,
                                      ledger::name(run.phase)),
                          {{"run", run.name}, {"follower_pid", pid}});
    return {};
  }
  TRY_SET(ended, "", fleet::release_all(context, run));
  const bool rented = ever_rented(instances) || !ended.empty();
  const auto left = "ferry died while " + std::string(ledger::name(run.phase));
  TRY("", mark_released(context, run, rented ? Outcome::lost : Outcome::not_started,
                        rented ? left : left + ": nothing was rented"));
  context.progress.note(fmt::format("{} was left behind while {}; {}", run.name, ledger::name(run.phase),
                                    ended.empty() ? "nothing was rented" : "released " + join(ended, ", ")),
                        {{"run", run.name}, {"terminated", ended}});
  return {};
}

Status recover_orphans(fleet::Context& context) {
  finish_mending(context);
  pay_owed_logs(context);
  TRY_SET(unfinished, "", context.ledger.runs(true));
  for (const auto& run : unfinished) {
    if (is_kept(run) || os::is_locked(fleet::RunDir(context.data, run.name).owner_lock())) continue;
    if (const auto recovered = recover_patiently(context, run.name); !recovered)
      context.progress.warn("settle",
                            fmt::format("{} could not be looked after: {}", run.name, recovered.error().what));
  }
  return {};
}

namespace {

/// A kept machine that is gone has nobody who waits for it: its run ends here, in its owner's place. One that is
/// stopped has nobody who notes it.
Status look_after_kept(fleet::Context& context, cloud::Cloud& cloud, const ledger::Instance& instance) {
  TRY_SET(owner, "", RunLock::try_take(fleet::RunDir(context.data, instance.run), Role::recover));
  if (!owner) return {};
  TRY_SET(run, "", context.ledger.run(instance.run));
  if (!is_kept(run)) return {};
  auto kept = instance;
  TRY_SET(seen, "", see(context, cloud, instance));
  if (seen.standing != Standing::gone) return seen.now ? fleet::record_power(context, *seen.now, kept) : Status();
  TRY("", fleet::release_all(context, run));
  return mark_released(context, run, run.outcome, run.error);
}

}  // namespace

Status look_at_clouds(fleet::Context& context) {
  TRY_SET(noted, "", context.ledger.unreleased());
  std::map<fleet::CloudLocation, std::unique_ptr<cloud::Cloud>> clouds;
  for (const auto& instance : noted) {
    if (instance.id.empty()) continue;
    auto place = fleet::location_of(instance);
    auto& cloud = clouds[place];
    if (!cloud) {
      auto opened = fleet::open_cloud(context, place);
      if (!opened) {
        context.progress.warn("ps", "cannot ask " + instance.provider + ": " + opened.error().what);
        continue;
      }
      cloud = std::move(*opened);
    }
    // A training's owner finds out by itself, and notes it: looking writes nothing of a run that is not over.
    const auto now = fleet::look(*cloud, instance);
    if (now) continue;
    const auto& error = now.error();
    const bool tells = error.kind == Kind::denied || error.kind == Kind::not_found || error.code == fleet::stopped_code;
    if (tells) {
      const auto why = error.kind == Kind::denied && !error.why.empty() ? " (" + error.why + ")" : "";
      context.progress.warn("ps", fmt::format("{}: {}{}", instance.run, error.what, why));
    }
    if (error.kind != Kind::not_found && error.code != fleet::stopped_code) continue;
    if (const auto ended = look_after_kept(context, *cloud, instance); !ended)
      context.progress.warn("ps", fmt::format("{}: {}", instance.run, ended.error().what));
  }
  return {};
}

}  // namespace ferry::run
