#include "job/mounts.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>

#include "base/bill.h"
#include "base/text.h"
#include "job/sent.h"
#include "os/env.h"
#include "sync/secrets.h"

namespace ferry::job {

namespace {

/// A mount's place in the tree: the target below the workdir, or a place of ferry's own.
struct Destination {
  std::string path;
  bool is_outside = false;
};
bool is_outside(std::string_view target) { return target.starts_with('/') || target.starts_with('~'); }

Destination destination_of(const task::Mount& mount, std::size_t index) {
  if (!is_outside(mount.target)) return {mount.target, false};
  return {mount.comes_home ? task::home_place(mount.target) : fmt::format(".ferry-mounts/{}", index), true};
}

bool is_below(std::string_view path, std::string_view top) {
  return path.starts_with(top) && (path.size() == top.size() || path[top.size()] == '/');
}

Status check_file(const task::Mount& mount) {
  auto secret = sync::secret_by_name(mount.source.filename().string());
  std::string begin;
  if (secret.empty() && !os::is_directory(mount.source)) {
    begin.resize(1024);
    std::ifstream file(mount.source, std::ios::binary);
    file.read(begin.data(), static_cast<std::streamsize>(begin.size()));
    begin.resize(static_cast<std::size_t>(file.gcount()));
    secret = sync::private_key_in(begin);
  }
  if (secret.empty()) return {};
  return fail(Kind::bad_input,
              fmt::format("{}: file_mounts: {} holds {}, which is never sent", mount.at,
                          printable(mount.source.string()), secret),
              {},
              "pass what the training needs as a secret (--secret NAME), or give the machine a role of its own "
              "(--instance-profile)");
}

}  // namespace

Result<sync::Tree> tree_of_mount(const task::Mount& mount, bool follow) {
  std::error_code failed;
  if (!std::filesystem::exists(mount.source, failed)) {
    return fail(Kind::bad_input,
                fmt::format("{}: file_mounts: there is no {}", mount.at, printable(mount.source.string())), {},
                "mend the path, or take the mount out");
  }
  if (!mount.is_whole) TRY("", check_file(mount));
  if (os::is_directory(mount.source)) {
    const auto source = std::filesystem::canonical(mount.source, failed);
    auto tree = mount.is_whole ? sync::scan(source, {}) : list_workdir(source, follow);
    if (tree) return tree;
    auto error = std::move(tree).error();
    error.what = fmt::format("{}: file_mounts: {}: {}", mount.at, printable(mount.source.string()), error.what);
    return tl::unexpected<Error>(std::move(error));
  }
  // Of one file, the folder's list has all that is to be known but what it is called there.
  sync::Tree tree;
  if (!std::filesystem::is_regular_file(mount.source, failed))
    return fail(
        Kind::bad_input,
        fmt::format("{}: file_mounts: {} is neither a file nor a folder", mount.at, printable(mount.source.string())),
        "devices, sockets and pipes cannot be sent", "name a file or a folder");
  const auto status = std::filesystem::status(mount.source, failed);
  tree.entries.push_back({.path = "",
                          .type = sync::Type::file,
                          .mode = static_cast<std::uint32_t>(status.permissions()) & 07777,
                          .size = std::filesystem::file_size(mount.source, failed)});
  tree.files = 1;
  tree.bytes = tree.entries[0].size;
  return tree;
}

namespace {

/// Takes out of the tree what lies at `path`, and below it. True if there was something.
bool clear_place(sync::Tree& tree, std::string_view path) {
  const auto before = tree.entries.size();
  std::erase_if(tree.entries, [&](const sync::Entry& entry) {
    if (!is_below(entry.path, path)) return false;
    if (entry.type == sync::Type::file) {
      --tree.files;
      tree.bytes -= entry.size;
    }
    return true;
  });
  std::erase_if(tree.unsent, [&](const sync::Unsent& one) { return is_below(one.path, path); });
  std::erase_if(tree.grafts, [&](const auto& graft) { return is_below(graft.first, path); });
  return tree.entries.size() < before;
}

/// Adds the folders that `path` lies in. Fails where one of them is something else.
Status add_parents(const task::Mount& mount, sync::Tree& tree, const std::string& path) {
  for (auto slash = path.find('/'); slash != path.npos; slash = path.find('/', slash + 1)) {
    const auto folder = path.substr(0, slash);
    const auto found = std::ranges::find(tree.entries, folder, &sync::Entry::path);
    if (found == tree.entries.end()) {
      tree.entries.push_back({.path = folder, .type = sync::Type::folder, .mode = 0755});
      // Nothing of it is read but what is grafted below it, for which a folder must be there.
      std::error_code failed;
      tree.grafts[folder] = std::filesystem::canonical(mount.source, failed).parent_path().string();
    } else if (found->type != sync::Type::folder) {
      return fail(Kind::bad_input,
                  fmt::format("{}: file_mounts: {} lies behind {}, which is no folder", mount.at, printable(path),
                              printable(folder)),
                  {}, "choose another place for it");
    }
  }
  return {};
}

void tell(const task::Mount& mount, const sync::Tree& own, std::vector<std::string>& lines) {
  std::vector<std::string> names;
  for (const auto& one : own.unsent) {
    if (one.why != sync::Unsent::Why::link) names.push_back(printable(one.path) + ": " + why(one));
  }
  const auto source = printable(mount.source.string());
  for (const auto& line : first_few(names, 4)) lines.push_back(fmt::format("file_mounts: of {}: {}", source, line));
  for (const auto& note : first_few(own.skipped, 4))
    lines.push_back(fmt::format("file_mounts: of {}: not sent: {}", source, note));
}

Status add_mount(const task::Mount& mount, std::size_t index, bool follow, sync::Tree& tree,
                 std::vector<std::string>& lines) {
  TRY_SET(own, "", tree_of_mount(mount, follow));
  const auto place = destination_of(mount, index);
  if (clear_place(tree, place.path) && !place.is_outside && !mount.is_whole)
    lines.push_back(fmt::format("file_mounts: {} comes from {}, in place of the workdir's own", printable(place.path),
                                printable(mount.source.string())));
  TRY("", add_parents(mount, tree, place.path));
  const bool is_file = own.entries.size() == 1 && own.entries[0].path.empty();
  if (!is_file) tree.entries.push_back({.path = place.path, .type = sync::Type::folder, .mode = 0755});
  tell(mount, own, lines);
  for (auto& entry : own.entries) {
    entry.path = is_file ? place.path : place.path + "/" + entry.path;
    tree.entries.push_back(std::move(entry));
  }
  std::error_code failed;
  tree.grafts[place.path] = std::filesystem::canonical(mount.source, failed).string();
  for (auto& [path, target] : own.grafts) tree.grafts[place.path + "/" + path] = target;
  tree.files += own.files;
  tree.bytes += own.bytes;
  std::ranges::sort(tree.entries, {}, &sync::Entry::path);
  return {};
}

}  // namespace

namespace {

/// What is to be where, and in whose name complaints are made.
struct Wanted {
  std::string target, at;
  const char* field = "file_mounts";
};

std::vector<Wanted> all_wanted(const task::Task& task) {
  std::vector<Wanted> out;
  for (const auto& one : task.mounts) out.push_back({one.target, one.at});
  for (const auto& one : task.data) out.push_back({one.target, one.at});
  for (const auto& one : task.output_folders) out.push_back({one.target, one.at});
  for (const auto& one : task.volumes) out.push_back({one.target, one.at, "volumes"});
  return out;
}

/// What is there of a pattern before its first wildcard: "outputs" of "outputs/", "logs" of "logs/*.txt".
std::string plain_part(std::string_view pattern) {
  pattern = pattern.substr(0, pattern.find_first_of("*?[{"));
  if (const auto slash = pattern.rfind('/'); slash != pattern.npos) return std::string(pattern.substr(0, slash));
  return std::string(pattern);
}

/// What comes home is not on a volume, which would come home with it each time.
void check_volume_places(const task::Task& task, std::vector<Error>& found) {
  auto patterns = task.outputs.empty() ? std::vector<std::string>{"outputs/"} : task.outputs;
  patterns.insert(patterns.end(), task.checkpoints.begin(), task.checkpoints.end());
  for (const auto& volume : task.volumes) {
    if (is_outside(volume.target)) continue;
    for (const auto& pattern : patterns) {
      const bool ends_plain = pattern.find_first_of("*?[{") == pattern.npos && !pattern.ends_with('/');
      const auto part = ends_plain ? pattern : plain_part(pattern);
      if (part.empty() || (!is_below(volume.target, part) && !is_below(part, volume.target))) continue;
      found.push_back(fail(Kind::bad_input,
                           fmt::format("{}: volumes: {} is where outputs come home from ({})", volume.at,
                                       printable(volume.target), printable(pattern)),
                           "all that is on the volume would come home with them, each time",
                           "give the volume another place, as in /mnt/data: what is on it stays there")
                          .value());
      break;
    }
  }
}

/// Whether each can be where it is wanted, and nothing else is.
void check_targets(const task::Task& task, std::vector<Error>& found) {
  const bool is_own_machine = task.all_candidates()[0].infra.value_or(task::Infra{}).provider == task::Provider::ssh;
  const auto all = all_wanted(task);
  const auto complain = [&](const Wanted& one, const std::string& what, const char* why, const char* advice) {
    found.push_back(fail(Kind::bad_input, fmt::format("{}: {}: {}", one.at, one.field, what), why, advice).value());
  };
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto shown = printable(all[i].target);
    if (is_own_machine && is_outside(all[i].target)) {
      complain(all[i], shown + " is outside of the run's folder", "on a machine of your own, ferry keeps to one folder",
               "let it be below the workdir: write its target without ~/ or / in front");
      continue;
    }
    const auto is_same = [&](const Wanted& other) {
      return task::home_place(other.target) == task::home_place(all[i].target);
    };
    if (std::any_of(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(i), is_same))
      complain(all[i], shown + " is there twice", "one would hide the other", "give each a place of its own");
  }
  for (const auto& data : task.data) {
    for (const auto& other : all) {
      if (other.at == data.at || !is_below(other.target, data.target) || other.target == data.target) continue;
      complain(other, fmt::format("{} lies in the data at {}", printable(other.target), printable(data.target)),
               "what is there would be the bucket's", "give it a place beside it");
    }
  }
  for (const auto& volume : task.volumes) {
    for (const auto& other : all) {
      if (other.at == volume.at || other.target == volume.target) continue;
      if (is_below(other.target, volume.target))
        complain(other, fmt::format("{} lies in the volume at {}", printable(other.target), printable(volume.target)),
                 "what is there would be the volume's", "give it a place beside it");
      else if (is_below(volume.target, other.target))
        complain({volume.target, volume.at, "volumes"},
                 fmt::format("{} lies in {}, which is another's", printable(volume.target), printable(other.target)),
                 "what is there would hide the volume", "give it a place beside it");
    }
  }
  check_volume_places(task, found);
}

/// A link will stand there, or a folder.
void make_way(const task::Task& task, sync::Tree& tree, std::vector<std::string>& lines) {
  for (const auto& data : task.data) {
    if (!is_outside(data.target) && clear_place(tree, data.target))
      lines.push_back(fmt::format("file_mounts: {} comes from {}, in place of the workdir's own",
                                  printable(data.target), printable(data.url.empty() ? data.source : data.url)));
  }
  for (const auto& volume : task.volumes) {
    if (!is_outside(volume.target) && clear_place(tree, volume.target))
      lines.push_back(fmt::format("volumes: {} comes from the volume {}, in place of the workdir's own",
                                  printable(volume.target), printable(volume.name)));
  }
}

}  // namespace

