#include "job/requirements.h"

#include <algorithm>
#include <set>

#include "base/text.h"
#include "job/preflight.h"
#include "job/sent.h"
#include "job/shell_words.h"

namespace ferry::job {

namespace {

constexpr std::size_t most_text = std::size_t{4} << 20;
constexpr const char* candidates[] = {"uv.lock",          "conda-lock.yml", "environment.yml", "environment.yaml",
                                      "requirements.txt", "pyproject.toml", "setup.py"};

/// One that is read line by line.
bool is_requirements(std::string_view file) { return file.ends_with(".txt") || file.ends_with(".in"); }

bool fits(std::string_view kind, std::string_view file) {
  const bool is_conda = file.starts_with("conda") || file.starts_with("environment");
  if (kind == "conda") return is_conda;
  if (kind == "venv") return !is_conda && file != "uv.lock";
  if (kind == "uv") return !is_conda && file != "requirements.txt";
  return kind == "auto";
}

/// What a pyproject.toml asks for, and whether pip can install it.
struct Project {
  bool asks = false, asks_poetry = false, has_build_system = false, is_package = true;
};
Project read_project(std::string_view text) {
  Project found;
  std::string table;
  for (const auto& written : split(text, '\n')) {
    const auto line = trim(written);
    if (line.starts_with('[') && line.ends_with(']')) {
      table = trim(line.substr(1, line.size() - 2));
      found.has_build_system = found.has_build_system || table == "build-system";
      continue;
    }
    const auto equals = line.find('=');
    if (line.starts_with('#') || equals == line.npos) continue;
    const auto key = trim(line.substr(0, equals)), value = trim(line.substr(equals + 1));
    if (table == "project" && key == "dependencies" && !value.starts_with("[]")) found.asks = true;
    if (table == "project" && key == "dynamic" && value.find("dependencies\"") != value.npos) found.asks = true;
    if (table == "tool.poetry.dependencies" && key != "python") found.asks_poetry = true;
    if (table == "tool.poetry" && key == "package-mode" && value.starts_with("false")) found.is_package = false;
  }
  return found;
}

/// What tools look at by themselves, besides.
constexpr const char* looked_at[] = {"setup.cfg", "uv.toml", ".python-version", "Pipfile"};

class Finder {
 public:
  Finder(const os::Path& workdir, const sync::Tree& tree, bool is_own_machine)
      : workdir_(workdir), tree_(tree), is_own_machine_(is_own_machine) {}

  bool has(const std::string& path) const {
    const auto at = std::ranges::lower_bound(tree_.entries, path, {}, &sync::Entry::path);
    return at != tree_.entries.end() && at->path == path;
  }
  std::string text(const std::string& path) const { return os::read_file(workdir_ / path, most_text).value_or(""); }

  bool has_folder(const std::string& path) const {
    const auto at = std::ranges::lower_bound(tree_.entries, path, {}, &sync::Entry::path);
    return at != tree_.entries.end() && at->path == path && at->type != sync::Type::file;
  }
  /// As Requirements::needed.
  const std::vector<std::string>& needed() const { return needed_; }
  void need(std::string path) { needed_.push_back(std::move(path)); }
  /// Of a file that is not read line by line: all that the words of its `content` name.
  void need_named_in(const std::string& file, std::string_view content) {
    need(file);
    if (content.find('$') != content.npos) need(".");
    constexpr std::string_view between = " \t\r\n\"',;:=@#<>()[]{}";
    std::string before;
    for (auto begin = content.find_first_not_of(between); begin != content.npos;) {
      const auto end = std::min(content.find_first_of(between, begin), content.size());
      auto word = std::string(content.substr(begin, end - begin));
      need_named(word, before);
      before = std::move(word);
      begin = content.find_first_not_of(between, end);
    }
  }

