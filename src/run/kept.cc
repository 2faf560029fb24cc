#include "run/kept.h"

#include <algorithm>

#include "base/text.h"
#include "os/env.h"
#include "run/reach.h"
#include "run/record.h"
#include "task/task_json.h"

namespace ferry::run {

Json request_to_keep(const RunRequest& request, const job::Preflight& ready) {
  auto task = task::to_json(request.task);
  task["envs"] = envs_to_keep(request.task.envs);
  for (const auto& [name, value] : task["envs"].items()) {
    if (value.is_null()) task["unkept"].push_back(name);
  }
  std::erase_if(task["envs"].get_ref<Json::object_t&>(), [](const auto& one) { return one.second.is_null(); });
  return {{"task", std::move(task)},        {"arguments", request.arguments},
          {"check", request.check},         {"follow", request.follow},
          {"cut_off", request.cut_off},     {"requirements_file", ready.requirements_file},
          {"installers", ready.installers}, {"framework", ready.framework},
          {"installed", ready.installed},   {"needed", ready.needed}};
}

Result<Beginning> kept_beginning(const ledger::Run& run, std::vector<std::string>& lacking) {
  const auto kept = run.task.find(kept_request);
  if (kept == run.task.end() || !kept->is_object())
    return fail(Kind::not_found, "what " + run.name + " was asked to do is not known in full");
  const auto json_task = kept->value("task", Json());
  TRY_SET(task, "", task::task_from(json_task));
  Beginning out;
  out.request.task = std::move(task);
  const auto strings = [](const Json& object, const char* key) {
    std::vector<std::string> texts;
    const auto found = object.find(key);
    if (found == object.end() || !found->is_array()) return texts;
    for (const auto& one : *found) {
      if (one.is_string()) texts.push_back(one.get<std::string>());
    }
    return texts;
  };
  const auto take = [&](const std::string& name, std::string& value) {
    if (auto here = os::env(name.c_str()))
      value = *std::move(here);
    else
      lacking.push_back(name);
  };
  for (auto& [name, value] : out.request.task.secrets) take(name, value);
  for (const auto& name : strings(json_task, "unkept")) take(name, out.request.task.envs[name]);
  out.request.arguments = strings(*kept, "arguments");
  out.request.workdir = run.workdir;
  out.request.results = os::Path(run.output_dir).parent_path();
  out.request.keep = run.keep;
  out.request.check = kept->value("check", Json()) != false;
  out.request.follow = kept->value("follow", Json()) == true;
  out.request.cut_off = text_at(*kept, "cut_off");
  out.ready.requirements_file = text_at(*kept, "requirements_file");
  out.ready.installers = text_at(*kept, "installers");
  out.ready.framework = text_at(*kept, "framework");
  out.ready.installed = strings(*kept, "installed");
  out.ready.needed = strings(*kept, "needed");
  return out;
}

std::map<std::string, std::string> unkept_values(const task::Task& task) {
  auto values = task.secrets;
  const auto envs = envs_to_keep(task.envs);
  for (const auto& [name, kept] : envs.items()) {
    if (kept.is_null()) values[name] = task.envs.at(name);
  }
  return values;
}

Error lacks(const std::string& run, const std::vector<std::string>& lacking) {
  std::vector<std::string> shown;
  for (const auto& name : lacking) shown.push_back("export " + name + "=…");
  return {Kind::conflict, fmt::format("{} waits: its next attempt needs {}", run, join(lacking, ", ")),
          "no secret is written down, and the environment that ferry runs in does not have it",
          join(shown, "; ") + ", then any ferry command, as in  ferry ps", lacks_code};
}

bool may_recover(const task::Task& task) {
  return task.recovers_by_aws || std::ranges::any_of(task.all_candidates(), [](const task::Resources& one) {
           return one.recovery ? one.recovery->is_wanted : one.use_spot;
         });
}

bool goes_on_later(fleet::Context& context, const ledger::Run& run) {
  const bool is_open = run.phase >= ledger::Phase::planning && run.phase < ledger::Phase::setup;
  const bool is_decided = run.task.contains(begins_again) && run.phase < ledger::Phase::releasing;
  if (!run.task.contains(kept_request) || int_at(run.task, cancel_asked) > 0) return false;
  if (is_decided || !is_open) return is_decided;
  const bool waits = run.task.contains(is_agreed_to) && int_at(run.task, waits_until_ms) > context.clock.now_ms();
  return waits || newest_attempt(context, run.name) > 1;
}

}  // namespace ferry::run
