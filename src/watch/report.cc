#include "watch/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstring>

#include "base/text.h"
#include "os/env.h"
#include "watch/columns.h"
#include "watch/lines.h"
#include "watch/table.h"

namespace ferry::watch {
namespace {

using ledger::Instance;
using ledger::Rent;

/// The instance that matters now: the newest that is not released, else the newest.
const Instance* current(const std::vector<Instance>& instances) {
  for (auto it = instances.rbegin(); it != instances.rend(); ++it) {
    if (it->state != Rent::released) return &*it;
  }
  return instances.empty() ? nullptr : &instances.back();
}

std::string where_of(const RunView& view) {
  const Instance* it = current(view.instances);
  if (!it) return view.run.infra;
  std::vector<std::string> words;
  for (const std::string& word : {it->type, it->zone.empty() ? it->region : it->zone}) {
    if (!word.empty()) words.push_back(word);
  }
  if (it->provider != "aws" && !it->provider.empty()) words.push_back("(" + it->provider + ")");
  return join(words, " ");
}

/// One word, for JSON.
std::string_view state_of(const RunView& view) {
  const bool is_rented = std::ranges::any_of(view.instances, [](const auto& it) { return it.state != Rent::released; });
  if (view.run.phase == ledger::Phase::released) return is_rented ? "still_rented" : name(view.run.phase);
  if (is_rented && current(view.instances)->stopped_ms > 0) return "stopped";
  if (view.run.keep && view.run.outputs_home && view.run.phase == ledger::Phase::fetching) return "kept";
  // For room, for its next attempt, or for somebody who has its secrets (run/kept.h).
  const auto& task = view.run.task;
  const bool may_wait = int_at(task, "attempt") > 1 || int_at(task, "waits_until_ms") > 0;
  const bool is_looking = view.run.phase == ledger::Phase::planning || view.run.phase == ledger::Phase::launching;
  if (may_wait && is_looking && !is_rented) return "waiting";
  return name(view.run.phase);
}

bool is_stopped(const RunView& view) { return state_of(view) == "stopped"; }

/// A machine of the user's own, which is neither rented nor ended.
bool is_own(const Instance& it) { return it.provider == "ssh"; }

std::string outcome_of(const ledger::Run& run) {
  if (run.outcome == ledger::Outcome::none) return {};
  // Setup is what ran, and all that ran.
  const bool in_setup = run.outcome == ledger::Outcome::failed && run.train_start_ms == 0 && run.task.is_object() &&
                        !trim(text_at(run.task, "setup")).empty();
  std::string text(in_setup ? "setup failed" : words(run.outcome));
  if (run.exit_code && *run.exit_code != 0) text += fmt::format(" (exit {})", *run.exit_code);
  if (run.outputs_stored && !run.outputs_home) text += " · in the store";
  return text;
}

/// A word as it was typed: the quotes that made it safe are left out where they change nothing.
std::string unquoted(const std::string& word) {
  if (word.size() < 3 || !word.starts_with('\'') || !word.ends_with('\'')) return word;
  const auto inner = word.substr(1, word.size() - 2);
  const auto is_plain = [](unsigned char c) { return std::isalnum(c) || c >= 0x80 || std::strchr("-_./=:,+@%", c); };
  return std::ranges::all_of(inner, is_plain) ? inner : word;
}

/// Its first line, as much of it as a column may take.
std::string command_of(const ledger::Run& run) {
  constexpr std::size_t most = 40;
  if (!run.task.is_object()) return {};
  const auto whole = text_at(run.task, "run");
  const auto command = trim(whole);
  auto words = split(trim(command.substr(0, command.find('\n'))), ' ');
  std::ranges::transform(words, words.begin(), unquoted);
  return clipped(printable(join(words, " ")), most);
}

std::string cost_of(const RunView& view, std::int64_t now_ms) {
  if (view.instances.empty()) return {};
  const auto total = total_spent(view.instances, now_ms);
  return total ? show(*total) : "?";
}

Json instance_json(const Instance& it, std::int64_t now_ms) {
  Json json{{"id", it.id},
            {"provider", it.provider},
            {"region", it.region},
            {"zone", it.zone},
            {"type", it.type},
            {"address", it.address},
            {"ssh_port", it.ssh_port},
            {"login_user", it.login_user},
            {"state", name(it.state)},
            {"token", it.token},
            {"market", it.market},
            {"intent", json_time(it.intent_ms)},
            {"launched", json_time(it.launched_ms)},
            {"running_since", json_time(it.running_ms)},
            {"stopped_since", json_time(it.stopped_ms)},
            {"released", json_time(it.released_ms)},
            {"paused_s", static_cast<double>(it.paused_ms) / 1e3}};
  json["hourly_usd"] = json_usd(it.hourly.micros > 0 ? std::optional(it.hourly) : std::nullopt);
  json["spent_usd"] = json_usd(spent(it, now_ms));
  return json;
}

}  // namespace

Json json_time(std::int64_t ms) { return ms == 0 ? Json() : Json(os::iso_time(ms, true)); }

Json json_usd(const std::optional<Usd>& money) {
  return money ? Json(static_cast<double>(money->micros) / 1e6) : Json();
}

std::string state_words(const RunView& view) {
  const auto state = state_of(view);
  return state == "still_rented" ? "still rented" : std::string(state);
}

std::optional<Usd> resting_month(const RunView& view) {
  if (!is_stopped(view)) return std::nullopt;
  const auto* machine = current(view.instances);
  return disk_month(machine->disk, machine->region);
}

std::string runs_table(std::span<const RunView> runs, std::int64_t now_ms, std::size_t width) {
  if (runs.empty()) return "no runs\n";
  enum Column : std::size_t { run, state, where, command, outcome, gpu, loss, price, age, left };
  Table table({"RUN", "STATE", "WHERE", "COMMAND", "OUTCOME", ">GPU", ">LOSS", ">COST", ">AGE", ">LEFT"},
              {command, where, age, loss, gpu, left, state, outcome, price});
  for (const auto& view : runs) {
    std::vector<std::string> cells = {view.run.name,
                                      state_words(view),
                                      where_of(view),
                                      command_of(view.run),
                                      outcome_of(view.run),
                                      view.gpu_percent ? fmt::format("{:.0f} %", *view.gpu_percent) : "",
                                      view.loss ? show_figure(*view.loss) : "",
                                      cost_of(view, now_ms),
                                      show_age(Millis(now_ms - view.run.created_ms)),
                                      is_stopped(view) ? "" : view.left};
    for (auto& cell : cells) cell = printable(cell);
    table.add(std::move(cells));
  }
  return table.text(width);
}

Json runs_json(std::span<const RunView> runs, std::int64_t now_ms) {
  Json all = Json::array();
  for (const auto& view : runs) {
    const auto& run = view.run;
    Json json{{"run", run.name},
              {"task", run.task_name},
              {"infra", run.infra},
              {"phase", name(run.phase)},
              {"state", state_of(view)},
              {"outcome", run.outcome == ledger::Outcome::none ? Json() : Json(name(run.outcome))},
              {"exit_code", run.exit_code ? Json(*run.exit_code) : Json()},
              {"error", run.error},
              {"workdir", run.workdir},
              {"home", run.output_dir},
              {"keep", run.keep},
              {"outputs_home", run.outputs_home},
              {"store", run.store},
              {"outputs_stored", run.outputs_stored},
              {"created", json_time(run.created_ms)},
              {"phase_since", json_time(run.phase_ms)},
              {"train_start", json_time(run.train_start_ms)},
              {"train_end", json_time(run.train_end_ms)},
              {"ended", json_time(run.ended_ms)},
              {"instances", Json::array()}};
    for (const auto& it : view.instances) json["instances"].push_back(instance_json(it, now_ms));
    if (run.task.is_object() && run.task.contains("labels")) json["labels"] = run.task["labels"];
    json["spent_usd"] = json_usd(total_spent(view.instances, now_ms));
    json["resting_usd_month"] = json_usd(resting_month(view));
    if (view.gpu_percent) json["gpu_percent"] = *view.gpu_percent;
    if (view.loss) json["loss"] = *view.loss;
    if (!view.left.empty() && !is_stopped(view)) json["left"] = view.left;
    all.push_back(std::move(json));
  }
  return all;
}

std::optional<Usd> total_spent(std::span<const Instance> instances, std::int64_t now_ms) {
  Usd total;
  for (const auto& it : instances) {
    const auto sum = spent(it, now_ms);
    if (!sum) return std::nullopt;
    total = total + *sum;
  }
  return total;
}

std::string release_text(std::span<const Instance> instances, std::span<const ledger::Resource> resources,
                         std::int64_t now_ms, const std::optional<Usd>& at_most) {
  std::vector<std::string> gone, rented, free;
  for (const auto& it : instances) {
    const std::string shown = it.id.empty() ? "launch " + printable(it.token) : short_id(it.id);
    if (is_own(it)) {
      (it.state == Rent::released ? free : rented).push_back(printable(it.id));
    } else if (it.state != Rent::released) {
      rented.push_back(shown);
    } else if (!it.id.empty()) {
      gone.push_back(shown);
    }
  }
  for (const auto& it : resources) {
    if (!it.released) rented.push_back(printable(it.kind + " " + it.name));
  }
  std::vector<std::string> parts;
  if (!gone.empty()) parts.push_back(join(gone, ", ") + " terminated");
  if (!free.empty()) parts.push_back(join(free, ", ") + " is free again, and runs on");
  const bool only_own = !instances.empty() && std::ranges::all_of(instances, is_own);
  if (!rented.empty()) {
    parts.push_back((only_own ? "still in use: " : "still rented: ") + join(rented, ", "));
  } else if (!only_own) {
    parts.emplace_back("nothing left running");
  }
  if (only_own) return join(parts, " · ");
  if (const auto total = total_spent(instances, now_ms))
    parts.push_back("total " + show(*total) + (at_most ? " of at most " + show_at_most(*at_most) : ""));
  return join(parts, " · ");
}

Json release_json(std::span<const Instance> instances, std::span<const ledger::Resource> resources, std::int64_t now_ms,
                  const std::optional<Usd>& at_most) {
  Json json{{"instances", Json::array()}, {"resources", Json::array()}, {"all_released", true}};
  for (const auto& it : instances) {
    json["instances"].push_back(instance_json(it, now_ms));
    if (it.state != Rent::released) json["all_released"] = false;
  }
  for (const auto& it : resources) {
    json["resources"].push_back({{"kind", it.kind}, {"name", it.name}, {"released", it.released}});
    if (!it.released) json["all_released"] = false;
  }
  json["total_usd"] = json_usd(total_spent(instances, now_ms));
  json["at_most_usd"] = json_usd(at_most);
  return json;
}

std::optional<std::string> model_among(std::span<const std::string> files) {
  static constexpr std::array endings = {".safetensors", ".pt", ".pth", ".ckpt",  ".onnx",  ".gguf",
                                         ".keras",       ".h5", ".ubj", ".model", ".joblib"};
  static constexpr std::array any_kind = {".pkl", ".npz", ".bin"};  // a model only where the name says so
  static constexpr std::array names = {"model", "best",    "weights",    "checkpoint",
                                       "ckpt",  "adapter", "classifier", "final"};
  static constexpr std::array others = {"data",     "train_",    "test_", "val_",  "valid_",
                                        "features", "embedding", "cache", "batch", "samples",
                                        "optim",    "scheduler", "rng",   "token", "vocab"};
  const auto score = [](const std::string& file) {
    const std::string base = lower(file.substr(file.rfind('/') + 1));
    const auto has = [&](std::string_view word) { return base.find(word) != std::string::npos; };
    const auto fits = [&](std::string_view ending) { return base.ends_with(ending); };
    const bool named = std::ranges::any_of(names, has);
    if (!named && std::ranges::any_of(others, has)) return 0;
    if (std::ranges::any_of(endings, fits)) return named ? 3 : 2;
    if (std::ranges::any_of(any_kind, fits) && named) return 2;
    return base.starts_with("model.") ? 1 : 0;
  };
  const std::string* best = nullptr;
  for (const auto& file : files) {
    if (score(file) > (best ? score(*best) : 0)) best = &file;
  }
  return best ? std::optional(*best) : std::nullopt;
}

std::string closing_line(std::string_view run, std::string_view folder, std::span<const std::string> files) {
  std::string home(folder);
  if (!home.empty() && !home.ends_with('/')) home += '/';
  const auto model = model_among(files);
  const auto log = "log: ferry logs " + printable(run);
  if (files.empty()) return log;
  const std::string first = model ? "model: " + home + *model : "outputs: " + home;
  return printable(first) + "      " + log;
}

std::string counted(std::uint64_t number, std::string_view one) {
  return fmt::format("{} {}{}", number, one, number == 1 ? "" : "s");
}

std::string short_id(std::string_view id) {
  if (os::called_by_agent()) return printable(id);
  const auto dash = id.find('-');
  const std::size_t head = dash == std::string_view::npos ? 4 : dash + 5;
  if (id.size() <= head + 5) return printable(id);
  return printable(id.substr(0, head)) + "…" + printable(id.substr(id.size() - 3));
}

std::string show_age(Millis age) {
  const auto s = std::max<std::int64_t>(0, age.count() / 1000);
  if (s < 60) return fmt::format("{} s", s);
  if (s < 3600) return fmt::format("{} min", s / 60);
  if (s < 48 * 3600) return fmt::format("{} h", s / 3600);
  return fmt::format("{} d", s / 86'400);
}

}  // namespace ferry::watch