  /// The file's nested ones come into `files`, too.
  Status read_requirements(const std::string& file, std::vector<std::string>& files) {
    if (std::ranges::find(files, file) != files.end()) return {};
    files.push_back(file);
    need(file);
    std::size_t number = 0;
    for (const auto& written : split(text(file), '\n')) {
      ++number;
      TRY("", read_line(file, number, written, files));
    }
    return {};
  }

 private:
  void need_named(const std::string& word, std::string_view before) {
    const bool is_path = word.starts_with('.') || word.find('/') != word.npos;
    const bool is_option = before == "-e" || before == "--editable" || before == "-f" || before == "--find-links";
    auto path = os::Path(word).lexically_normal().string();
    if (path.size() > 1 && path.ends_with('/')) path.pop_back();
    if (path == ".." || path.starts_with("../") || path == "." || (has_folder(path) && (is_path || is_option)))
      return need(".");
    if (!has(path) || has_folder(path)) return;
    std::vector<std::string> files;
    if (!is_requirements(path)) return need(path);
    if (!read_requirements(path, files)) need(".");
  }

  Status read_line(const std::string& file, std::size_t number, const std::string& written,
                   std::vector<std::string>& files) {
    auto line = std::string_view(written);
    const auto comment = line.starts_with('#') ? 0 : line.find(" #");
    line = line.substr(0, comment);
    const auto marker = line.find(" ;");
    // For other systems than the machine's.
    if (marker != line.npos && (line.find("win32", marker) != line.npos || line.find("darwin", marker) != line.npos ||
                                line.find("Windows", marker) != line.npos || line.find("Darwin", marker) != line.npos))
      return {};
    line = line.substr(0, marker);
    const auto begin = line.find_first_not_of(" \t\r");
    if (begin == line.npos) return {};
    // "-r FILE", "-rFILE", "--requirement=FILE", "-e FOLDER", "-f FOLDER"
    std::string_view path;
    bool is_list = false, is_place = false;
    for (const std::string_view flag :
         {"--requirement", "--constraint", "--editable", "--find-links", "-r", "-c", "-e", "-f"}) {
      if (!line.substr(begin).starts_with(flag)) continue;
      auto rest = line.substr(begin + flag.size());
      if (flag.starts_with("--") && !rest.empty() && rest[0] != '=' && rest[0] != ' ') continue;
      const auto value = rest.find_first_not_of(" =\t");
      path = value == rest.npos ? std::string_view() : trim(rest.substr(value));
      is_place = flag == "-f" || flag == "--find-links";
      is_list = flag == "-r" || flag == "-c" || flag == "--requirement" || flag == "--constraint";
      break;
    }
    if (path.empty() && line[begin] == '-') return {};
    if (path.empty()) path = path_of_package(trim(line.substr(begin)));
    if (path.empty()) return {};
    return look_at(file, number, static_cast<std::size_t>(path.data() - line.data()) + 1, std::string(path), is_list,
                   is_place, files);
  }

  /// "./custom.whl", "pk @ file:///x", "pk.whl"; empty for a package's name or a place in the network.
  static std::string_view path_of_package(std::string_view word) {
    if (const auto at = word.find("file:"); at != word.npos && (at == 0 || word.substr(0, at).find('@') != word.npos))
      return word.substr(at);
    if (word.find("://") != word.npos || word.find(" @") != word.npos) return {};
    const auto name = word.substr(0, word.find_first_of(" [<>=!~"));
    const bool is_archive = name.ends_with(".whl") || name.ends_with(".tar.gz") || name.ends_with(".zip");
    return is_archive || name.starts_with('.') || name.starts_with('/') || name.starts_with('~') ||
                   name.find('/') != name.npos
               ? word.substr(0, word.find_first_of(" <>="))
               : std::string_view();
  }

