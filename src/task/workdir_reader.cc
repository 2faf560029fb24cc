// workdir: a folder of this computer, or a git repository as {url, ref}.
#include <fmt/format.h>

#include "base/text.h"
#include "task/field_reader.h"
#include "task/git_source.h"
#include "task/variables.h"

namespace ferry::task {

Status WorkdirReader::read(const Entry& workdir) {
  if (workdir.value->type == Node::Type::map) return read_git(workdir);
  TRY_SET(path, "", text_of(workdir));
  if (trim(path).empty()) return complain_at(workdir.value->at, "'workdir' is empty", {}, "workdir: .");
  if (path.find("://") != path.npos) {
    const bool is_git = path.find(".git") != path.npos || path.starts_with("ssh://");
    return complain_at(
        workdir.value->at, fmt::format("workdir '{}' is not a folder of this computer", printable(without_login(path))),
        {},
        is_git ? "a git repository is written as workdir: {url: URL, ref: BRANCH}"
               : "write the name of a folder, as in workdir: .; a git repository as workdir: {url: URL, ref: BRANCH}");
  }
  task_.workdir = path;
  return {};
}

Status WorkdirReader::read_git(const Entry& workdir) {
  const auto value = [&](const char* name) -> Result<std::string> {
    const auto* field = workdir.value->find(name);
    if (!field || field->value->type == Node::Type::null) return std::string();
    TRY_SET(text, "", text_of(*field));
    const std::string written(trim(text));
    const auto checked = name == std::string_view("url") ? check_git_url(written) : check_git_ref(written);
    if (written.find('$') == written.npos && !checked) return complain_in(*field, checked.error());
    return written;
  };
  TRY_SET(url, "", value("url"));
  TRY_SET(ref, "", value("ref"));
  if (url.empty())
    return complain_at(workdir.at, "workdir: no url is given", "a mapping names a git repository",
                       "write workdir: {url: https://…, ref: BRANCH}, or workdir: FOLDER");
  task_.git = {url, ref, "", show(file_, workdir.at)};
  if (url.find('$') == url.npos) take_login(task_.git);
  return {};
}

Status WorkdirReader::check_variables(const Node& root) const {
  const auto* field = root.find("workdir");
  if (!field) return {};
  auto envs = task_.envs;
  for (const auto& name : task_.missing_envs) envs.try_emplace(name);
  auto all = envs;
  all.insert(task_.secrets.begin(), task_.secrets.end());
  for (const auto& name : task_.missing_secrets) all.try_emplace(name);
  for (const auto& filled :
       {filled_in(task_.workdir.native(), envs), filled_url(task_.git.url, all), filled_in(task_.git.ref, envs)}) {
    if (!filled) return complain_in(*field, filled.error());
  }
  return {};
}

}  // namespace ferry::task
