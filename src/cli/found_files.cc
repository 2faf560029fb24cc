#include "cli/found_files.h"

#include <fmt/format.h>

#include "base/text.h"
#include "os/env.h"

namespace ferry::cli {

Result<os::Path> task_file(const std::string& path) {
  if (!os::exists(path)) {
    const auto folder = os::Path(path).parent_path();
    const auto names = os::list_dir(folder.empty() ? "." : folder).value_or(std::vector<std::string>());
    const auto near = nearest(os::Path(path).filename().string(), names);
    return fail(Kind::not_found, "no such task file or folder: " + printable(path),
                names.empty() && !folder.empty() ? "there is no folder " + printable(folder.string())
                : near                           ? "there is " + printable((folder / *near).string())
                                                 : std::string(),
                "give a task file, a folder with task.yaml in it, or: ferry run -- COMMAND");
  }
  if (!os::is_directory(path)) return os::Path(path);
  for (const auto* file : {"task.yaml", "task.yml", "ferry.yaml", "ferry.yml"}) {
    if (os::exists(os::Path(path) / file)) return os::Path(path) / file;
  }
  return fail(Kind::not_found, "no task.yaml in " + path, {},
              "write one, or: ferry run --workdir " + path + " -- COMMAND");
}

os::Path absolute_path(const os::Path& path) {
  auto text = std::filesystem::absolute(path).lexically_normal();
  return text.has_filename() ? text : text.parent_path();  // without a trailing slash
}

os::Path find_workdir(const task::Task& task, const os::Path& file) {
  const os::Path beside = file.empty() ? os::Path(".") : file.parent_path();
  if (task.workdir.empty()) return absolute_path(beside.empty() ? os::Path(".") : beside);
  if (task.workdir.is_absolute()) return absolute_path(task.workdir);
  const auto& text = task.workdir.native();
  if (text.starts_with("~/")) return absolute_path(os::home_dir() / text.substr(2));
  const bool relative_to_file = text == "." || !os::is_directory(task.workdir);
  return absolute_path(relative_to_file && os::is_directory(beside / task.workdir) ? beside / task.workdir
                                                                                   : task.workdir);
}

namespace {

/// A file or folder of this computer, as written.
os::Path found(const os::Path& written, const os::Path& file) {
  const auto text = written.native();
  if (text == "~" || text.starts_with("~/"))
    return absolute_path(os::home_dir() / (text.size() > 2 ? text.substr(2) : ""));
  const auto beside = file.parent_path() / written;
  return absolute_path(written.is_relative() && !os::exists(written) && os::exists(beside) ? beside : written);
}

}  // namespace

void find_sources(task::Task& task, const os::Path& file) {
  for (auto& mount : task.mounts) mount.source = found(mount.source, file);
}

Status find_repository(task::GitSource& git, const os::Path& file) {
  const auto colon = git.url.find(':');
  const bool is_address = git.url.find("://") != git.url.npos || (colon != git.url.npos && colon < git.url.find('/'));
  if (git.url.empty() || is_address) return {};
  const auto path = found(git.url, file);
  if (!os::exists(path)) {
    const bool is_like_a_host = git.url.find('.') < git.url.find('/') && git.url.find('.') > 0;
    return fail(Kind::bad_input, fmt::format("{}: workdir: url: there is no {}", git.at, printable(path.string())), {},
                is_like_a_host ? fmt::format("did you mean https://{}?", printable(git.url))
                               : "write https://HOST/PATH, git@HOST:PATH, or a folder that is there");
  }
  git.url = path.string();
  return {};
}

}  // namespace ferry::cli
