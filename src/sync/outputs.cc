#include "sync/outputs.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "sync/collector.h"
#include "sync/content.h"
#include "sync/open_files.h"

namespace ferry::sync {

namespace {

/// A writer that has its file open and wrote nothing for so long is taken to be between two writes of whole things.
constexpr std::int64_t surely_settled_ns = 60'000'000'000;
constexpr std::size_t most_looked_at = 300'000;  // files outside the tree

/// Other programs' business in folders that everybody writes to.
bool is_of_others(std::string_view name) {
  static constexpr std::string_view starts[] = {
      ".",    "pip-",           "ssh-",        "tmux-",      "systemd-private-",
      "npm-", "torchinductor_", "hsperfdata_", "nvidia-mps", "snap-private-tmp"};
  static constexpr std::string_view names[] = {"ferry", "snap", "miniconda3", "anaconda3", "miniforge3"};
  return is_made_by_tools(name) || std::find(std::begin(names), std::end(names), name) != std::end(names) ||
         std::any_of(std::begin(starts), std::end(starts), [&](auto start) { return name.starts_with(start); });
}

}  // namespace

Result<Tree> Collector::run() {
  TRY("", walk(""));
  knows_files_ = !links_.empty();
  for (const Entry& entry : tree_.entries) {
    if (knows_files_) selected_.insert(entry.path);
  }
  // A link that is followed may bring others.
  for (std::size_t i = 0; i < links_.size(); ++i) {
    const std::string path = links_[i];
    TRY("", settle_link(path));
  }
  const bool made = std::any_of(tree_.entries.begin(), tree_.entries.end(),
                                [](const Entry& entry) { return entry.type == Type::file && !entry.as_sent; });
  if (!made && !query_.elsewhere.empty()) TRY("", look_elsewhere());
  finish();
  return std::move(tree_);
}

Status Collector::walk(const std::string& top) {
  std::vector<std::string> folders{top};
  while (!folders.empty()) {
    const std::string folder = std::move(folders.back());
    folders.pop_back();
    if (std::count(folder.begin(), folder.end(), '/') >= static_cast<std::ptrdiff_t>(max_levels))
      return too_deep(folder);
    const auto names = root_.names(folder);
    if (!names) {
      if (folder.empty()) return fail("", names.error());
      note_unreadable(folder, names.error());
      continue;
    }
    for (const std::string& name : *names) TRY("", visit(joined(folder, name), folders));
  }
  return {};
}

Status Collector::visit(std::string path, std::vector<std::string>& folders) {
  if (is_temp(path)) return {};
  const bool mine = grafted_.empty();
  if (mine && all_made_ && is_made_by_tools(path)) return {};
  const auto found = root_.look(path);
  if (!found) {
    if (found.error().kind != Kind::not_found) note_unreadable(path, found.error());
    return {};
  }
  if (found->is == Standing::Is::link) {
    if (globs_.reach(path, true) != Globs::Reach::outside && !is_older(*found, path)) {
      selected_.insert(path);
      links_.push_back(std::move(path));
    }
    return {};
  }
  const auto reach = globs_.reach(path, found->is == Standing::Is::folder);
  if (reach == Globs::Reach::outside) return {};
  if (found->is == Standing::Is::other) {
    skipped_.add("not brought: " + printable(path) + " is neither file, folder nor link");
    return {};
  }
  Entry entry{.path = std::move(path), .mode = found->mode, .mtime_ns = found->mtime_ns};
  if (found->is == Standing::Is::folder) {
    entry.type = Type::folder;
    folders.push_back(entry.path);
    entry.as_sent = mine && sent_.find(entry.path).has_value();
    if (reach == Globs::Reach::passing || (all_made_ && entry.as_sent)) {
      passing_.push_back(std::move(entry));
      return {};
    }
  } else {
    if (is_older(*found, entry.path)) return {};
    if (!is_settled(found->mtime_ns, found->ctime_ns, found->inode)) {
      entry.unsettled = true;
      return add(std::move(entry));
    }
    entry.size = found->size;
    entry.as_sent = mine && is_as_sent(entry.path, *found);
    if (all_made_ && entry.as_sent) return {};
    if (!is_readable(entry.path)) return {};
  }
  return add(std::move(entry));
}

Status Collector::add(Entry entry) {
  if (tree_.entries.size() >= ReceiveOptions{}.most_entries)
    return fail(Kind::bad_input, fmt::format("there are more than {} files", tree_.entries.size()), {},
                "put them into an archive there");
  if (knows_files_ || entry.type != Type::file) selected_.insert(entry.path);
  // Below a folder that went over, what was made leads to it.
  if (all_made_) {
    for (auto up = split_last(entry.path).first; !up.empty(); up = split_last(up).first) {
      if (!selected_.emplace(up).second) break;
    }
  }
  tree_.entries.push_back(std::move(entry));
  return {};
}

bool Collector::is_older(const Standing& found, std::string_view path) {
  if (grafted_.empty() || found.ctime_ns >= query_.since_ns) return false;
  older_.push_back(std::string(path));
  return true;
}

bool Collector::is_settled(std::int64_t mtime_ns, std::int64_t ctime_ns, std::uint64_t inode) {
  if (query_.settle_ns == 0) return true;
  const auto unchanged_ns = file_clock_ns() - std::max(mtime_ns, ctime_ns);
  if (unchanged_ns < query_.settle_ns) return false;
  if (unchanged_ns >= surely_settled_ns) return true;
  if (!written_) written_ = inodes_open_for_writing();
  return !written_->contains(inode);
}

bool Collector::is_as_sent(const std::string& path, const Standing& now) {
  const auto before = sent_.find(path);
  if (!before || before->type != Type::file || before->size != now.size) return false;
  if (before->ctime_ns != 0 && before->ctime_ns != now.ctime_ns) return false;
  if (sent_.hash_of(path, now)) return true;
  const auto hashed = hash_file(root_, path, buffer_);
  return hashed && hashed->sha256 == before->sha256;
}

bool Collector::is_readable(const std::string& path) {
  const auto at = root_.place(path);
  if (!at) return true;  // it vanished, which the sender notices
  if (::faccessat(at->folder, at->name.c_str(), R_OK, AT_EACCESS) == 0 || errno == ENOENT) return true;
  const int code = errno;
  if (query_.open_up) {
    const auto now = root_.look(path);
    if (now && set_mode(at->folder, at->name, now->mode | 0400) &&
        ::faccessat(at->folder, at->name.c_str(), R_OK, AT_EACCESS) == 0)
      return true;
  }
  const auto why = fail_errno("read it", code);
  note_unreadable(path, why.value());
  return false;
}

void Collector::note_unreadable(std::string_view path, const Error& why) {
  left_out_.add(printable(path) + ": " + why.what);
}

Status Collector::look_elsewhere() {
  std::string top(elsewhere_folder);
  while (root_.look(top)) top += "-";
  root_.graft(top, "/");
  std::vector<Entry> found;
  std::uint64_t bytes = 0;
  std::set<std::string> done;
  std::size_t looked_at = 0;
  for (const std::string& place : query_.elsewhere) {
    char* real = ::realpath(place.c_str(), nullptr);
    const std::string at = real != nullptr ? real : "";
    std::free(real);
    if (at.empty() || at == "/") continue;
    std::vector<std::string> folders{at};
    while (!folders.empty()) {
      const std::string folder = std::move(folders.back());
      folders.pop_back();
      if (folder == bases_.front().real || !done.insert(folder).second) continue;
      const std::string inside = top + folder;
      if (std::count(inside.begin(), inside.end(), '/') >= static_cast<std::ptrdiff_t>(max_levels)) continue;
      const auto names = root_.names(inside);
      if (!names) continue;  // somebody else's
      for (const std::string& name : *names) {
        if (is_of_others(name) || ++looked_at > most_looked_at) continue;
        const std::string path = joined(inside, name);
        const auto now = root_.look(path);
        if (!now) continue;
        if (now->is == Standing::Is::folder) folders.push_back(joined(folder, name));
        if (now->is != Standing::Is::file || now->size == 0 || now->ctime_ns < query_.elsewhere_since_ns) continue;
        bytes += now->size;
        found.push_back({.path = path, .mode = now->mode, .size = now->size, .mtime_ns = now->mtime_ns});
      }
    }
  }
  if (found.empty()) {
    root_.remove_graft(top);
    return {};
  }
  if (found.size() > elsewhere_most_files || bytes > elsewhere_most_bytes) {
    for (const Entry& entry : found)
      left_out_.add(fmt::format("{} was written outside the workdir, with {} files in all",
                                printable(entry.path.substr(top.size())), found.size()));
    root_.remove_graft(top);
    return {};
  }
  tree_.grafts[top] = "/";
  for (Entry& entry : found) {
    if (!is_readable(entry.path)) continue;
    for (auto up = split_last(entry.path).first; !up.empty(); up = split_last(up).first) {
      if (!selected_.emplace(up).second) break;
      tree_.entries.push_back({.path = std::string(up), .type = Type::folder, .mode = 0755});
    }
    tree_.entries.push_back(std::move(entry));
  }
  return {};
}

void Collector::finish() {
  std::set<std::string, std::less<>> needed;
  for (const Entry& entry : tree_.entries) {
    for (std::string_view up = split_last(entry.path).first; !up.empty(); up = split_last(up).first) {
      if (!needed.emplace(up).second) break;
    }
  }
  for (Entry& folder : passing_) {
    if (needed.contains(folder.path)) tree_.entries.push_back(std::move(folder));
  }
  sort_by_path(tree_.entries);
  for (const Entry& entry : tree_.entries) {
    tree_.files += entry.type == Type::file && !entry.unsettled ? 1 : 0;
    tree_.bytes += entry.size;
  }
  skipped_.move_to(tree_.skipped);
  left_out_.move_to(tree_.left_out);
}

std::vector<std::string> usual_elsewhere(const std::string& home, const std::string& run_dir, bool is_own) {
  if (is_own) return {run_dir + "/scratch"};
  std::vector<std::string> places = {home, run_dir + "/scratch", "/mnt/ferry-scratch", "/opt/dlami/nvme/ferry"};
  // A rehearsal without namespaces shares these with everything else on the laptop.
  if (home.find("/rehearsal/instances/") == std::string::npos) places.insert(places.end(), {"/tmp", "/var/tmp"});
  return places;
}

bool is_made_by_tools(std::string_view path) {
  static const std::set<std::string, std::less<>> folders = {
      "__pycache__", ".git", ".venv", "venv", "node_modules", ".cache", ".pytest_cache", ".ipynb_checkpoints"};
  const auto parts = split(path, '/');
  return std::any_of(parts.begin(), parts.end(), [](const auto& part) { return folders.contains(part); });
}

Result<Tree> collect_outputs(const os::Path& root, const OutputsQuery& query) {
  TRY_SET(globs, "", Globs::parse(query.globs));
  TRY_SET(opened, "", Root::open(root));
  char* real = ::realpath(root.c_str(), nullptr);
  std::string real_root = real != nullptr ? real : root.string();
  std::free(real);
  return Collector(std::move(opened), std::move(real_root), std::move(globs), query).run();
}

}  // namespace ferry::sync
