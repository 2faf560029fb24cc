#include "run/stored_record.h"

#include "base/text.h"
#include "base/version.h"
#include "fleet/labels.h"
#include "run/history.h"
#include "run/kept.h"
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
    const auto key = store::record_key(run.name), text = record_text(context, run);
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
  const auto there = store.get(store::record_key(run), most_record);
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

namespace {

/// Of a run that is not at its end. One that another computer's ferry holds is waited for where it `is_named`.
Result<Lease> take_lease_of(fleet::Context& context, const job::OpenStore& open, const std::string& run,
                            bool is_named) {
  TRY_SET(id, "", fleet::ledger_id(context.data));
  TRY_SET(store, "", open());
  bool told = false;
  const auto waiting = [&](const LeaseHolder& holder) {
    if (is_named && !std::exchange(told, true))
      context.progress.update(fmt::format("waiting for the ferry of {}, which may be gone", holder.who));
    return is_named && context.check_signals(true) == fleet::Interrupt::go_on;
  };
  return Lease::take(store_register(std::move(store), run), run, {id, fleet::owner_name()}, context.clock, waiting);
}

/// What was sent is in the run's folder then, as if this computer had sent it.
Status bring_sent(fleet::Context& context, store::Store& store, const std::string& run) {
  const fleet::RunDir run_dir(context.data, run);
  TRY("", os::make_dirs(run_dir.path, 0700));
  const auto pack = run_dir.path / "sent.pack";
  const auto brought = [&]() -> Status {
    TRY("bring what was sent", store.get_file(store::sent_key(run), pack));
    return unpack_sent(run_dir, pack);
  }();
  std::error_code ignored;
  std::filesystem::remove(pack, ignored);
  return brought;
}

/// What the attempt printed, as far as it is stored: it is the run's log here, too.
void bring_log(fleet::Context& context, store::Store& store, const job::Stored& stored) {
  const auto brought = [&]() -> Status {
    TRY_SET(log, "",
            job::LocalLog::open(fleet::RunDir(context.data, stored.manifest.run).log(stored.manifest.attempt)));
    return job::add_stored_log(store, stored, log);
  }();
  if (!brought) context.progress.warn("recover", "the log may not be whole here: " + brought.error().what);
}

/// The run as this ledger is to go on with it; nothing: it cannot, which is told, or it need not.
Result<std::optional<RunHistory>> gone_on_with(fleet::Context& context, store::Store& store, const ledger::Run& run,
                                               const TakeOptions& options) {
  std::optional<RunHistory> none;
  if (!options.may_go_on) return none;
  TRY_SET(history, "", read_history(store, run.name));
  if (!history) return none;
  auto can = may_go_on_here(*history);
  if (can && !store.look(store::sent_key(run.name)))
    can = fail(Kind::not_found, run.name + " cannot be gone on with on this computer",
               "what was sent is not in the store");
  if (!can) {
    context.progress.warn("recover", can.error().what + ": " + can.error().why);
    return none;
  }
  if (options.may_live) return fail(Kind::conflict, "its machine may be where nobody could look");
  TRY_SET(agreed, "", options.may_go_on(describe_going_on(*history)));
  if (!agreed) return fail(Kind::cancelled, run.name + " is left as it is");
  TRY("", bring_sent(context, store, run.name));
  TRY_SET(here, "", as_noted_here(context, run, *std::move(history)));
  return std::optional<RunHistory>(std::move(here));
}

}  // namespace

Result<bool> take_stored(fleet::Context& context, const StoredRecord& record, const TakeOptions& options) {
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
  const bool is_whole = stored->is_complete(), is_over = is_whole && stored->end->reason != agent::interrupted;
  std::optional<Lease> lease;
  std::optional<RunHistory> goes_on;
  if (!is_over) {
    if (!is_whole && options.may_live && !options.is_named)
      return fail(Kind::conflict, "its machine may be where nobody could look");
    TRY_SET(taken, "", take_lease_of(context, open, run.name, options.is_named));
    lease = std::move(taken);
    auto wanted = gone_on_with(context, *there, run, options);
    if (!wanted) lease->give_back();
    TRY("", wanted);
    goes_on = std::move(*wanted);
  }
  // Killed from here on: whoever looks after orphans next finds a run without a machine whose store may have it, or
  // that waits for its next attempt.
  const auto taken = [&]() -> Status {
    if (goes_on) {
      settle_phase(goes_on->run, static_cast<int>(goes_on->tried.attempts.size()), *stored);
      TRY("", context.ledger.take_history(goes_on->run, goes_on->tried));
      TRY("", put_history(context, *there, goes_on->run));  // from now on it is this ledger's
      bring_log(context, *there, *stored);
      return job::record_stored(context, goes_on->run, *stored);
    }
    TRY("", context.ledger.add_run(run));
    if (is_whole) {
      TRY("", adopt_stored(context, run, *stored));
      return mark_released(context, run, run.outcome, run.error);
    }
    TRY("", job::record_stored(context, run, *stored));
    return mark_released(context, run, Outcome::lost, "its machine is gone, and with it what it had not stored");
  }();
  if (lease && !goes_on) lease->give_back();  // otherwise it is this ledger's, and so the follower's
  TRY("", taken);
  return goes_on.has_value();
}

}  // namespace ferry::run
