#include "run/stored.h"

#include "base/text.h"
#include "run/bring_home.h"
#include "run/ending.h"
#include "run/reach.h"
#include "run/record.h"

namespace ferry::run {

using ledger::Outcome;

job::OpenStore store_of(fleet::Context& context, const ledger::Run& run, fleet::Hurry hurry) {
  const auto infra = task::parse_infra(run.infra);
  const bool rehearsing = infra && infra->provider == task::Provider::rehearsal;
  std::string profile;
  for (const auto& one : context.ledger.instances(run.name).value_or(std::vector<ledger::Instance>()))
    profile = one.profile;
  return [&context, uri = run.store, profile, provider = std::string(rehearsing ? "rehearsal" : "aws"), hurry] {
    return fleet::open_store(context, uri, "", profile, provider, hurry);
  };
}

bool is_seen_from_here(const fleet::Context& context, const ledger::Run& run) {
  if (run.store.empty()) return false;
  return context.store || run.store.starts_with("s3://") || os::is_directory(fleet::folder_of(run.store));
}

Result<std::optional<job::Stored>> look_in_store(fleet::Context& context, const ledger::Run& run) {
  if (!is_seen_from_here(context, run)) return std::optional<job::Stored>();
  TRY_SET(store, "", store_of(context, run)());
  for (int attempt = newest_attempt(context, run.name); attempt > 0; --attempt) {
    TRY_SET(stored, "", job::look_at_stored(*store, run.name, attempt, 0));
    if (stored) return stored;
  }
  return std::optional<job::Stored>();
}

Status adopt_stored(fleet::Context& context, ledger::Run& run, const job::Stored& stored) {
  if (!stored.is_complete()) return fail(Kind::bug, "not all is stored");
  const bool is_open = run.outcome == Outcome::none ? run.train_end_ms == 0 : run.outcome == Outcome::lost;
  if (is_open) {
    const auto ending = ending_of(*stored.end, Seconds(int_at(run.task, "max_duration_s", 24 * 3600)));
    run.outcome = ending.outcome;
    run.exit_code = ending.exit_code;
    run.error = ending.error;
    if (stored.end->reason == agent::interrupted) run.task[was_interrupted] = true;
    run.train_end_ms = stored.end->ended_ms > 0 ? stored.end->ended_ms : context.clock.now_ms();
    if (run.train_start_ms == 0) run.train_start_ms = std::min(stored.end->run_started_ms, run.train_end_ms);
  }
  run.outputs_stored = true;
  run.outcome = final_outcome(run, run.outcome);
  if (!run.outputs_home) TRY("", job::record_stored(context, run, stored));
  return context.ledger.update(run);
}

Result<job::Outputs> bring_stored_home(fleet::Context& context, const ledger::Run& run, const job::Stored& stored,
                                       const sync::Options& options) {
  const auto open = store_of(context, run);
  const fleet::RunDir run_dir(context.data, run.name);
  TRY_SET(outputs, "", job::fetch_stored(context, open, run_dir, run, stored, options));
  const auto log = [&]() -> Status {
    TRY_SET(store, "", open());
    TRY_SET(local, "", job::LocalLog::open(run_dir.log(stored.manifest.attempt)));
    return job::add_stored_log(*store, stored, local);
  }();
  if (!log) context.progress.warn("fetch", "the log may not be whole here: " + log.error().what);
  write_log_home(context, run);
  return outputs;
}

}  // namespace ferry::run
