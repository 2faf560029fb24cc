#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/text.h"
#include "sync/globs.h"
#include "sync/ignore.h"
#include "sync/manifest.h"
#include "sync/root.h"
#include "sync/sync.h"

namespace ferry::sync {

tl::unexpected<Error> too_deep(std::string_view folder) {
  return fail(Kind::bad_input, fmt::format("more than {} folders within folders", max_levels),
              printable(folder.substr(0, 200)) + "…", "remove them, or put them into an archive");
}

namespace {

constexpr std::size_t max_ignore_file = std::size_t{4} << 20;

std::string below(std::string_view folder, std::string_view name) {
  std::string path(folder);
  if (!path.empty()) path += '/';
  return path += name;
}

/// Whether a link at `path` points to something outside the root, judged by its text alone.
bool leads_outside(std::string_view path, std::string_view target) {
  if (target.starts_with('/')) return true;
  auto depth = std::count(path.begin(), path.end(), '/');
  for (const std::string& part : split(target, '/')) {
    if (part == "..")
      --depth;
    else if (!part.empty() && part != ".")
      ++depth;
    if (depth < 0) return true;
  }
  return false;
}

class Walk {
 public:
  Walk(Root root, Globs globs, const Selection& selection)
      : root_(std::move(root)),
        globs_(std::move(globs)),
        rules_(selection.ignore_rules),
        chosen_(!selection.globs.empty()) {}

  Result<Tree> run() {
    std::vector<std::string> folders{""};
    while (!folders.empty()) {
      const std::string folder = std::move(folders.back());
      folders.pop_back();
      if (std::count(folder.begin(), folder.end(), '/') >= static_cast<std::ptrdiff_t>(max_levels))
        return too_deep(folder);
      auto names = root_.names(folder);
      if (!names) {
        if (folder.empty()) return fail("", std::move(names).error());
        skip(folder, names.error().what);
        unreadable_.insert(folder);
        continue;
      }
      if (rules_) read_rules(folder, *names);
      const std::size_t first = folders.size();
      for (const std::string& name : *names) visit(below(folder, name), name, folders);
      std::reverse(folders.begin() + static_cast<std::ptrdiff_t>(first), folders.end());
    }
    finish();
    return std::move(tree_);
  }

 private:
  void skip(std::string_view path, std::string_view why) {
    tree_.skipped.push_back("skipped " + printable(path) + ": " + std::string(why));
  }

  void read_rules(const std::string& folder, const std::vector<std::string>& names) {
    ignore_.enter(folder);
    for (const char* name : {".gitignore", ".ferryignore"}) {
      if (!std::binary_search(names.begin(), names.end(), name)) continue;
      const auto file = root_.open_file(below(folder, name));
      if (!file) continue;  // a link or folder of that name holds no rules
      auto text = os::read_to_end(file->get(), max_ignore_file);
      if (text) {
        ignore_.add(IgnoreFile(folder, *text));
      } else {
        tree_.skipped.push_back("rules not read, " + printable(below(folder, name)) + ": " +
                                text.error().what);
      }
    }
  }

  void visit(std::string path, const std::string& name, std::vector<std::string>& folders) {
    if (is_temp(path) || (rules_ && name == ".git")) return;
    const auto found = root_.look(path);
    if (!found) {
      if (found.error().kind != Kind::not_found) skip(path, found.error().what);
      return;
    }
    const bool is_folder = found->is == Standing::Is::folder;
    if (rules_ && ignore_.ignored(path, is_folder)) return;
    const Globs::Reach reach = globs_.reach(path, is_folder);
    if (reach == Globs::Reach::outside) return;
    Entry entry{.path = std::move(path), .mode = found->mode, .mtime_ns = found->mtime_ns};
    if (is_folder) {
      entry.type = Type::folder;
      folders.push_back(entry.path);
      (reach == Globs::Reach::inside ? tree_.entries : passing_).push_back(std::move(entry));
    } else if (found->is == Standing::Is::file) {
      entry.size = found->size;
      tree_.entries.push_back(std::move(entry));
    } else if (found->is == Standing::Is::link) {
      add_link(std::move(entry));
    } else {
      skip(entry.path, "neither file, folder nor link");
    }
  }

  void add_link(Entry entry) {
    auto target = root_.read_link(entry.path);
    if (!target) return skip(entry.path, target.error().what);
    entry.type = Type::link;
    entry.target = *std::move(target);
    if (chosen_ && leads_outside(entry.path, entry.target)) {
      tree_.skipped.push_back("only the link itself is copied, not what it points to: " +
                              printable(entry.path) + " -> " + printable(entry.target));
    }
    tree_.entries.push_back(std::move(entry));
  }

  /// Adds the folders on the way to what was chosen, leaves out those that cannot be read, and counts.
  void finish() {
    const auto by_path = [](const Entry& a, const Entry& b) { return a.path < b.path; };
    std::set<std::string, std::less<>> needed;
    for (const Entry& entry : tree_.entries) {
      for (std::string_view up = split_last(entry.path).first; !up.empty(); up = split_last(up).first) {
        if (!needed.emplace(up).second) break;
      }
    }
    for (Entry& folder : passing_) {
      if (needed.contains(folder.path)) tree_.entries.push_back(std::move(folder));
    }
    std::erase_if(tree_.entries, [&](const Entry& entry) { return unreadable_.contains(entry.path); });
    std::sort(tree_.entries.begin(), tree_.entries.end(), by_path);
    for (const Entry& entry : tree_.entries) {
      tree_.files += entry.type == Type::file ? 1 : 0;
      tree_.bytes += entry.size;
    }
    tree_.unmatched = globs_.unmatched();
  }

  Root root_;
  Globs globs_;
  bool rules_, chosen_;
  IgnoreStack ignore_;
  Tree tree_;
  std::vector<Entry> passing_;  ///< folders on the way to what a glob may choose
  std::set<std::string, std::less<>> unreadable_;
};

}  // namespace

Result<Tree> scan(const os::Path& root, const Selection& selection) {
  TRY_SET(globs, "", Globs::parse(selection.globs));
  TRY_SET(opened, "", Root::open(root));
  return Walk(std::move(opened), std::move(globs), selection).run();
}

}  // namespace ferry::sync
