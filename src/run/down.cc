// Giving up a run: its outputs come home first, unless the user says otherwise.
#include "base/text.h"
#include "fleet/held_connection.h"
#include "fleet/own_machine.h"
#include "fleet/stand_in.h"
#include "run/actions.h"
#include "run/bring_home.h"
#include "run/ending.h"
#include "run/resting.h"
#include "run/stored.h"

namespace ferry::run {

using ledger::Outcome;
using ledger::Phase;

namespace {

constexpr const char* released_by_down = "released by ferry down";

enum class Saved {
  home,
  lost,        ///< with the machine, which is gone by the cloud's own word
  never_were,  ///< nothing was ever put on the machine
};

/// What the agent says of the training's end, unless that is noted already: it may have ended, well or not, while
/// nobody followed it. A machine that was stopped may hold more than was known.
void note_job(fleet::Context& context, ledger::Run& run, const agent::JobStatus& job) {
  const bool is_open = run.outcome == Outcome::none ? run.train_end_ms == 0 : run.outcome == Outcome::lost;
  if (!is_open || job.state != agent::JobState::done) return;
  const auto ending = ending_of(job, Seconds(int_at(run.task, "max_duration_s", 24 * 3600)));
  if (ending.outcome == Outcome::lost) return;
  run.outcome = ending.outcome;
  run.exit_code = ending.exit_code;
  run.error = ending.outcome == Outcome::cancelled ? released_by_down : ending.error;
  run.train_end_ms = context.clock.now_ms();
}

/// Outputs home, or there are none. Any other failure keeps the machine: what it holds is not thrown away because
/// of something that may pass.
Result<Saved> save_or_lose(fleet::Context& context, ledger::Run& run) {
  auto saved = bring_home(context, run, true, true);
  if (saved) {
    for (const auto& line : job::tell(saved->outputs, run)) context.progress.warn("down", line);
    run.outputs_home = true;
    if (saved->job) note_job(context, run, *saved->job);
    return Saved::home;
  }
  auto error = std::move(saved).error();
  if (error.code == never_used_code) {
    context.progress.note(fmt::format("{} has no outputs: {}", run.name, error.what));
    return Saved::never_were;
  }
  // A machine that has stored everything ends itself.
  if (const auto stored = look_in_store(context, run); stored && *stored && (*stored)->is_complete()) {
    TRY("", adopt_stored(context, run, **stored));
    TRY_SET(outputs, "", bring_stored_home(context, run, **stored, unless_interrupted(context)));
    for (const auto& line : job::tell(outputs, run)) context.progress.warn("down", line);
    run.outputs_home = true;
    return Saved::home;
  }
  TRY_SET(instance, "", live_instance(context, run));
  auto place = fleet::location_of(instance);
  const auto gone = [&]() -> Result<bool> {
    TRY_SET(cloud, "", fleet::open_cloud(context, place));
    TRY_SET(seen, "", see(context, *cloud, instance));
    return seen.standing == Standing::gone;
  }();
  if (gone && *gone) {
    context.progress.warn("down", fmt::format("the outputs of {} are lost: {} is gone", run.name, instance.id));
    if (const auto stored = look_in_store(context, run); stored && *stored)
      (void)bring_stored_home(context, run, **stored, unless_interrupted(context));
    return Saved::lost;
  }
  error.advice +=
      (error.advice.empty() ? "" : "; ") +
      fmt::format("then again  ferry down {0}; or without its outputs: ferry down {0} --no-fetch", run.name);
  return fail(fmt::format("{} is kept, on {}: its outputs could not be brought home", run.name, instance.id),
              std::move(error));
}

/// For a run that was released once: makes sure of it, nothing more.
Result<std::vector<std::string>> down_again(fleet::Context& context, const ledger::Run& run) {
  TRY_SET(infra, "", task::parse_infra(run.infra));
  if (infra.provider == task::Provider::ssh) TRY("", fleet::clear_own_machine(context, infra.host, {run.name}));
  return fleet::release_all(context, run);
}

std::vector<std::string> ids_of_live(const std::vector<ledger::Instance>& instances) {
  std::vector<std::string> ids;
  for (const auto& one : instances) {
    if (one.state == ledger::Rent::live) ids.push_back(one.id);
  }
  return ids;
}

}  // namespace

namespace {

enum class After { release, rest };

/// The run is over, and its machine stops again.
Status rest_again(fleet::Context& context, ledger::Run run) {
  if (run.outcome == Outcome::none) {
    run.outcome = final_outcome(run, Outcome::cancelled);
    run.error = "stopped by ferry fetch";
  }
  TRY("", context.ledger.update(run));
  return put_to_rest(context, run);
}

Result<std::vector<std::string>> end_run(fleet::Context& context, const std::string& run_name, bool with_outputs,
                                         After after) {
  TRY_SET(seen, "", context.ledger.run(run_name));
  if (seen.phase == Phase::released) return down_again(context, seen);
  TRY_SET(before, "", context.ledger.instances(seen.name));
  TRY_SET(owner, "", take_over(context, seen.name, with_outputs));
  TRY_SET(run, "", context.ledger.run(seen.name));
  // Whoever owned it may have ended it properly when asked.
  if (run.phase == Phase::released) return ids_of_live(before);
  const bool holds_outputs = run.phase >= Phase::setup && !run.outputs_home && live_instance(context, run).has_value();
  std::optional<Saved> saved;
  if (holds_outputs && with_outputs) {
    if (after == After::rest) TRY("", reserve_start(context, run));
    auto done = save_or_lose(context, run);
    // Whatever becomes of the machine, the log that is here is the user's.
    if (!done || *done != Saved::home) write_log_home(context, run);
    if (!done) return tl::unexpected<Error>(std::move(done).error());
    saved = *done;
  } else if (run.phase >= Phase::setup) {
    write_log_home(context, run);
  }
  if (after == After::rest && saved == Saved::home && may_rest(run)) {
    TRY("", rest_again(context, std::move(run)));
    return std::vector<std::string>();
  }
  TRY_SET(ended, "", fleet::release_all(context, run));
  for (const auto& one : before)
    fleet::let_go_of_connection(context, fleet::target_of(fleet::RunDir(context.data, run.name), one));
  if (saved == Saved::lost) {
    TRY("", mark_released(context, run, Outcome::lost, "its machine was gone before its outputs were home"));
  } else if (saved == Saved::never_were) {
    TRY("", mark_released(context, run, Outcome::not_started, "nothing was ever put on its machine"));
  } else {
    TRY("", mark_released(context, run, Outcome::cancelled, released_by_down));
  }
  return ended;
}

}  // namespace

Result<std::vector<std::string>> down(fleet::Context& context, const std::string& run_name, bool with_outputs) {
  return end_run(context, run_name, with_outputs, After::release);
}

Result<std::vector<std::string>> fetch_stopped(fleet::Context& context, const std::string& run_name) {
  return end_run(context, run_name, true, After::rest);
}

Result<std::vector<std::string>> forget(fleet::Context& context, const std::string& run_name) {
  TRY_SET(seen, "", context.ledger.run(run_name));
  TRY_SET(owner, "", RunLock::try_take(fleet::RunDir(context.data, seen.name), Role::recover));
  if (!owner)
    return fail(Kind::conflict, "a ferry is at work on " + seen.name, {}, "end it: ferry cancel " + seen.name);
  TRY_SET(run, "", context.ledger.run(seen.name));
  TRY_SET(instances, "", context.ledger.instances(run.name));
  TRY_SET(resources, "", context.ledger.resources(run.name));
  std::vector<std::string> left;
  for (const auto& one : instances) {
    if (!one.id.empty())
      return fail(Kind::conflict, fmt::format("{} is not forgotten: {} was rented for it", run.name, one.id), {},
                  "release it: ferry down " + run.name);
    if (one.state != ledger::Rent::released)
      left.push_back(
          fmt::format("a launch in {} was never answered; if it became a machine, that ends itself. "
                      "Its client token: {}",
                      one.region, one.token));
  }
  for (auto& one : instances) {
    one.state = ledger::Rent::released;
    TRY("", context.ledger.record_instance(one));
  }
  for (auto& one : resources) {
    if (one.released) continue;
    auto kind = one.kind;
    std::ranges::replace(kind, '-', ' ');
    left.push_back(
        fmt::format("the {} {} in {} may exist, and {}", kind, one.name, one.region,
                    one.kind == fleet::group_kind ? "start a machine, until the run's time is over" : "costs nothing"));
    one.released = true;
    TRY("", context.ledger.record_resource(one));
  }
  if (run.phase != Phase::released)
    TRY("", mark_released(context, run, Outcome::not_started, "given up by ferry down --forget"));
  return left;
}

}  // namespace ferry::run
