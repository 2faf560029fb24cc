#include "task/variables.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <utility>

#include "base/text.h"
#include "task/data_url.h"
#include "task/git_source.h"
#include "task/task.h"

namespace ferry::task {

namespace {

bool is_letter_or_digit(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

bool is_variable(std::string_view text) {
  const auto fine = [](char c) { return is_letter_or_digit(c) || c == '_'; };
  return !text.empty() && !(text[0] >= '0' && text[0] <= '9') && std::all_of(text.begin(), text.end(), fine);
}

}  // namespace

bool is_name(std::string_view text) {
  if (text.empty() || !is_letter_or_digit(text.front()) || !is_letter_or_digit(text.back())) return false;
  int marks = 0;
  for (const char c : text) {
    marks = is_letter_or_digit(c) ? 0 : marks + 1;
    if (marks > 2 || (marks && c != '.' && c != '_' && c != '-')) return false;
  }
  return true;
}

Result<std::string> filled_in(std::string_view text, const std::map<std::string, std::string>& values) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    if (text[i] != '$') {
      out += text[i++];
      continue;
    }
    const bool braces = text.substr(i + 1).starts_with('{');
    const auto start = i + (braces ? 2 : 1);
    auto end = start;
    while (end < text.size() && (is_letter_or_digit(text[end]) || text[end] == '_')) ++end;
    const std::string name(text.substr(start, end - start));
    const auto value = values.find(name);
    if (!is_variable(name) || (braces && !text.substr(end).starts_with('}'))) {
      return fail(Kind::bad_input, fmt::format("'{}' has a '$' without a variable's name", printable(text)), {},
                  "write $NAME or ${NAME}");
    }
    if (value == values.end()) {
      return fail(Kind::bad_input, fmt::format("nothing is known of the variable '{}'", name), {},
                  fmt::format("give it a value under 'envs:', or pass --env {}=VALUE", name));
    }
    out += value->second;
    i = end + (braces ? 1 : 0);
  }
  return out;
}

Result<std::string> mount_target(std::string_view written) {
  constexpr std::string_view sky_folder = "~/sky_workdir";  // SkyPilot's name of the workdir
  auto path = std::filesystem::path(trim(written));
  const bool climbs = std::find(path.begin(), path.end(), "..") != path.end();
  auto text = path.lexically_normal().string();
  while (text.size() > 1 && text.ends_with('/')) text.pop_back();
  const bool is_in_sky = text.starts_with(sky_folder) && text.substr(sky_folder.size()).starts_with('/');
  if (is_in_sky) text.erase(0, sky_folder.size() + 1);
  if (climbs || text.empty() || text == "." || text == "/" || text == sky_folder ||
      (text.starts_with('~') && !text.starts_with("~/"))) {
    return fail(Kind::bad_input, fmt::format("'{}' is no place for a file or folder of its own", printable(written)),
                {}, "name it as it shall be called there: data, ~/data or /data");
  }
  constexpr std::array<std::string_view, 14> of_system = {"bin",  "boot", "dev",  "etc", "lib", "lib64", "proc",
                                                          "root", "run",  "sbin", "sys", "usr", "var",   "home"};
  const auto parts = split(text, '/');  // of an absolute path the first is empty
  if (parts[0].empty() && std::ranges::find(of_system, parts[1]) != of_system.end() &&
      (parts[1] != "home" || parts.size() < 4)) {
    return fail(Kind::bad_input, fmt::format("'{}' belongs to the machine's system", printable(written)), {},
                fmt::format("write ~/{}, or a path below the workdir", printable(parts.back())));
  }
  return text;
}

Status check_variable_name(std::string_view name) {
  if (is_variable(name)) return {};
  return fail(Kind::bad_input, fmt::format("'{}' cannot be a variable's name", printable(name)),
              "names are letters, digits and '_', and do not begin with a digit", "LEARNING_RATE");
}

namespace {

/// A target, filled in and judged.
Status fill_target(const Task& task, const std::string& at, std::string& target, const char* field = "file_mounts") {
  TRY_SET(filled, at, filled_in(target, task.envs));
  TRY_SET(place, at + ": " + field, mount_target(filled));
  target = place;
  return {};
}

}  // namespace

Status fill_variables(Task& task) {
  TRY_SET(workdir, "workdir", filled_in(task.workdir.native(), task.envs));
  task.workdir = workdir;
  TRY("", fill_git(task));
  const auto comes_home = [&](const std::string& target) { task.checkpoints.push_back(home_place(target) + "/"); };
  std::vector<Mount> mounts;
  for (auto& mount : std::exchange(task.mounts, {})) {
    TRY_SET(source, mount.at, filled_in(mount.source.native(), task.envs));
    if (is_url(source)) {  // a whole URL was a variable's value
      const auto mode = mount.comes_home ? MountMode::mount : MountMode::copy;
      task.data.push_back({mount.target, source, mode, mount.comes_home && source.starts_with("s3://"), mount.at});
      continue;
    }
    TRY("", fill_target(task, mount.at, mount.target));
    mount.source = source;
    if (mount.comes_home) comes_home(mount.target);
    mounts.push_back(std::move(mount));
  }
  task.mounts = std::move(mounts);
  for (auto& data : task.data) {
    auto filled = Result<std::string>(data.url);
    if (data.url.find('$') != data.url.npos) filled = filled_in(data.url, task.envs);
    if (!filled) return fail(data.at, std::move(filled).error());
    TRY_SET(url, data.at + ": file_mounts", data_url(*filled));
    TRY("", fill_target(task, data.at, data.target));
    data.url = url;
    if (data.is_written) comes_home(data.target);
    if (data.is_written && unsent_place(data.target) != home_place(data.target))
      task.checkpoints.push_back(unsent_place(data.target) + "/");
  }
  for (auto& volume : task.volumes) {
    TRY_SET(name, volume.at, filled_in(volume.name, task.envs));
    TRY("", fill_target(task, volume.at, volume.target, "volumes"));
    if (trim(name).empty())
      return fail(Kind::bad_input, volume.at + ": volumes: no volume is named", "a variable in its place is empty",
                  "give the variable a value: --env NAME=VALUE");
    volume.name = name;
  }
  for (auto& folder : task.output_folders) {
    TRY_SET(bucket, folder.at, filled_in(folder.bucket, task.envs));
    TRY("", fill_target(task, folder.at, folder.target));
    folder.bucket = bucket;
    comes_home(folder.target);
  }
  return {};
}

std::string home_place(std::string_view target) {
  if (target.starts_with("~/")) return "mounts/" + std::string(target.substr(2));
  return target.starts_with('/') ? "mounts" + std::string(target) : std::string(target);
}

std::string unsent_place(std::string_view target) {
  const bool is_below_workdir = !target.starts_with("~/") && !target.starts_with('/');
  return is_below_workdir ? "mounts/" + std::string(target) : home_place(target);
}

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
