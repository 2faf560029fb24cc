#include "run/stored.h"

#include "base/text.h"
#include "base/version.h"
#include "run/bring_home.h"
#include "run/ending.h"
#include "run/record.h"

namespace ferry::run {

using ledger::Outcome;

namespace {

constexpr const char* record_schema_in_store = "ferry.run.stored/1";

std::string record_key(const std::string& run) { return store::run_prefix(run) + "record.json"; }

}  // namespace

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
  TRY_SET(attempts, "", context.ledger.attempts(run.name));
  for (auto attempt = attempts.rbegin(); attempt != attempts.rend(); ++attempt) {
    TRY_SET(stored, "", job::look_at_stored(*store, run.name, attempt->n, 0));
    if (stored) return stored;
  }
  return std::optional<job::Stored>();
}

Status put_record(fleet::Context& context, const ledger::Run& run) {
  const Json record = {{"schema", record_schema_in_store}, {"ferry", ferry_version()},    {"run", run.name},
                       {"task_name", run.task_name},       {"infra", run.infra},          {"task", run.task},
                       {"created_ms", run.created_ms},     {"output_dir", run.output_dir}};
  const auto put = [&]() -> Status {
    TRY_SET(store, "", store_of(context, run)());
    const auto key = record_key(run.name), text = record.dump(1, ' ', false, Json::error_handler_t::replace);
    const auto made = store->put(key, text, store::if_absent());
    if (made) return {};
    if (made.error().kind != Kind::conflict) return tl::unexpected<Error>(made.error());
    TRY_SET(there, "", store->get(key));
    if (there.bytes == text) return {};
    return fail(Kind::exists, "another run is called " + run.name + " there", {}, "run it again: it gets another name");
  }();
  if (put) return put;
  auto error = put.error();
  error.advice += std::string(error.advice.empty() ? "" : "; or ") + "go on without a store: --store none";
  return fail("the store " + run.store + " cannot be used", std::move(error));
}

Status adopt_stored(fleet::Context& context, ledger::Run& run, const job::Stored& stored) {
  if (!stored.is_complete()) return fail(Kind::bug, "not all is stored");
  const bool is_open = run.outcome == Outcome::none ? run.train_end_ms == 0 : run.outcome == Outcome::lost;
  if (is_open) {
    const auto ending = ending_of(*stored.end, Seconds(int_at(run.task, "max_duration_s", 24 * 3600)));
    run.outcome = ending.outcome;
    run.exit_code = ending.exit_code;
    run.error = ending.error;
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
    TRY_SET(local, "", job::LocalLog::open(run_dir.log()));
    return job::add_stored_log(*store, stored, local);
  }();
  if (!log) context.progress.warn("fetch", "the log may not be whole here: " + log.error().what);
  write_log_home(context, run);
  return outputs;
}

}  // namespace ferry::run
