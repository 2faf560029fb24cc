#include "run/record.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "base/hash.h"
#include "base/text.h"
#include "base/version.h"
#include "job/outputs.h"
#include "run/reach.h"
#include "watch/report.h"

namespace ferry::run {

using ledger::Outcome;
using watch::json_time;
using watch::json_usd;

namespace {

/// What of a variable's value may be shown is told by its name.
bool may_be_secret(const std::string& variable) {
  const auto name = lower(variable);
  constexpr std::array<std::string_view, 7> words = {"key",        "token",      "secret", "passw",
                                                     "passphrase", "credential", "auth"};
  return std::ranges::any_of(words, [&](auto word) { return name.find(word) != std::string::npos; });
}

Json member(const Json& object, const char* key) { return object.contains(key) ? object[key] : Json(); }

std::optional<Usd> micros_at(const Json& object, const char* key) {
  const auto micros = int_at(object, key);
  return micros > 0 ? std::optional(Usd{micros}) : std::nullopt;
}

/// JSON holds UTF-8 only. A name of other bytes is there twice: to be read, and as it is.
Json described(const ledger::Object& object) {
  Json one = {{"path", object.path}, {"bytes", object.bytes}, {"sha256", object.sha256}};
  if (Json::parse(Json(object.path).dump(-1, ' ', false, Json::error_handler_t::replace)) != object.path) {
    one["path"] = printable(object.path);
    one["path_hex"] = hex(object.path);
  }
  if (object.kind == "sent") one["as_sent"] = true;
  return one;
}

/// The first `most` files, and how many there are.
Json outputs_of(fleet::Context& context, const ledger::Run& run, std::size_t most) {
  auto objects = context.ledger.objects(run.name).value_or(std::vector<ledger::Object>());
  std::erase_if(objects, [](const auto& one) { return one.sha256.empty(); });
  const auto total = objects.size();
  Json files = Json::array();
  std::int64_t bytes = 0;
  for (const auto& one : objects) {
    bytes += one.bytes;
    if (files.size() < most) files.push_back(described(one));
  }
  return {{"home", run.output_dir},       {"at_home", run.outputs_home}, {"store", run.store},
          {"stored", run.outputs_stored}, {"files", std::move(files)},   {"files_total", total},
          {"bytes_total", bytes}};
}

Json cost_of(fleet::Context& context, const ledger::Run& run, const std::vector<ledger::Instance>& instances,
             std::int64_t now_ms) {
  const bool is_billed = std::ranges::any_of(instances, [](const auto& one) { return one.provider == "aws"; });
  return {{"spent_usd", json_usd(watch::total_spent(instances, now_ms))},
          {"estimate_usd", json_usd(micros_at(run.task, "estimate_micros"))},
          {"at_most_usd", json_usd(ledger::at_most(context.ledger, run))},
          {"billed", is_billed}};
}

Json machine_of(const ledger::Instance& one, std::int64_t now_ms) {
  return {{"id", one.id},
          {"provider", one.provider},
          {"type", one.type},
          {"region", one.region},
          {"zone", one.zone},
          {"market", one.market},
          {"state", ledger::name(one.state)},
          {"launched", json_time(one.launched_ms)},
          {"released", json_time(one.released_ms)},
          {"hourly_usd", json_usd(one.hourly.micros > 0 ? std::optional(one.hourly) : std::nullopt)},
          {"spent_usd", json_usd(ledger::spent(one, now_ms))}};
}

/// What was asked for and what there was. An environment that is kept by its content has its key in its path.
Json environment_of(const Json& task) {
  Json told = {{"wished", member(task, "environment_wish")}, {"found", member(task, "environment")}, {"key", Json()}};
  const auto program = text_at(told["found"], "program");
  constexpr std::string_view kept = "/.ferry/envs/";
  if (const auto at = program.find(kept); at != std::string::npos) {
    const auto rest = program.substr(at + kept.size());
    told["key"] = rest.substr(0, rest.find('/'));
  }
  return told;
}

/// Why a run ended as it did, where ferry has a word for it.
std::optional<Error> reason_of(const ledger::Run& run) {
  if (run.error.empty()) return std::nullopt;
  switch (run.outcome) {
    case Outcome::none:
    case Outcome::succeeded:
      return std::nullopt;
    case Outcome::cancelled:
      return Error{Kind::cancelled, run.error, {}, {}, {}};
    case Outcome::failed:
      return Error{Kind::timeout, run.error, {}, {}, {}};  // a limit: what ends by itself needs no word
    case Outcome::lost:
      return Error{Kind::lost, run.error, {}, {}, {}};
    case Outcome::not_started:
      return Error{Kind::conflict, run.error, {}, {}, {}};
  }
  return std::nullopt;
}

Status write_complete(const os::Path& place, const std::string& text) {
  // As train.log: what the machine sent into this folder may hold a link that leads elsewhere.
  const os::Path temp = place.parent_path() / ("." + place.filename().string() + "." + random_name(8));
  TRY("", job::make_home_folder(place.parent_path()));
  const auto written = [&]() -> Status {
    TRY_SET(fd, "", os::open_file(temp, O_WRONLY | O_CREAT | O_EXCL, 0644));
    TRY("", os::write_all(fd.get(), text));
    if (::fsync(fd.get()) < 0) return fail_errno("write " + temp.string());
    if (::rename(temp.c_str(), place.c_str()) < 0) return fail_errno("rename " + temp.string());
    return {};
  }();
  if (!written) ::unlink(temp.c_str());
  return written;
}

}  // namespace

Json envs_to_keep(const std::map<std::string, std::string>& envs) {
  Json kept = Json::object();
  for (const auto& [name, value] : envs) kept[name] = may_be_secret(name) ? Json() : Json(value);
  return kept;
}

Json code_of(const sync::Tree& tree) {
  constexpr std::uint32_t owner_executes = 0100;
  Sha256 all;
  for (const auto& one : tree.entries) {
    const std::string_view type = one.type == sync::Type::folder ? "folder"
                                  : one.type == sync::Type::link ? "link"
                                  : (one.mode & owner_executes)  ? "program"
                                                                 : "file";
    const auto content = one.type == sync::Type::link ? sync::Digest(sha256(one.target)) : one.sha256;
    all.add(fmt::format("{} {}", type, one.path));
    all.add(std::string_view("\0", 1));
    all.add(hex(content) + "\n");
  }
  return {{"sha256", hex(all.finish())}, {"files", tree.files}, {"bytes", tree.bytes}};
}

/// What the run was tried on, each with its machines.
Result<Json> attempts_of(fleet::Context& context, const std::string& run,
                         const std::vector<ledger::Instance>& instances) {
  TRY_SET(attempts, "", context.ledger.attempts(run));
  TRY_SET(nodes, "", context.ledger.nodes(run));
  Json told = Json::array();
  for (const auto& attempt : attempts) {
    Json of_it = Json::array();
    for (const auto& node : nodes) {
      if (node.attempt != attempt.n) continue;
      const auto machine = std::ranges::find(instances, node.token, &ledger::Instance::token);
      of_it.push_back({{"rank", node.rank},
                       {"instance", machine == instances.end() ? "" : machine->id},
                       {"exit_code", node.exit_code ? Json(*node.exit_code) : Json()}});
    }
    told.push_back({{"attempt", attempt.n},
                    {"phase", ledger::name(attempt.phase)},
                    {"outcome", attempt.outcome == Outcome::none ? Json() : Json(ledger::name(attempt.outcome))},
                    {"reason", attempt.reason},
                    {"place", attempt.place},
                    {"resumed_from", attempt.resumed_from},
                    {"started", json_time(attempt.started_ms)},
                    {"ended", json_time(attempt.ended_ms)},
                    {"nodes", std::move(of_it)}});
  }
  return told;
}

Result<Json> record_of(fleet::Context& context, const ledger::Run& run) {
  TRY_SET(instances, "", context.ledger.instances(run.name));
  const auto now = context.clock.now_ms();
  Json machines = Json::array();
  for (const auto& one : instances) machines.push_back(machine_of(one, now));
  TRY_SET(attempts, "", attempts_of(context, run.name, instances));
  const auto& task = run.task;
  return Json{{"schema", record_schema},
              {"ferry_version", ferry_version()},
              {"run", run.name},
              {"task", run.task_name},
              {"infra", run.infra},
              {"command", text_at(task, "run")},
              {"arguments", member(task, "arguments")},
              {"setup", text_at(task, "setup")},
              {"envs", task.contains("envs") ? task["envs"] : Json::object()},
              {"secrets", task.contains("secrets") ? task["secrets"] : Json::array()},
              {"workdir", run.workdir},
              {"code", member(task, "code")},
              {"git", member(task, "git")},
              {"environment", environment_of(task)},
              {"image", member(task, "image")},
              {"machines", machines},
              {"attempts", attempts},
              {"times",
               {{"created", json_time(run.created_ms)},
                {"train_start", json_time(run.train_start_ms)},
                {"train_end", json_time(run.train_end_ms)},
                {"ended", json_time(run.ended_ms)}}},
              {"cost", cost_of(context, run, instances, now)},
              {"outputs", outputs_of(context, run, std::string::npos)},
              {"outcome", run.outcome == Outcome::none ? Json() : Json(name(run.outcome))},
              {"exit_code", run.exit_code ? Json(*run.exit_code) : Json()},
              {"reason", run.error}};
}

void write_record(fleet::Context& context, const ledger::Run& run) {
  if (!os::is_directory(run.output_dir)) return;
  const auto written = [&]() -> Status {
    TRY_SET(record, "", record_of(context, run));
    const auto text = record.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
    return write_complete(job::own_place(context, run, job::record_file), text);
  }();
  if (!written)
    context.progress.warn("release",
                          fmt::format("run.json of {} could not be written: {}", run.name, written.error().what));
}

Json result_of(fleet::Context& context, const std::string& name, int exit_code, const std::optional<Error>& error) {
  constexpr std::size_t most_files = 1000;
  Json told = {
      {"run", Json()},     {"infra", Json()}, {"outcome", ledger::name(Outcome::not_started)}, {"exit_code", exit_code},
      {"outputs", Json()}, {"cost", Json()},  {"error", error ? error_json(*error) : Json()}};
  const auto run = name.empty() ? tl::unexpected(Error{}) : context.ledger.run(name);
  if (!run) return told;
  told["run"] = run->name;
  told["infra"] = run->infra;
  told["outcome"] = run->outcome == Outcome::none ? Json() : Json(ledger::name(run->outcome));
  told["outputs"] = outputs_of(context, *run, most_files);
  if (const auto instances = context.ledger.instances(run->name))
    told["cost"] = cost_of(context, *run, *instances, context.clock.now_ms());
  if (const auto reason = reason_of(*run); reason && !error) told["error"] = error_json(*reason);
  return told;
}

}  // namespace ferry::run
