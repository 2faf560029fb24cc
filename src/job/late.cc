#include "job/late.h"

#include <algorithm>
#include <set>

#include "base/text.h"
#include "sync/globs.h"

namespace ferry::job {

namespace {

/// True for `path` itself, and for what lies below it.
bool is_at(std::string_view place, std::string_view path) {
  return place.starts_with(path) && (place.size() == path.size() || place[path.size()] == '/');
}

class Needed {
 public:
  Needed(const std::vector<std::string>& paths, const sync::Tree& tree) : paths_(paths) {
    all_ = std::ranges::find(paths, ".") != paths.end();
    // Where a link leads is not asked.
    all_ = all_ || std::ranges::any_of(tree.entries, [&](const sync::Entry& entry) {
             return entry.type == sync::Type::link && std::ranges::any_of(paths_, [&](const std::string& path) {
                      return is_at(entry.path, path) || is_at(path, entry.path);
                    });
           });
  }
  bool all() const { return all_; }
  bool has(std::string_view place) const {
    return all_ || std::ranges::any_of(paths_, [&](const std::string& path) { return is_at(place, path); });
  }

 private:
  const std::vector<std::string>& paths_;
  bool all_ = false;
};

void count(sync::Tree& tree) {
  tree.files = tree.bytes = 0;
  for (const auto& entry : tree.entries) {
    tree.files += entry.type == sync::Type::file ? 1 : 0;
    tree.bytes += entry.size;
  }
}

void add_folders_above(std::string_view path, std::set<std::string_view>& folders) {
  for (auto slash = path.rfind('/'); slash != path.npos; slash = path.rfind('/')) {
    path = path.substr(0, slash);
    if (!folders.insert(path).second) return;
  }
}

}  // namespace

Result<Parts> split_late(sync::Tree tree, const std::vector<std::string>& globs,
                         const std::vector<std::string>& needed) {
  Parts parts{.early = std::move(tree), .late = {}};
  if (globs.empty()) return parts;
  TRY_SET(late, "", sync::Globs::parse(globs));
  const Needed before(needed, parts.early);
  if (before.all()) return parts;
  const auto is_late = [&](const sync::Entry& entry) {
    return entry.type == sync::Type::file && late.reach(entry.path, false) == sync::Globs::Reach::inside &&
           !before.has(entry.path);
  };
  std::vector<bool> chosen;
  std::set<std::string_view> folders;
  for (const auto& entry : parts.early.entries) {
    chosen.push_back(is_late(entry));
    if (chosen.back()) add_folders_above(entry.path, folders);
  }
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    const auto& entry = parts.early.entries[i];
    if (chosen[i] || (entry.type == sync::Type::folder && folders.contains(entry.path)))
      parts.late.entries.push_back(entry);
  }
  std::size_t i = 0;
  std::erase_if(parts.early.entries, [&](const sync::Entry&) { return chosen[i++]; });
  parts.late.grafts = parts.early.grafts;
  parts.late.beginnings = parts.early.beginnings;
  parts.late.revised = parts.early.revised;
  count(parts.early);
  count(parts.late);
  return parts;
}

std::vector<std::string> tell_late(const task::Task& task, const sync::Tree& tree,
                                   const std::vector<std::string>& needed) {
  std::vector<std::string> lines;
  auto late = sync::Globs::parse(task.late);
  if (task.late.empty() || !late) return lines;
  const Needed before(needed, tree);
  std::size_t held = 0;
  std::string first;
  for (const auto& entry : tree.entries) {
    const bool is_folder = entry.type == sync::Type::folder;
    if (late->reach(entry.path, is_folder) != sync::Globs::Reach::inside || entry.type != sync::Type::file) continue;
    if (before.has(entry.path) && held++ == 0) first = entry.path;
  }
  for (const auto& glob : late->unmatched())
    lines.push_back(fmt::format("late: nothing of what is sent matches {}", printable(glob)));
  if (held > 0 && before.all())
    lines.emplace_back("late: nothing is: the environment is made from the workdir itself, so all of it goes before");
  else if (held > 0)
    lines.push_back(fmt::format("late: {}{} before: the environment is made from that", printable(first),
                                held == 1 ? " goes" : fmt::format(" and {} more go", held - 1)));
  return lines;
}

}  // namespace ferry::job
