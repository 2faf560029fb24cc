#include "task/task.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "task/field_reader.h"
#include "task/fields.h"
#include "task/yaml.h"

namespace ferry::task {
namespace {

using Type = Node::Type;

bool is_letter_or_digit(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/// [a-zA-Z0-9]+([._-]{1,2}[a-zA-Z0-9]+)*
bool is_name(std::string_view text) {
  if (text.empty() || !is_letter_or_digit(text.front()) || !is_letter_or_digit(text.back())) return false;
  int marks = 0;
  for (const char c : text) {
    marks = is_letter_or_digit(c) ? 0 : marks + 1;
    if (marks > 2 || (marks && c != '.' && c != '_' && c != '-')) return false;
  }
  return true;
}

bool is_variable(std::string_view text) {
  const auto fine = [](char c) { return is_letter_or_digit(c) || c == '_'; };
  return !text.empty() && !(text[0] >= '0' && text[0] <= '9') && std::all_of(text.begin(), text.end(), fine);
}

class TaskReader : FieldReader {
 public:
  using FieldReader::FieldReader;

  Status read(const Node& root) {
    for (const auto& entry : root.entries) {
      if (entry.value->type != Type::null) TRY("", read_field(entry));
    }
    return {};
  }

 private:
  Status read_field(const Entry& entry) {
    if (entry.name == "name") return read_name(entry);
    if (entry.name == "workdir") return read_workdir(entry);
    if (entry.name == "num_nodes") return read_nodes(entry);
    if (entry.name == "resources") return ResourcesReader(file_, task_).read(entry);
    if (entry.name == "envs") return read_variables(entry, task_.envs, task_.missing_envs);
    if (entry.name == "secrets") return read_secrets(entry);
    if (entry.name == "setup") return read_script(entry, task_.setup);
    if (entry.name == "run") return read_script(entry, task_.run);
    if (entry.name == "outputs") return read_outputs(entry);
    if (entry.name == "max_duration") return read_duration(entry);
    return {};  // a known field that this version does not act on
  }

  Status read_name(const Entry& entry) {
    TRY_SET(name, "", text_of(entry));
    if (!is_name(name)) {
      return complain_at(entry.value->at, fmt::format("'{}' cannot be a task's name", printable(name)),
                         "names are letters and digits, with '.', '_' or '-' between them",
                         fmt::format("name: {}", name_from(name)));
    }
    task_.name = name;
    return {};
  }

  Status read_workdir(const Entry& entry) {
    if (entry.value->type == Type::map) {
      not_yet(entry, "a git repository as the workdir");
      return {};
    }
    TRY_SET(path, "", text_of(entry));
    if (trim(path).empty()) return complain_at(entry.value->at, "'workdir' is empty", {}, "workdir: .");
    if (path.find('$') != path.npos) {
      return complain_at(entry.value->at, fmt::format("workdir '{}' has a variable in it", printable(path)),
                         "this version does not fill in variables there", "write the folder's name");
    }
    task_.workdir = path;
    return {};
  }

  Status read_nodes(const Entry& entry) {
    TRY_SET(text, "", text_of(entry));
    const auto count = parse_int(text);
    if (!count || *count < 1) {
      return complain_at(entry.value->at,
                         fmt::format("'num_nodes' must be a whole number from 1, not '{}'", printable(text)));
    }
    if (*count > 1) {
      not_yet(entry, "several machines for one task", "this version uses one");
    }
    return {};
  }

  Status read_script(const Entry& entry, std::string& script) {
    if (entry.value->type == Type::list)
      return wrong_type(entry, "text", fmt::format("write '{}: |' and one command a line", entry.name));
    TRY_SET(text, "", text_of(entry));
    script = text;
    return {};
  }

  Status read_duration(const Entry& entry) {
    TRY_SET(text, "", text_of(entry));
    const auto duration = parse_duration(text);
    if (!duration) return complain_in(entry, duration.error());
    task_.max_duration = *duration;
    return {};
  }

  Status read_variables(const Entry& entry, std::map<std::string, std::string>& values,
                        std::vector<std::string>& missing) {
    if (entry.value->type != Type::map) {
      return wrong_type(entry, "a mapping", "write one 'NAME: value' a line below it");
    }
    for (const auto& variable : entry.value->entries) {
      TRY("", check_variable(variable.name, variable.at, entry.name));
      switch (variable.value->type) {
        case Type::null:
          missing.push_back(variable.name);
          break;
        case Type::text:
          values[variable.name] = variable.value->text;
          break;
        default:
          return wrong_type(variable, "text", "put the value in quotes");
      }
    }
    return {};
  }

  Status check_variable(std::string_view name, Place at, std::string_view field) const {
    if (is_variable(name)) return {};
    return complain_at(at, fmt::format("{}: '{}' cannot be a variable's name", field, printable(name)),
                       "names are letters, digits and '_', and do not begin with a digit");
  }

  /// A mapping like envs, or a list of names that someone must supply (`secrets:NAME`).
  Status read_secrets(const Entry& entry) {
    if (entry.value->type != Type::list) return read_variables(entry, task_.secrets, task_.missing_secrets);
    for (const auto& item : entry.value->entries) {
      if (item.value->type != Type::text) {
        return complain_at(item.at, "a list of secrets holds names only", {},
                           "write 'NAME: value' lines instead");
      }
      std::string_view name = item.value->text;
      if (name.starts_with("secrets:")) name.remove_prefix(8);
      TRY("", check_variable(name, item.at, entry.name));
      task_.missing_secrets.emplace_back(name);
    }
    return {};
  }

  Status read_outputs(const Entry& entry) {
    if (entry.value->type == Type::map) {
      not_yet(entry, "estimated sizes of outputs");
      return {};
    }
    if (entry.value->type == Type::text) return add_output(*entry.value);
    for (const auto& item : entry.value->entries) TRY("", add_output(*item.value));
    return {};
  }

  Status add_output(const Node& node) {
    if (node.type != Type::text || trim(node.text).empty()) {
      return complain_at(node.at, "an output must be a path or a pattern", {},
                         "outputs: [outputs/, '*.log']");
    }
    const std::filesystem::path path = node.text;
    if (path.is_absolute() || node.text.starts_with('~') ||
        std::find(path.begin(), path.end(), "..") != path.end()) {
      return complain_at(node.at, fmt::format("output '{}' is outside the workdir", printable(node.text)),
                         "only what the training writes below its working folder comes home",
                         "write it below the folder that 'run' starts in, as in outputs/model.pt");
    }
    task_.outputs.push_back(node.text);
    return {};
  }
};

}  // namespace

Result<Task> parse_task(std::string_view yaml, std::string_view file) try {
  TRY_SET(root, "", read_yaml(yaml, file));
  if (root->type == Type::null) {
    return complain(file, root->at, "the task file is empty", {},
                    "the least it needs is 'run: python train.py'");
  }
  if (root->type != Type::map) {
    return complain(file, root->at,
                    fmt::format("a task file is a mapping of fields, not {}", called(root->type)), {},
                    "write 'name: value' lines, with a space after the colon");
  }
  Task task;
  TRY("", check_fields(file, *root, "task", task.not_yet));
  TRY("", TaskReader(file, task).read(*root));
  return task;
} catch (const std::exception& e) {
  return complain(file, {}, "the task file cannot be read", e.what());
}

Status fill_variables(Task&) { return {}; }

std::string name_from(std::string_view text) {
  constexpr std::size_t longest = 32;
  std::string out;
  for (const char c : lower(text)) {
    if (out.size() == longest) break;
    if (is_letter_or_digit(c)) {
      out += c;
    } else if (!out.empty() && out.back() != '-') {
      out += '-';
    }
  }
  while (out.ends_with('-')) out.pop_back();
  return out.empty() ? "task" : out;
}

}  // namespace ferry::task