  Status look_at(const std::string& file, std::size_t number, std::size_t column, std::string path, bool is_list,
                 bool is_place, std::vector<std::string>& files) {
    const auto written = path;
    const auto complain = [&](std::string why, std::string advice) {
      return fail(
          Kind::bad_input,
          fmt::format("{}:{}:{}: {} would not be on the machine", printable(file), number, column, printable(written)),
          std::move(why), std::move(advice));
    };
    if (path.find('$') != path.npos || path.find("+file:") != path.npos) {
      need(".");
      return {};
    }
    if (path.starts_with("file:")) {
      path.erase(0, 5);
      if (path.starts_with("//")) path.erase(0, path.find('/', 2) == path.npos ? 2 : path.find('/', 2));
      path = percent_decoded(path);
    } else if (path.find("://") != path.npos) {
      return {};
    }
    path = path.substr(0, std::min(path.find('#'), path.find('[')));
    if (path.size() > 1 && (path.front() == '"' || path.front() == '\'')) path = path.substr(1, path.size() - 2);
    if (path.starts_with('/') || path.starts_with('~')) {
      if (is_own_machine_) return {};
      return complain("it is a path of this computer, as `pip freeze` writes it under conda",
                      written.starts_with("file:") ? "write the package's name and version instead (numpy==1.26.4)"
                                                   : "put it into the workdir, and name it from there");
    }
    // From the file's folder, and from the folder that pip runs in.
    const auto beside = (os::Path(file).parent_path() / path).lexically_normal().string();
    const auto here = os::Path(path).lexically_normal().string();
    for (auto found : {beside, here}) {
      if (found.ends_with('/')) found.pop_back();
      if (found != "." && !has(found)) continue;
      // A package that is built may read what no line names.
      need(has_folder(found) && !is_place ? "." : found);
      return is_list && found != "." ? read_requirements(found, files) : Status();
    }
    const auto* unsent = unsent_at(tree_, here);
    if (unsent != nullptr && os::exists(workdir_ / here)) return complain(why(*unsent), cure(*unsent));
    if (here.starts_with("..") && beside.starts_with(".."))
      return complain("it lies outside the workdir, and only the workdir is sent", "put it into the workdir");
    return complain("there is no such file or folder in the workdir", "mend the line, or put it there");
  }

