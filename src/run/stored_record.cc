#include "run/stored_record.h"

#include "base/text.h"
#include "base/version.h"
#include "fleet/labels.h"
#include "run/lease.h"
#include "run/reach.h"
#include "run/stored.h"
#include "store/inventory.h"

namespace ferry::run {

using ledger::Outcome;

namespace {

constexpr const char* record_schema_in_store = "ferry.run.stored/1";
constexpr std::size_t most_record = 1 << 20;
constexpr std::int64_t a_year_s = 366 * 24 * 3600;

std::string record_key(const std::string& run) { return store::run_prefix(run) + "record.json"; }

std::string record_text(fleet::Context& context, const ledger::Run& run) {
  const auto ledger = fleet::ledger_id(context.data).value_or("");
  const Json record = {{"schema", record_schema_in_store},
                       {"ferry", ferry_version()},
                       {"run", run.name},
                       {"owner", fleet::owner_name()},
                       {"ledger", ledger},
                       {"task_name", run.task_name},
                       {"infra", run.infra},
                       {"task", run.task},
                       {"created_ms", run.created_ms},
                       {"output_dir", run.output_dir}};
  return record.dump(1, ' ', false, Json::error_handler_t::replace);
}

bool are_strings(const Json& list) {
  return list.is_array() && std::ranges::all_of(list, [](const Json& one) { return one.is_string(); });
}

/// What was meant by the run, of all that the record's task says.
Json meant_by(const Json& task) {
  Json meant = {{"run", ""}, {"setup", ""}, {"outputs", Json::array()}};
  if (!task.is_object()) return meant;
  for (const auto& [key, value] : task.items()) {
    const bool is_text = key == "run" || key == "setup",
               is_list = key == "outputs" || key == "checkpoints" || key == "arguments" || key == "secrets";
    const bool is_said = key == "git" || key == "environment_wish";
    if (is_text ? value.is_string() : is_list ? are_strings(value) : is_said && value.is_object()) meant[key] = value;
    if (key == "envs" && value.is_object() &&
        std::ranges::all_of(value, [](const Json& one) { return one.is_string() || one.is_null(); }))
      meant[key] = value;
  }
  for (const char* key : {"max_duration_s", "estimate_micros", "at_most_micros"}) {
    if (const auto value = int_at(task, key); value > 0) meant[key] = value;
  }
  if (int_at(meant, "max_duration_s") > a_year_s) meant.erase("max_duration_s");
  return meant;
}

Result<StoredRecord> parse_record(fleet::Context& context, const std::string& store, const std::string& name,
                                  const std::string& text) {
  const auto record = parse_json(text);
  if (!record || !record->is_object() || text_at(*record, "schema") != record_schema_in_store ||
      text_at(*record, "run") != name)
    return fail(Kind::corrupt, "the record of " + name + " in " + store + " is none that ferry wrote");
  TRY_SET(ledger, "", fleet::ledger_id(context.data));
  StoredRecord out;
  out.owner = text_at(*record, "owner");
  out.ledger = text_at(*record, "ledger");
  auto& run = out.run;
  run.name = name;
  run.task_name = name.substr(0, name.rfind('-'));
  const auto infra = text_at(*record, "infra");
  run.infra = task::parse_infra(infra) ? infra : "aws";
  run.task = meant_by(record->value("task", Json()));
  run.task["ledger"] = ledger;
  run.store = store;
  const auto here = std::filesystem::current_path();
  run.workdir = here.string();
  run.output_dir = (here / "runs" / name).string();
  run.phase = ledger::Phase::training;
  const auto created = int_at(*record, "created_ms");
  run.created_ms = created > 0 && created <= context.clock.now_ms() ? created : 0;
  return out;
}

}  // namespace

Status put_record(fleet::Context& context, const ledger::Run& run) {
  const auto put = [&]() -> Status {
    TRY_SET(store, "", store_of(context, run)());
    const auto key = record_key(run.name), text = record_text(context, run);
    const auto made = store->put(key, text, store::if_absent());
    if (made) return {};
    if (made.error().kind != Kind::conflict) return tl::unexpected<Error>(made.error());
    TRY_SET(there, "", store->get(key));
    // As it was when the run was added: what came of it since is in the ledger.
    const auto noted = parse_json(there.bytes);
    const auto ledger = fleet::ledger_id(context.data).value_or("");
    const bool is_own = noted && noted->is_object() && text_at(*noted, "ledger") == ledger && !ledger.empty() &&
                        int_at(*noted, "created_ms") == run.created_ms;
    if (is_own) return {};
    return fail(Kind::exists, "another run is called " + run.name + " there", {}, "run it again: it gets another name");
  }();
  if (put) return put;
  auto error = put.error();
  error.advice += std::string(error.advice.empty() ? "" : "; or ") + "go on without a store: --store none";
  return fail("the store " + run.store + " cannot be used", std::move(error));
}

Result<std::optional<StoredRecord>> read_record(fleet::Context& context, store::Store& store, const std::string& run) {
  const auto there = store.get(record_key(run), most_record);
  if (!there && there.error().kind == Kind::not_found) return std::optional<StoredRecord>();
  TRY("", there);
  TRY_SET(record, "", parse_record(context, store.uri(), run, there->bytes));
  return std::optional<StoredRecord>(std::move(record));
}

void add_record(fleet::Context& context, const std::string& name) {
  const auto added = [&]() -> Status {
    TRY_SET(run, "", context.ledger.run(name));
    if (!is_seen_from_here(context, run)) return {};
    TRY_SET(store, "", store_of(context, run, fleet::Hurry::yes)());
    TRY_SET(record, "", read_record(context, *store, name));
    if (!record) return {};
    // Tags, which the machine cannot change, have the last word.
    auto task = record->run.task;
    for (const auto& [key, value] : run.task.items()) {
      const bool says_nothing =
          (value.is_string() && value.get<std::string>().empty()) || (value.is_array() && value.empty());
      if (!says_nothing) task[key] = value;
    }
    run.task = std::move(task);
    return context.ledger.update(run);
  }();
  if (!added)
    context.progress.warn("recover", fmt::format("what was meant by {} is not known: {}", name, added.error().what));
}

Result<std::vector<StoredRecord>> find_records(fleet::Context& context, store::Store& store) {
  TRY_SET(runs, "", context.ledger.runs(false));
  TRY_SET(stored, "", store::stored_runs(store));
  std::vector<StoredRecord> found;
  for (const auto& one : stored) {
    if (std::ranges::any_of(runs, [&](const auto& run) { return run.name == one.name; })) continue;
    auto record = read_record(context, store, one.name);
    if (!record && record.error().kind != Kind::corrupt) return tl::unexpected<Error>(std::move(record).error());
    if (!record)
      context.progress.warn("recover", record.error().what);
    else if (*record)
      found.push_back(std::move(**record));
  }
  return found;
}

Status take_stored(fleet::Context& context, const StoredRecord& record, const TakeOptions& options) {
  auto run = record.run;
  TRY_SET(owner, "", RunLock::try_take(fleet::RunDir(context.data, run.name), Role::recover));
  if (!owner) return fail(Kind::conflict, "another ferry here is at work with " + run.name);
  const auto open = store_of(context, run, fleet::Hurry::yes);
  TRY_SET(there, "", open());
  TRY_SET(objects, "", store::stored_run(*there, run.name));
  TRY_SET(manifests, "", store::newest_manifests(*there, objects));  // the ledger here knows of no attempts
  const int attempt = manifests.empty() ? 1 : std::min(manifests.front().attempt, ledger::most_attempts);
  if (attempt > 1) run.task["attempt"] = attempt;
  TRY_SET(stored, "", job::look_at_stored(*there, run.name, attempt, 0));
  if (!stored) return fail(Kind::not_found, "the store has nothing of " + run.name + " but that it was begun");
  std::optional<Lease> lease;
  if (!stored->is_complete()) {
    if (options.may_live && !options.is_named)
      return fail(Kind::conflict, "its machine may be where nobody could look");
    TRY_SET(id, "", fleet::ledger_id(context.data));
    TRY_SET(store, "", open());
    bool told = false;
    const auto waiting = [&](const LeaseHolder& holder) {
      if (options.is_named && !std::exchange(told, true))
        context.progress.update(fmt::format("waiting for the ferry of {}, which may be gone", holder.who));
      return options.is_named && context.check_signals(true) == fleet::Interrupt::go_on;
    };
    TRY_SET(taken, "",
            Lease::take(store_register(std::move(store), run.name), run.name, {id, fleet::owner_name()}, context.clock,
                        waiting));
    lease = std::move(taken);
  }
  // Killed from here on: whoever looks after orphans next finds a run without a machine whose store may have it.
  const auto taken = [&]() -> Status {
    TRY("", context.ledger.add_run(run));
    if (stored->is_complete()) {
      TRY("", adopt_stored(context, run, *stored));
      return mark_released(context, run, run.outcome, run.error);
    }
    TRY("", job::record_stored(context, run, *stored));
    return mark_released(context, run, Outcome::lost, "its machine is gone, and with it what it had not stored");
  }();
  if (lease) lease->give_back();
  return taken;
}

}  // namespace ferry::run
