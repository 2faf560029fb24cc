#include "run/history.h"

#include <algorithm>

#include "base/text.h"
#include "fleet/labels.h"
#include "ledger/history_json.h"
#include "run/event_callback.h"
#include "run/kept.h"
#include "run/lease.h"
#include "run/reach.h"
#include "run/stored.h"
#include "store/keys.h"
#include "task/task_json.h"

namespace ferry::run {

namespace {

constexpr const char* history_schema = "ferry.run.history/1";
constexpr std::size_t most_history = std::size_t{8} << 20;

tl::unexpected<Error> not_ours(const std::string& run) {
  return fail(Kind::corrupt, "what the store says of the attempts of " + run + " is nothing that ferry wrote");
}

}  // namespace

Status put_history(fleet::Context& context, store::Store& store, const ledger::Run& run) {
  TRY_SET(ledger, "", fleet::ledger_id(context.data));
  TRY_SET(attempts, "", context.ledger.attempts(run.name));
  TRY_SET(nodes, "", context.ledger.nodes(run.name));
  TRY_SET(instances, "", context.ledger.instances(run.name));
  TRY_SET(resources, "", context.ledger.resources(run.name));
  TRY_SET(reserved, "", context.ledger.reservation(run.name));
  auto told = run;
  // What was added to it stands in the reservation here, and there is none elsewhere.
  if (const auto most = ledger::at_most(context.ledger, run)) told.task["at_most_micros"] = most->micros;
  if (reserved && reserved->extended_s > 0)
    told.task["whole_max_duration_s"] =
        int_at(run.task, "whole_max_duration_s", int_at(run.task, "max_duration_s")) + reserved->extended_s;
  auto history =
      ledger::history_json(told, {std::move(attempts), std::move(nodes), std::move(instances), std::move(resources)});
  history["schema"] = history_schema;
  history["ledger"] = ledger;
  TRY("", store.put(store::history_key(run.name), history.dump(1, ' ', false, Json::error_handler_t::replace)));
  return {};
}

Result<std::optional<RunHistory>> read_history(store::Store& store, const std::string& run) {
  const auto there = store.get(store::history_key(run), most_history);
  if (!there && there.error().kind == Kind::not_found) return std::optional<RunHistory>();
  TRY("", there);
  const auto json = parse_json(there->bytes);
  if (!json || !json->is_object() || text_at(*json, "schema") != history_schema) return not_ours(run);
  TRY_SET(told, "", ledger::history_from(*json, run));
  return std::optional<RunHistory>({text_at(*json, "ledger"), std::move(told.run), std::move(told.tried)});
}

void settle_phase(ledger::Run& run, int attempt, const job::Stored& stored) {
  if (stored.manifest.attempt != attempt || run.phase >= ledger::Phase::training) return;
  run.phase = ledger::Phase::training;
  run.task.erase(begins_again);
  if (run.train_start_ms == 0) run.train_start_ms = stored.manifest.made_ms;
}

Status may_go_on_here(const RunHistory& history) {
  const auto& run = history.run;
  const auto not_here = [&](const std::string& why) {
    return fail(Kind::unsupported, run.name + " cannot be gone on with on this computer", why,
                "its next attempt begins where it was begun; what it stored is brought home by: ferry recover --over " +
                    run.name);
  };
  const auto kept = run.task.find(kept_request);
  if (kept == run.task.end() || !kept->is_object()) return not_here("what it was asked to do is not in the store");
  TRY_SET(task, "", task::task_from(kept->value("task", Json())));
  if (!may_recover(task)) return not_here("its task says that it is not tried again");
  for (const auto& one : task.all_candidates()) {
    if (one.infra && one.infra->provider == task::Provider::ssh) return not_here("it ran on a machine of its owner's");
  }
  if (!task.aws.key_file.empty())
    return not_here("its machines are opened by a key file of the computer that began it");
  if (!task.aws.ssh_proxy.empty() && task.aws.ssh_proxy != "ssm")
    return not_here("ssh gets to its machines by a command of the computer that began it");
  if (std::ranges::any_of(task.data, [](const auto& one) { return !one.source.empty() && one.set.empty(); }))
    return not_here("a data set of its had not come to the store");
  if (!store::is_sha256(text_at(run.task.value("code", Json()), "sha256")))
    return not_here("what was sent is not known");
  return {};
}

std::string describe_going_on(const RunHistory& history) {
  const auto& task = history.run.task;
  std::string said =
      fmt::format("{} was tried {} on {}", history.run.name,
                  history.tried.attempts.size() == 1 ? "once" : fmt::format("{} times", history.tried.attempts.size()),
                  history.tried.attempts.empty() ? "" : printable(history.tried.attempts.back().place));
  std::vector<std::string> secrets;
  if (const auto found = task.find("secrets"); found != task.end() && found->is_array()) {
    for (const auto& one : *found) {
      if (one.is_string()) secrets.push_back(printable(one.get<std::string>()));
    }
  }
  said += "; to go on, a machine is rented, which runs:  " + short_line(text_at(task, "run"), 200);
  if (!secrets.empty()) said += "  with the secrets " + join(secrets, ", ");
  const auto most = int_at(task, "at_most_micros");
  said +=
      most > 0 ? fmt::format("; all of it costs at most {}", show(Usd{most})) : "; what it costs at most is not known";
  return said;
}

Result<RunHistory> as_noted_here(fleet::Context& context, const ledger::Run& base, RunHistory history) {
  TRY_SET(ledger, "", fleet::ledger_id(context.data));
  auto run = base;
  run.phase = history.run.phase;
  run.outcome = history.run.outcome;
  run.exit_code = history.run.exit_code;
  run.error = history.run.error;
  run.train_start_ms = history.run.train_start_ms;
  run.train_end_ms = history.run.train_end_ms;
  run.task = std::move(history.run.task);
  run.task["ledger"] = ledger;
  // Commands for the computer that began it, and what its user wanted of its ferry.
  for (const char* key : {callback_command, cancel_asked, waits_until_ms}) run.task.erase(key);
  run.task[kept_request]["task"].erase("event_callback");
  run.task[is_agreed_to] = true;
  history.run = std::move(run);
  return history;
}

Result<bool> catch_up(fleet::Context& context, const ledger::Run& run) {
  if (!is_seen_from_here(context, run)) return false;
  TRY_SET(ledger, "", fleet::ledger_id(context.data));
  TRY_SET(store, "", store_of(context, run)());
  TRY_SET(there, "", read_history(*store, run.name));
  if (!there || there->ledger == ledger || there->ledger.empty()) return false;
  auto now = run;
  now.phase = there->run.phase;
  now.outcome = there->run.outcome;
  now.exit_code = there->run.exit_code;
  now.error = there->run.error;
  now.outputs_home = now.outputs_stored = false;
  now.train_start_ms = there->run.train_start_ms;
  now.train_end_ms = there->run.train_end_ms;
  for (const char* key : {begins_again, was_interrupted, rented_candidate}) {
    now.task.erase(key);
    if (there->run.task.contains(key)) now.task[key] = there->run.task[key];
  }
  const auto newest = static_cast<int>(there->tried.attempts.size());
  now.task["attempt"] = newest;
  TRY_SET(stored, "", job::look_at_stored(*store, run.name, newest, 0));
  if (stored) settle_phase(now, newest, *stored);
  TRY("", context.ledger.take_history(now, there->tried));
  return true;
}

}  // namespace ferry::run
