#include "cli/loose.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"

namespace ferry::cli {

namespace {

constexpr std::string_view programs[] = {
    "python", "python3", "torchrun", "accelerate", "deepspeed",  "bash",    "sh",   "uv",   "Rscript",
    "julia",  "make",    "node",     "jupyter",    "papermill",  "axolotl", "oumi", "tune", "llamafactory-cli",
    "yolo",   "mpirun",  "env",      "time",       "nvidia-smi", "echo",    "ls",   "pip",  "poetry"};

/// By the file's first line, as the kernel goes by it; a task file or anything else has none.
std::string_view interpreter_by_line(const std::string& file) {
  constexpr std::size_t enough = 128;
  const auto fd = os::open_file(file, O_RDONLY | O_NONBLOCK);
  const auto head = fd ? os::read_some(fd->get(), enough) : Result<std::string>("");
  if (!head || !head->starts_with("#!")) return {};
  const auto line = head->substr(0, head->find('\n'));
  if (line.find("python") != line.npos) return "python3";
  return line.ends_with("sh") || line.find("sh ") != line.npos ? "bash" : "";
}

std::string_view interpreter_of(const std::string& file) {
  const auto ending = os::Path(file).extension();
  if (ending == ".py") return "python3";
  if (ending == ".sh") return "bash";
  if (ending == ".R" || ending == ".r") return "Rscript";
  if (ending == ".jl") return "julia";
  // Nothing is read from a pipe: <(envsubst <task.yaml) and /dev/stdin are task files, and to be read once.
  std::error_code none;
  return std::filesystem::is_regular_file(file, none) ? interpreter_by_line(file) : std::string_view();
}

bool is_notebook(const std::string& file) { return os::Path(file).extension() == ".ipynb"; }

bool is_loose(const std::string& word) {
  return (!interpreter_of(word).empty() || is_notebook(word)) && os::exists(word) && !os::is_directory(word);
}

bool is_program(const std::string& word) {
  if (word.starts_with("python3.")) return true;
  const auto ending = os::Path(word).extension();
  const bool is_own = word.starts_with("./") && os::exists(word) && !os::is_directory(word) && ending != ".yaml" &&
                      ending != ".yml" && ending != ".json";
  return is_own || (std::ranges::find(programs, word) != std::end(programs) && !os::exists(word));
}

/// 'python train.py' in quotes: one word that is a whole line.
bool is_line(const std::string& word) {
  const auto blank = word.find(' ');
  return blank != word.npos && is_program(word.substr(0, blank)) && !os::exists(word);
}

}  // namespace

bool begins_training(const std::string& word) { return is_loose(word) || is_program(word) || is_line(word); }

std::optional<bool> own_option(const CLI::App& app, const CLI::App& command, const std::string& word) {
  if (!word.starts_with('-') || word == "-") return std::nullopt;
  const auto equals = word.find('=');
  const auto name = word.substr(0, equals);
  for (const auto* one : {&command, &app}) {
    if (const auto* option = one->get_option_no_throw(name))
      return option->get_items_expected_max() > 0 && equals == word.npos;
  }
  return std::nullopt;
}

std::optional<std::string> command_for(const std::string& file) {
  const auto word = shell_quoted(file);
  if (const auto program = interpreter_of(file); !program.empty()) return fmt::format("{} {}", program, word);
  if (!is_notebook(file)) return std::nullopt;
  const auto name = shell_quoted(os::Path(file).filename().string());
  // papermill tells how it goes, and writes what came of each cell, also of the last one before an error.
  return fmt::format(
      "mkdir -p outputs\n"
      "if command -v papermill >/dev/null; then\n"
      "  exec papermill -k python3 --log-output {0} outputs/{1}\n"
      "fi\n"
      "python3 -c 'import nbconvert, ipykernel' 2>/dev/null || python3 -m pip install -q nbconvert ipykernel || exit\n"
      "exec python3 -m nbconvert --to notebook --execute --ExecutePreprocessor.kernel_name=python3 --output-dir "
      "outputs "
      "{0}\n",
      word, name);
}

std::optional<std::string> lone_script(const os::Path& folder) {
  for (const auto* usual : {"train.py", "main.py"})
    if (os::exists(folder / usual)) return usual;
  std::vector<std::string> found;
  std::error_code failed;
  for (const auto& entry : std::filesystem::directory_iterator(folder, failed)) {
    const auto name = entry.path().filename().string();
    const bool fits = entry.path().extension() == ".py" || is_notebook(name);
    if (fits && entry.is_regular_file(failed) && !name.starts_with('.') && name != "setup.py" && name != "__init__.py")
      found.push_back(name);
  }
  return found.size() == 1 ? std::optional(found.front()) : std::nullopt;
}

std::optional<std::string> put_dashes(const CLI::App& app, const CLI::App& command, std::vector<std::string>& words) {
  std::size_t at = 0;
  while (at < words.size() && words[at] != "--") {
    const auto takes_value = own_option(app, command, words[at]);
    if (!takes_value) break;
    at += *takes_value ? 2 : 1;
  }
  const auto dashes = std::ranges::find(words, "--");
  const auto line = [&] { return "ferry " + command.get_name() + " " + as_typed(words); };
  const auto place = [&] { return words.begin() + static_cast<std::ptrdiff_t>(at); };
  if (at + 1 < words.size() && words[at] == "-m" && dashes == words.end()) {
    words.insert(place(), {"--", "python3"});
    return "a module is run:  " + line();
  }
  if (at >= words.size() || words[at].starts_with('-')) return std::nullopt;
  if (!is_loose(words[at])) {
    if (!begins_training(words[at]) || dashes != words.end()) return std::nullopt;
    words.insert(place(), "--");
    return "a command stands behind --:  " + line();
  }
  std::vector<std::string> own(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(at)), arguments;
  bool has_workdir = false;
  for (auto i = at + 1; i < words.size() && words[i] != "--"; ++i) {
    const auto takes_value = own_option(app, command, words[i]);
    (takes_value ? own : arguments).push_back(words[i]);
    if (takes_value && *takes_value && i + 1 < words.size()) own.push_back(words[++i]);
  }
  for (const auto& word : own) has_workdir = has_workdir || word == "-w" || word.starts_with("--workdir");
  if (dashes != words.end()) arguments.insert(arguments.end(), dashes + 1, words.end());
  // What lies elsewhere has its own folder for a workdir.
  auto file = os::Path(words[at]).lexically_normal();
  if (!has_workdir && (file.is_absolute() || *file.begin() == "..")) {
    own.insert(own.end(), {"--workdir", file.parent_path().string()});
    file = file.filename();
  }
  words = std::move(own);
  words.emplace_back("--");
  if (is_notebook(file.string())) {
    words.push_back(*command_for(file.string()));
    return fmt::format("{} is executed by papermill or nbconvert, and comes home as outputs/{}{}",
                       printable(file.string()), printable(file.filename().string()),
                       arguments.empty() ? "" : "; left out, for a notebook takes none: " + as_typed(arguments));
  }
  words.insert(words.end(), {std::string(interpreter_of(file.string())), file.string()});
  words.insert(words.end(), arguments.begin(), arguments.end());
  return "a script is run:  " + line();
}

std::optional<std::string> put_dashes_behind_run(const CLI::App& app, const CLI::App& ssh,
                                                 std::vector<std::string>& words) {
  std::size_t at = 0;
  while (at < words.size() && words[at].starts_with('-') && words[at] != "--")
    at += own_option(app, ssh, words[at]).value_or(false) ? 2 : 1;
  if (at + 1 >= words.size() || words[at] == "--" || words[at + 1].starts_with('-')) return std::nullopt;
  if (std::ranges::find(words, "--") != words.end()) return std::nullopt;
  words.insert(words.begin() + static_cast<std::ptrdiff_t>(at) + 1, "--");
  return "a command stands behind --:  ferry ssh " + as_typed(words);
}

}  // namespace ferry::cli
