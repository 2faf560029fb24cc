#include "run/kept.h"

#include <algorithm>

#include "base/text.h"
#include "job/mounts.h"
#include "os/env.h"
#include "run/reach.h"
#include "run/record.h"
#include "store/content.h"
#include "store/keys.h"
#include "task/task_json.h"

namespace ferry::run {

namespace {

os::Path sent_dir(const fleet::RunDir& run_dir) { return run_dir.path / "sent"; }
os::Path list_of(const fleet::RunDir& run_dir) { return sent_dir(run_dir) / "list.json"; }
os::Path copy_of(const fleet::RunDir& run_dir, const std::string& sha256) { return sent_dir(run_dir) / hex(sha256); }

/// Bytes that may be no UTF-8: {"base64": …} then.
Json bytes_json(const std::string& bytes) {
  return store::is_utf8(bytes) ? Json(bytes) : Json{{"base64", base64(bytes)}};
}

std::string bytes_at(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end()) return {};
  return found->is_object() ? from_base64(text_at(*found, "base64")).value_or("") : text_at(object, key);
}

Json entry_json(const sync::Entry& entry, const std::string& source) {
  Json json = {{"path", bytes_json(entry.path)}, {"mode", entry.mode}, {"mtime_ns", entry.mtime_ns}};
  json["type"] = entry.type == sync::Type::file ? "file" : entry.type == sync::Type::link ? "link" : "folder";
  if (entry.type == sync::Type::link) json["target"] = bytes_json(entry.target);
  if (entry.type != sync::Type::file) return json;
  json["size"] = entry.size;
  json["sha256"] = hex(entry.sha256);
  if (!source.empty()) json["source"] = bytes_json(source);
  return json;
}

Result<sync::Entry> entry_from(const Json& json) {
  const auto type = json.is_object() ? text_at(json, "type") : "";
  sync::Entry entry{.path = type.empty() ? "" : bytes_at(json, "path")};
  const bool is_file = type == "file";
  if (!store::is_clean_path(entry.path) || (!is_file && type != "link" && type != "folder"))
    return fail(Kind::corrupt, "the list of what was sent cannot be read");
  entry.type = is_file ? sync::Type::file : type == "link" ? sync::Type::link : sync::Type::folder;
  entry.mode = static_cast<std::uint32_t>(int_at(json, "mode")) & 07777;
  entry.mtime_ns = int_at(json, "mtime_ns");
  entry.target = bytes_at(json, "target");
  entry.size = static_cast<std::uint64_t>(int_at(json, "size"));
  if (const auto sha256 = text_at(json, "sha256"); store::is_sha256(sha256)) entry.sha256 = store::raw_sha256(sha256);
  return entry;
}

}  // namespace

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
          {"installed", ready.installed}};
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
  return std::ranges::any_of(task.all_candidates(), [](const task::Resources& one) {
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

Status keep_sent(const fleet::RunDir& run_dir, const os::Path& root, const sync::Tree& tree) {
  if (os::exists(list_of(run_dir))) return {};
  TRY("", os::make_dirs(sent_dir(run_dir), 0700));
  // A disk is not filled for this.
  auto room = std::min(most_kept, os::free_space(run_dir.path) / 4);
  Json list = Json::array();
  for (const auto& entry : tree.entries) {
    const auto source = job::source_of(tree, root, entry.path);
    list.push_back(entry_json(entry, source == root / entry.path ? "" : source.string()));
    if (entry.type != sync::Type::file || entry.size > std::min(most_kept_file, room)) continue;
    std::error_code failed;
    std::filesystem::copy_file(source, copy_of(run_dir, entry.sha256), std::filesystem::copy_options::skip_existing,
                               failed);
    if (!failed) room -= entry.size;
  }
  return os::write_file(list_of(run_dir), dump_json(list), 0600);
}

Result<sync::Tree> sent_again(const fleet::RunDir& run_dir, const os::Path& root) {
  const auto text = os::read_file(list_of(run_dir));
  if (!text) return tl::unexpected<Error>(text.error());
  TRY_SET(list, "read what was sent", parse_json(*text));
  sync::Tree tree;
  for (const auto& one : list) {
    TRY_SET(entry, "", entry_from(one));
    if (entry.type == sync::Type::file) {
      const auto copy = copy_of(run_dir, entry.sha256);
      const auto source = bytes_at(one, "source");
      if (os::exists(copy))
        tree.grafts[entry.path] = copy.string();
      else if (!source.empty())
        tree.grafts[entry.path] = source;
    }
    tree.entries.push_back(std::move(entry));
  }
  auto found = tree;
  TRY("read what was sent", sync::hash_tree(root, found, sent_dir(run_dir) / "hashes"));
  std::map<std::string_view, const sync::Entry*> by_path;
  for (const auto& entry : found.entries) by_path[entry.path] = &entry;
  for (const auto& entry : tree.entries) {
    if (entry.type != sync::Type::file) continue;
    const auto now = by_path.find(entry.path);
    if (now == by_path.end() || now->second->sha256 != entry.sha256)
      return fail(Kind::conflict, "the workdir is not what it was when the run began: " + printable(entry.path));
  }
  tree.files = found.files;
  tree.bytes = found.bytes;
  return tree;
}

void forget_sent(const fleet::RunDir& run_dir) { (void)os::remove_all(sent_dir(run_dir)); }

}  // namespace ferry::run