  const os::Path& workdir_;
  const sync::Tree& tree_;
  bool is_own_machine_;
  std::vector<std::string> needed_;
};

}  // namespace

bool installs_itself(std::string_view setup) {
  for (const std::string_view word : {"pip install", "pip3 install", "conda ", "mamba ", "uv ", "poetry ", "pipenv "}) {
    if (setup.find(word) != std::string_view::npos) return true;
  }
  return false;
}

namespace {

/// The comment block in which a Python script says what it depends on (PEP 723); empty: there is none.
std::string_view script_block(std::string_view text) {
  const auto begin = text.starts_with("# /// script\n") ? 0 : text.find("\n# /// script\n");
  if (begin == text.npos) return {};
  const auto end = text.find("\n# ///\n", begin + 5);
  return end == text.npos ? std::string_view() : text.substr(begin, end - begin);
}

bool says_dependencies(std::string_view text) {
  const auto block = script_block(text);
  const auto list = block.find("dependencies");
  return list != block.npos && block.find_first_of("\"'", list) != block.npos;
}

std::string installers_of(const task::Task& task, const Finder& finder) {
  auto text = task.setup + "\n" + task.run;
  for (const auto& script : scripts_in(task.run))
    if (script.ends_with(".sh") && finder.has(os::Path(script).lexically_normal().string()))
      text += "\n" + finder.text(script);
  return installers_in(text);
}

}  // namespace

namespace {

/// All that the environment may be made from but for what read_requirements() finds.
void need_besides(const task::Environment& asked, const std::string& used, Finder& finder) {
  for (const char* one : candidates) finder.need(one);
  for (const char* one : looked_at) finder.need(one);
  auto name = os::Path(asked.name).lexically_normal().string();
  if (name.ends_with('/')) name.pop_back();
  if (!name.empty() && asked.kind != "docker") finder.need(name.starts_with("..") ? "." : name);
  const bool is_built = used.ends_with("uv.lock") || used.ends_with("pyproject.toml") || used.ends_with("setup.py");
  if (is_built || (asked.kind == "docker" && !asked.file.empty())) return finder.need(".");
  if (used.empty() || is_requirements(used)) return;
  const auto file = os::Path(used).lexically_normal().string();
  const auto text = finder.text(file);
  finder.need_named_in(file, file.ends_with(".py") ? script_block(text) : std::string_view(text));
}

}  // namespace

Result<Requirements> find_requirements(const task::Task& task, const os::Path& workdir, const sync::Tree& tree) {
  Requirements found;
  const auto& asked = task.environment;
  const auto infra = task.all_candidates()[0].infra.value_or(task::Infra{});
  Finder finder(workdir, tree, infra.provider == task::Provider::ssh);
  found.installers = installers_of(task, finder);
  const bool is_left_alone = asked.kind == "none" || asked.kind == "docker" || installs_itself(task.setup);
  if (!is_left_alone && asked.file.empty()) {
    for (const char* candidate : candidates) {
      if (!fits(asked.kind, candidate) || !finder.has(candidate)) continue;
      const std::string_view name = candidate;
      const auto text = finder.text(candidate);
      if (name == "setup.py" && text.find("install_requires") == text.npos &&
          finder.text("setup.cfg").find("install_requires") == std::string::npos)
        continue;
      if (name == "pyproject.toml") {
        const auto project = read_project(text);
        if (!project.asks && project.asks_poetry && (!project.has_build_system || !project.is_package)) {
          found.notes.push_back(fmt::format(
              "pyproject.toml: Poetry's dependencies are not installed: {}; to have them, write a "
              "requirements.txt "
              "(poetry export -o requirements.txt)",
              project.is_package ? "it has no [build-system]" : "package-mode is false, so that pip cannot"));
          continue;
        }
        const bool by_setup = project.has_build_system && finder.has("setup.cfg") && !finder.has("setup.py") &&
                              finder.text("setup.cfg").find("install_requires") != std::string::npos;
        if (!project.asks && !project.asks_poetry && !by_setup) continue;
      }
      found.file = candidate;
      break;
    }
    for (const auto& script : scripts_in(task.run)) {
      const auto path = os::Path(script).lexically_normal().string();
      const bool pip_can = asked.kind == "auto" || asked.kind == "venv" || asked.kind == "uv";
      if (found.file.empty() && pip_can && path.ends_with(".py") && finder.has(path) &&
          says_dependencies(finder.text(path)))
        found.file = path;
    }
  }
  const auto used = asked.file.empty() ? found.file : asked.file;
  need_besides(asked, used, finder);
  found.needed = finder.needed();
  if (is_left_alone || (!asked.name.empty() && used.empty())) {
    for (const char* file : {"requirements.txt", "pyproject.toml", "environment.yml", "environment.yaml", "setup.py",
                             "setup.cfg", "uv.lock", "conda-lock.yml", "Pipfile"})
      if (finder.has(file)) found.providers.emplace_back(file);
    return found;
  }
  if (used.empty() && finder.has("Pipfile"))
    found.notes.emplace_back(
        "what Pipfile asks for is not installed; to have it, write a requirements.txt (pipenv requirements > "
        "requirements.txt)");
  if (used.empty()) return found;
  if (is_requirements(used) && finder.has(used)) {
    TRY("", finder.read_requirements(used, found.providers));
  } else {
    found.providers.push_back(used);
    for (const char* more : {"setup.py", "setup.cfg"})
      if ((used == "pyproject.toml" || used == "setup.py") && used != more && finder.has(more))
        found.providers.emplace_back(more);
  }
  found.needed = finder.needed();
  return found;
}

}  // namespace ferry::job
