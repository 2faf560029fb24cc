#include "task/other_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "base/text.h"
#include "task/fields.h"

namespace ferry::task {
namespace {

using Type = Node::Type;

const Node* at(const Node* map, std::string_view name) {
  const auto* entry = map && map->type == Type::map ? map->find(name) : nullptr;
  return entry ? entry->value.get() : nullptr;
}
bool has(const Node& map, std::initializer_list<std::string_view> names) {
  return std::ranges::all_of(names, [&](std::string_view name) { return map.find(name) != nullptr; });
}
bool has_any(const Node& map, std::initializer_list<std::string_view> names) {
  return std::ranges::any_of(names, [&](std::string_view name) { return map.find(name) != nullptr; });
}
std::string text_at(const Node* map, std::string_view name) {
  const auto* node = at(map, name);
  return node && node->type == Type::text ? std::string(trim(node->text)) : std::string();
}

/// A command as people write it: one text, or a list of words. Empty where there is none, or a long one.
std::string command_of(const Node* node) {
  std::vector<std::string> words;
  if (!node) return {};
  if (node->type == Type::text) return printable(trim(node->text));
  for (const auto& item : node->entries) {
    if (item.value->type != Type::text) return {};
    words.push_back(item.value->text);
  }
  return as_typed(words);
}

/// `ferry run [--gpus GPUS] [--image docker:IMAGE] -- COMMAND`
std::string run_line(const std::string& gpus, const std::string& image, std::string command) {
  constexpr std::size_t most = 200;
  if (command.empty() || command.size() > most || command.find('\n') != command.npos) command = "COMMAND";
  std::string line = "ferry run";
  if (!gpus.empty()) line += " --gpus " + as_typed(gpus);
  if (!image.empty()) line += " --image docker:" + as_typed(image);
  return line + " -- " + command;
}

/// dstack's `gpu: A100:80GB:2`, `24GB`, `{name: H100, count: 8}` as --gpus takes it.
std::string gpus_of(const Node* gpu) {
  std::string name, memory, count;
  if (gpu && gpu->type == Type::map) {
    name = text_at(gpu, "name"), memory = text_at(gpu, "memory"), count = text_at(gpu, "count");
  } else if (gpu && gpu->type == Type::text) {
    for (const auto& part : split(trim(gpu->text), ':')) {
      if (lower(part).find("gb") != part.npos) {
        memory = part;
      } else if (parse_int(part)) {
        count = part;
      } else {
        name = part;
      }
    }
  }
  const bool at_least = memory.find("..") != memory.npos || name.empty();
  memory = memory.substr(0, memory.find(".."));
  name = name.substr(0, name.find(','));
  count = count.substr(0, count.find(".."));
  if (name.empty() && memory.empty()) return {};
  if (name.empty()) name = memory + (at_least ? "+" : "");
  return count.empty() || count == "1" ? name : name + ":" + count;
}

std::string dstack_line(const Node& root) {
  std::string commands;
  if (const auto* list = at(&root, "commands"); list && list->type == Type::list) {
    for (const auto& item : list->entries)
      if (item.value->type == Type::text)
        commands += (commands.empty() ? "" : " && ") + std::string(trim(item.value->text));
  }
  return run_line(gpus_of(at(at(&root, "resources"), "gpu")), text_at(&root, "image"),
                  commands.empty() ? "" : printable(shell_quoted(commands)));
}

std::string compose_line(const Node& services) {
  for (const auto& service : services.entries) {
    if (const auto image = text_at(service.value.get(), "image"); !image.empty())
      return run_line({}, image, command_of(at(service.value.get(), "command")));
  }
  return "ferry run -- COMMAND   (with  environment: {kind: docker, file: Dockerfile}  in a task file)";
}

std::string kubernetes_line(const Node& root) {
  const auto* spec = at(&root, "spec");
  const auto* pod = at(at(spec, "template"), "spec");
  const auto* containers = at(pod ? pod : spec, "containers");
  if (!containers || containers->entries.empty()) return run_line({}, "IMAGE", {});
  const auto* first = containers->entries.front().value.get();
  auto command = command_of(at(first, "command"));
  if (const auto more = command_of(at(first, "args")); !more.empty()) command += (command.empty() ? "" : " ") + more;
  const auto image = text_at(first, "image");
  const auto count = text_at(at(at(first, "resources"), "limits"), "nvidia.com/gpu");
  return run_line(count.empty()  ? ""
                  : count == "1" ? "A10G"
                                 : "A10G:" + count,
                  image.empty() ? "IMAGE" : image, command);
}

bool is_conda(const Node& root) {
  const auto* candidates = at(&root, "dependencies");
  return candidates && candidates->type == Type::list && !root.find("run");
}

bool is_torchtune(const Node& root) {
  return std::ranges::any_of(root.entries, [](const Entry& entry) { return at(entry.value.get(), "_component_"); });
}

bool is_dstack(const Node& root) {
  const auto type = text_at(&root, "type");
  return type == "task" || type == "dev-environment" || type == "service" || type == "fleet" || type == "volume" ||
         type == "gateway";
}

bool is_compose(const Node& root) {
  const auto* services = at(&root, "services");
  return services && services->type == Type::map && std::ranges::any_of(services->entries, [](const Entry& one) {
           return at(one.value.get(), "image") || at(one.value.get(), "build");
         });
}

/// The first {{…}} or {%…%} of a line, but not in a comment; `${{` is GitHub's, and a blank, too.
struct Mark {
  std::size_t from, size;
};
std::optional<Mark> mark_in(std::string_view line) {
  constexpr std::size_t most = 4096;  // of a line
  line = line.substr(0, most);
  if (trim(line).starts_with('#')) return std::nullopt;
  for (const auto& [open, close] : {std::pair("{{", "}}"), std::pair("{%", "%}")}) {
    const auto from = line.find(open);
    const auto to = from == line.npos ? from : line.find(close, from);
    if (to != line.npos) return Mark{from, to + 2 - from};
  }
  return std::nullopt;
}

/// The complaint about the blank of each line that has one, by the line's number.
std::map<std::int64_t, Error> blanks_in(std::string_view text, std::string_view file, std::size_t most) {
  std::map<std::int64_t, Error> out;
  int number = 0;
  for (const auto& line : split(text, '\n')) {
    ++number;
    const auto mark = mark_in(line);
    if (!mark) continue;
    out[number] =
        complain(file, {number, static_cast<int>(mark->from) + 1},
                 fmt::format("this is a template: {} is a blank",
                             short_line(std::string_view(line).substr(mark->from, mark->size), 60)),
                 {}, "fill it in first, with the tool that it was written for, and give ferry what comes of it")
            .value();
    if (out.size() == most) break;
  }
  return out;
}

}  // namespace

std::optional<Error> other_tools_file(const Node& root, std::string_view file) {
  const auto name = as_typed(file);
  const auto is = [&](std::string_view what, std::string advice) -> Error {
    return complain(file, root.at, fmt::format("this is {}, not a task", what), {}, std::move(advice)).value();
  };
  const auto command = [&](std::string_view line) { return fmt::format("ferry run -- {} {}", line, name); };
  if (has(root, {"apiVersion", "kind"})) return is("a manifest of Kubernetes", kubernetes_line(root));
  if (is_compose(root)) return is("a docker compose file", compose_line(*at(&root, "services")));
  if (is_dstack(root)) return is("a dstack configuration", dstack_line(root));
  if (is_conda(root))
    return is("a conda environment file",
              "keep it beside the code as environment.yml: it is installed before  ferry run -- python train.py");
  if (root.find("base_model") &&
      has_any(root, {"datasets", "sequence_len", "micro_batch_size", "adapter", "pretraining_dataset"}))
    return is("an axolotl configuration", command("axolotl train"));
  if (is_torchtune(root)) return is("a torchtune configuration", "ferry run -- tune run RECIPE --config " + name);
  if (at(at(&root, "model"), "model_name") && !root.find("run")) {
    const auto* tool = root.find("tasks")      ? "oumi evaluate -c"
                       : root.find("tuning")   ? "oumi tune -c"
                       : root.find("training") ? "oumi train -c"
                                               : "oumi infer -c";
    return is("an oumi configuration", command(tool));
  }
  if (root.find("model_name_or_path") && has_any(root, {"stage", "finetuning_type", "dataset"}))
    return is("a LLaMA-Factory configuration", command("llamafactory-cli train"));
  if (has(root, {"compute_environment", "distributed_type"}))
    return is("an accelerate configuration",
              fmt::format("ferry run -- accelerate launch --config_file {} train.py", name));
  if (has(root, {"train", "val", "names"})) return is("a data set of YOLO's", "ferry run -- yolo train data=" + name);
  if (root.find("jobs") && has_any(root, {"on", "true"}) && !root.find("run"))
    return is("a workflow of GitHub's", "ferry run -- COMMAND, with what its steps run");
  return std::nullopt;
}

bool is_blank(std::string_view value) {
  value = trim(value);
  const auto mark = mark_in(value);
  return mark && mark->from == 0 && mark->size == value.size();
}

std::optional<Error> other_kind_of_file(std::string_view text, std::string_view file) {
  const auto name = as_typed(file);
  const auto is = [&](std::string_view what, std::string advice) -> Error {
    return complain(file, {1, 1}, fmt::format("this is {}, not a task", what), "a task file is YAML: name: value lines",
                    std::move(advice))
        .value();
  };
  constexpr std::size_t enough = 4096;
  std::string first;
  for (const auto& line : split(text.substr(0, enough), '\n')) {
    if (trim(line).empty() || (trim(line).starts_with('#') && !line.starts_with("#!"))) continue;
    first = trim(line);
    break;
  }
  const auto own_name = file.substr(file.rfind('/') + 1);  // npos + 1 is 0
  if (first.starts_with("#!")) return is("a script", "ferry run -- bash " + name);
  if (first.starts_with("FROM ") || first.starts_with("ARG "))
    return is("a Dockerfile",
              "ferry run --image docker:IMAGE -- COMMAND   (build and push the image first; or packages: "
              "--setup 'pip install …')");
  if (own_name.starts_with("requirements") && own_name.ends_with(".txt"))
    return is("a list of packages", "keep it beside the code: it is installed before  ferry run -- python train.py");
  if (own_name == "Makefile" || own_name.ends_with(".mk")) return is("a Makefile", "ferry run -- make TARGET");
  if (first.starts_with('[') && first.ends_with(']') && own_name.ends_with(".toml"))
    return is("TOML", "ferry run -- python train.py   (pyproject.toml beside the code is installed by itself)");
  return std::nullopt;
}

std::optional<Error> unfilled_template(std::string_view text, std::string_view file) {
  auto blanks = blanks_in(text, file, 1);
  return blanks.empty() ? std::nullopt : std::optional(std::move(blanks.begin()->second));
}

void explain_blanks(std::vector<Error>& found, std::string_view text, std::string_view file) {
  if (found.empty()) return;
  auto blanks = blanks_in(text, file, 1000);
  if (blanks.empty()) return;
  std::vector<Error> out;
  std::int64_t last = 0;
  for (auto& error : found) {
    const auto line = line_of(error, file);
    const auto blank = blanks.find(line);
    if (blank == blanks.end()) {
      out.push_back(std::move(error));
    } else if (std::exchange(last, line) != line) {
      out.push_back(std::move(blank->second));
    }
  }
  found = std::move(out);
}

}  // namespace ferry::task
