#include "sync/repository.h"

#include <future>

#include "base/text.h"
#include "os/env.h"

namespace ferry::sync {

namespace {

constexpr std::size_t most_rules = std::size_t{4} << 20;
constexpr std::chrono::milliseconds git_patience{20'000};

void add_rules(Repository& found, const std::string& name, const os::Path& file) {
  if (auto text = os::read_file(file, most_rules)) found.rules.push_back({name, *std::move(text)});
}

std::string without_line_end(std::string text) {
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

os::Path usual_excludes_file() {
  const auto config = os::env("XDG_CONFIG_HOME");
  return (config ? os::Path(*config) : os::home_dir() / ".config") / "git/ignore";
}

}  // namespace

std::optional<os::Path> repository_top(const os::Path& folder) {
  std::error_code failed;
  os::Path at = std::filesystem::canonical(folder, failed);
  if (failed) return std::nullopt;
  for (;; at = at.parent_path()) {
    if (os::exists(at / ".git")) return at;
    if (at == at.root_path()) return std::nullopt;
  }
}

os::SpawnOptions git_command(const os::Path& folder, const os::Argv& words) {
  os::SpawnOptions options;
  options.argv = {"env", "-u",         "GIT_DIR", "-u", "GIT_WORK_TREE", "-u", "GIT_INDEX_FILE",
                  "-u",  "GIT_PREFIX", "git",     "-C", folder.string(), "-c", "core.fsmonitor=false"};
  options.argv.insert(options.argv.end(), words.begin(), words.end());
  options.env = {{"GIT_OPTIONAL_LOCKS", "0"}, {"LC_ALL", "C"}};
  return options;
}

std::optional<Repository> repository_of(const os::Path& folder) {
  const auto top = repository_top(folder);
  if (!top) return std::nullopt;
  Repository found;
  const auto without_git = [&](std::string trouble) {
    found.trouble = std::move(trouble);
    std::error_code failed;
    const auto above = std::filesystem::canonical(folder, failed).lexically_relative(*top).string();
    found.above = above == "." ? "" : above;
    found.rules.clear();
    add_rules(found, "git's ignore file", usual_excludes_file());
    add_rules(found, ".git/info/exclude", *top / ".git/info/exclude");
    return found;
  };
  // One answer a command: folders may have line ends in their names. All at once: the last takes its time.
  const auto ask = [&](const os::Argv& words) {
    return std::async(std::launch::async,
                      [command = git_command(folder, words)] { return os::run_command(command, {}, git_patience); });
  };
  auto tracked_answer = ask({"ls-files", "-z", "--cached", "--ignored", "--exclude-standard"});
  auto exclude_answer = ask({"rev-parse", "--git-path", "info/exclude"});
  auto config_answer = ask({"config", "--path", "--null", "--get", "core.excludesFile"});
  const auto where = os::run_command(git_command(folder, {"rev-parse", "--show-prefix"}), {}, git_patience);
  if (!where || where->exit.code == 127) return without_git("git is not on this computer");
  const auto exclude = exclude_answer.get();
  if (where->exit.code != 0 || !exclude || exclude->exit.code != 0)
    return without_git(short_line(trim(where->err).substr(0, where->err.find('\n')), 200));
  found.above = without_line_end(where->out);
  if (found.above.ends_with('/')) found.above.pop_back();

  const auto config = config_answer.get();
  const auto named = config && config->exit.code == 0 ? config->out.substr(0, config->out.find('\0')) : std::string();
  add_rules(found, named.empty() ? "~/.config/git/ignore" : named,
            named.empty() ? usual_excludes_file() : folder / named);
  add_rules(found, ".git/info/exclude", folder / without_line_end(exclude->out));

  const auto tracked = tracked_answer.get();
  if (!tracked || tracked->exit.code != 0)
    return without_git(tracked ? short_line(trim(tracked->err), 200) : tracked.error().what);
  for (auto& path : split(tracked->out, '\0')) {
    if (!path.empty()) found.tracked.push_back(std::move(path));
  }
  return found;
}

}  // namespace ferry::sync