Status add_mounts(const task::Task& task, bool follow, sync::Tree& tree, std::vector<std::string>& lines) {
  std::vector<Error> found;
  check_targets(task, found);
  if (!found.empty()) return fail(std::move(found));
  make_way(task, tree, lines);
  for (std::size_t i = 0; i < task.mounts.size(); ++i) {
    if (auto added = add_mount(task.mounts[i], i, follow, tree, lines); !added)
      found.push_back(std::move(added).error());
  }
  if (!found.empty()) return fail(std::move(found));
  return {};
}

namespace {

std::uint64_t large_from() {
  constexpr std::uint64_t usual = 256'000'000;
  const auto asked = os::env("FERRY_STORED_DATA_FROM");
  const auto bytes = asked ? parse_int(*asked) : std::nullopt;
  return bytes && *bytes >= 0 ? static_cast<std::uint64_t>(*bytes) : usual;
}

}  // namespace

void store_large_mounts(task::Task& task, bool follow, std::vector<std::string>& lines) {
  const bool is_rented = task.all_candidates()[0].infra.value_or(task::Infra{}).provider != task::Provider::ssh;
  if (!is_rented || !task.store.value_or("").starts_with("s3://")) return;
  const auto least = large_from();
  std::vector<task::Mount> rest;
  for (auto& mount : task.mounts) {
    std::error_code failed;
    const auto source = std::filesystem::canonical(mount.source, failed);
    const auto tree = !failed && !mount.comes_home && !mount.is_whole && os::is_directory(source)
                          ? tree_of_mount(mount, follow)
                          : Result<sync::Tree>(fail(Kind::not_found, ""));
    if (!tree || tree->bytes < least) {
      rest.push_back(std::move(mount));
      continue;
    }
    lines.push_back(fmt::format(
        "file_mounts: {} ({}) goes by the store, {}: once, and from there to each machine; kept until  ferry data rm, "
        "about {} a month",
        printable(mount.source.string()), show_bytes(tree->bytes), printable(*task.store),
        show(stored_month(tree->bytes))));
    tell(mount, *tree, lines);
    task.data.push_back({.target = mount.target, .url = {}, .at = mount.at, .source = source.string()});
  }
  task.mounts = std::move(rest);
}

os::Path source_of(const sync::Tree& tree, const os::Path& workdir, const std::string& path) {
  for (auto end = path.size(); end != path.npos && end > 0; end = path.rfind('/', end - 1)) {
    const auto graft = tree.grafts.find(std::string_view(path).substr(0, end));
    if (graft == tree.grafts.end()) continue;
    return end == path.size() ? os::Path(graft->second) : os::Path(graft->second) / path.substr(end + 1);
  }
  return workdir / path;
}

std::string place_of_data(const std::string& scratch, std::size_t index) {
  return fmt::format("{}/data/{}", scratch, index);
}

std::string link_line(const task::Task& task, const std::string& scratch,
                      const std::map<std::size_t, std::string>& mounted, const std::vector<std::string>& volumes) {
  std::string links;
  const auto link = [&](const std::string& from, const std::string& to) {
    links += fmt::format("ferry_link {} {}; ", shell_quoted(from), shell_quoted(to));
  };
  for (std::size_t i = 0; i < task.mounts.size(); ++i) {
    const auto place = destination_of(task.mounts[i], i);
    if (place.is_outside) link(task.mounts[i].target, place.path);
  }
  for (std::size_t i = 0; i < task.data.size(); ++i) {
    const auto& data = task.data[i];
    if (const auto at = mounted.find(i); at != mounted.end()) {
      link(data.target, at->second);
      continue;
    }
    const auto place = place_of_data(scratch, i), home = task::home_place(data.target);
    if (data.is_written)  // what an attempt before saved was put there
      links += fmt::format("ferry_join {} {}; ", shell_quoted("./" + home), shell_quoted(place));
    link(data.target, place);
    if (data.is_written && is_outside(data.target)) link(home, place);
  }
  for (std::size_t i = 0; i < volumes.size(); ++i) link(task.volumes[i].target, volumes[i]);
  for (const auto& folder : task.output_folders) {
    const auto place = task::home_place(folder.target);
    links += fmt::format("mkdir -p {} || exit 1; ", shell_quoted("./" + place));
    if (is_outside(folder.target)) link(folder.target, place);
  }
  const bool is_own_machine = task.all_candidates()[0].infra.value_or(task::Infra{}).provider == task::Provider::ssh;
  const bool names_sky = (task.setup + task.run).find("sky_workdir") != std::string::npos;
  if (names_sky && !is_own_machine) links += "ferry_link '~/sky_workdir' ''; ";
  if (links.empty()) return {};
  // A place is below the workdir unless it is absolute. What the machine has of its own there gives way, but not a
  // folder with something in it.
  constexpr std::string_view function =
      "ferry_link() { case $2 in /*) ;; *) set -- \"$1\" \"$PWD${2:+/}$2\" ;; esac; "
      "case $1 in '~/'*) set -- \"$HOME/${1#??}\" \"$2\" ;; /*) ;; *) set -- \"$PWD/$1\" \"$2\" ;; esac; "
      "[ \"$(readlink \"$1\" 2>/dev/null)\" != \"$2\" ] || return 0; "
      "[ -L \"$1\" ] || [ ! -d \"$1\" ] || rmdir \"$1\" 2>/dev/null || "
      "{ echo \"ferry: $1 is there already, and is not empty\" >&2; exit 1; }; "
      "mkdir -p \"${1%/*}/\" 2>/dev/null && ln -sfn \"$2\" \"$1\" 2>/dev/null && return 0; "
      "sudo -n mkdir -p \"${1%/*}/\" && sudo -n ln -sfn \"$2\" \"$1\" && return 0; "
      "echo \"ferry: the link $1 cannot be made\" >&2; exit 1; }; "
      "ferry_join() { [ -d \"$1\" ] && [ ! -L \"$1\" ] || return 0; mkdir -p \"$2\" && cp -a \"$1/.\" \"$2/\" && "
      "rm -rf \"$1\" || exit 1; }; ";
  return std::string(function) + links + "unset -f ferry_link ferry_join\n";
}

}  // namespace ferry::job
