#include <fmt/format.h>

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <set>

#include "base/text.h"
#include "sync/collector.h"
#include "sync/globs.h"
#include "sync/ignore.h"
#include "sync/manifest.h"
#include "sync/repository.h"
#include "sync/root.h"
#include "sync/secrets.h"
#include "sync/sync.h"

namespace ferry::sync {

tl::unexpected<Error> too_deep(std::string_view folder) {
  return fail(Kind::bad_input, fmt::format("more than {} folders within folders", max_levels),
              printable(folder.substr(0, 200)) + "…", "remove them, or put them into an archive");
}

namespace {

constexpr std::size_t max_ignore_file = std::size_t{4} << 20;
constexpr std::size_t most_unsent = 10'000, most_followed = 1'000, most_named = 5;

/// Where a path really is; empty if nowhere.
std::string real_path(const std::string& path) {
  char* real = ::realpath(path.c_str(), nullptr);
  std::string found = real != nullptr ? real : "";
  std::free(real);
  return found;
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
  Walk(Root root, const os::Path& path, Globs globs, const Selection& selection)
      : root_(std::move(root)),
        path_(path.string()),
        globs_(std::move(globs)),
        rules_(selection.ignore_rules),
        follow_(selection.follow),
        chosen_(!selection.globs.empty()) {}

  Result<Tree> run() {
    if (rules_) real_root_ = real_path(path_);
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
      if (rules_) keys_ = KeySearch(*names);
      const std::size_t first = folders.size();
      for (const std::string& name : *names) visit(joined(folder, name), name, folders);
      std::reverse(folders.begin() + static_cast<std::ptrdiff_t>(first), folders.end());
    }
    finish();
    return std::move(tree_);
  }

 private:
  void skip(std::string_view path, std::string_view why) {
    tree_.skipped.push_back("skipped " + printable(path) + ": " + std::string(why));
  }

  void note(Unsent::Why why, std::string_view path, bool is_folder, std::string by, std::string rule = {}) {
    if (tree_.unsent.size() < most_unsent)
      tree_.unsent.push_back({why, std::string(path), is_folder, std::move(by), std::move(rule)});
  }

  void read_rules(const std::string& folder, const std::vector<std::string>& names) {
    const auto has = [&](const char* name) { return std::binary_search(names.begin(), names.end(), name); };
    ignore_.enter(folder);
    if (folder.empty() || has(".git")) read_repository(folder);
    for (const char* name : {".gitignore", ".ferryignore"}) {
      if (!has(name)) continue;
      const auto shown = joined(folder, name);
      const auto file = root_.open_file(shown);
      if (!file) continue;  // a link or folder of that name holds no rules
      auto text = os::read_to_end(file->get(), max_ignore_file);
      if (text) {
        const auto of = name[1] == 'g' ? IgnoreFile::Of::git : IgnoreFile::Of::ferry;
        ignore_.add(IgnoreFile(ignore_.from_root(folder), *text, shown, of));
      } else {
        tree_.skipped.push_back("rules not read, " + printable(shown) + ": " + text.error().what);
      }
    }
  }

  /// What git has for a folder that lies in a repository (the root), or is one.
  void read_repository(const std::string& folder) {
    auto found = repository_of(place_of(folder));
    if (!found || (!folder.empty() && !found->above.empty())) return;
    if (!found->trouble.empty()) tree_.git_trouble = found->trouble;
    if (folder.empty()) {
      ignore_.begin_below(found->above);
      if (!read_rules_above(*found)) {
        ignore_.clear();
        ignore_.begin_below({});
      }
    } else {
      ignore_.begin_repository(folder);
      add_own_rules(*found, ignore_.from_root(folder));
    }
    for (const auto& path : found->tracked) {
      auto whole = joined(folder, path);
      for (auto up = split_last(whole).first; up.size() > folder.size(); up = split_last(up).first) {
        if (!tracked_folders_.emplace(up).second) break;
      }
      tracked_.insert(std::move(whole));
    }
  }

  void add_own_rules(const Repository& found, const std::string& base) {
    for (const auto& rules : found.rules) ignore_.add(IgnoreFile(base, rules.text, rules.name));
  }

  /// False if they leave out the root itself.
  bool read_rules_above(const Repository& found) {
    add_own_rules(found, "");
    if (found.above.empty()) return true;
    const auto parts = split(found.above, '/');
    IgnoreStack outer;
    for (const auto& rules : found.rules) outer.add(IgnoreFile("", rules.text, rules.name));
    std::string at, up;
    for (std::size_t i = 0; i < parts.size(); ++i) up += "../";
    for (const auto& part : parts) {
      const auto name = up + ".gitignore";
      if (const auto text = os::read_file(os::Path(path_) / name, max_ignore_file)) {
        outer.add(IgnoreFile(at, *text, name));
        ignore_.add(IgnoreFile(at, *text, name));
      }
      at = joined(at, part);
      if (outer.judge(at, true).ignored) return false;
      up.resize(up.size() - 3);
    }
    return true;
  }

  /// The path on this computer of what stands at `path` in the tree.
  std::string place_of(std::string_view path) const {
    for (auto at = path; !at.empty(); at = split_last(at).first) {
      if (const auto graft = tree_.grafts.find(at); graft != tree_.grafts.end())
        return graft->second + std::string(path.substr(at.size()));
    }
    return path.empty() ? path_ : path_ + "/" + std::string(path);
  }

  /// By git's rules, ferry's rules, and what holds keys.
  bool leave_out(const std::string& path, const std::string& name, const Standing& found) {
    const bool is_folder = found.is == Standing::Is::folder;
    const auto judged = ignore_.judge(path, is_folder);
    const bool by_git = !judged.file || judged.file->of() == IgnoreFile::Of::git;
    const auto parent = split_last(path).first;
    // Below a folder that git leaves out, only what it tracks goes, unless a .ferryignore says otherwise.
    const bool is_held = by_git && !held_.empty() && held_.contains(parent);
    bool out = judged.ignored;
    if (by_git && (out || is_held)) {
      out = is_folder ? !tracked_folders_.contains(path) : !tracked_.contains(path);
      if (!out && is_folder) held_.insert(path);
    }
    if (out) {
      if (judged.ignored)
        note(Unsent::Why::rule, path, is_folder, judged.file->name(), std::string(judged.line));
      else
        note(Unsent::Why::rule, path, is_folder, ".gitignore");
      return true;
    }
    return is_secret(path, name, found);
  }

  /// Notes it, too, unless somebody insists.
  bool is_secret(const std::string& path, std::string_view name, const Standing& found) {
    const bool is_folder = found.is == Standing::Is::folder;
    if (!insisted_.empty() && insisted_.contains(split_last(path).first)) {
      if (is_folder) insisted_.insert(path);
      return false;
    }
    auto secret = secret_by_name(name);
    if (secret.empty() && found.is == Standing::Is::file && keys_.opens(name, found.size, found.mode))
      secret = private_key_at(root_, path);
    if (secret.empty()) return false;
    if (ignore_.insisted(path, is_folder)) {
      if (is_folder) insisted_.insert(path);
      return false;
    }
    note(Unsent::Why::secret, path, is_folder, std::string(secret));
    return true;
  }

  void visit(std::string path, const std::string& name, std::vector<std::string>& folders) {
    if (is_temp(path) || (rules_ && name == ".git")) return;
    const auto found = root_.look(path);
    if (!found) {
      if (found.error().kind != Kind::not_found) skip(path, found.error().what);
      return;
    }
    if (rules_ && leave_out(path, name, *found)) return;
    take(std::move(path), *found, folders);
  }

  void take(std::string path, const Standing& found, std::vector<std::string>& folders) {
    const bool is_folder = found.is == Standing::Is::folder;
    const Globs::Reach reach = globs_.reach(path, is_folder);
    if (reach == Globs::Reach::outside) return;
    Entry entry{.path = std::move(path), .mode = found.mode, .mtime_ns = found.mtime_ns};
    if (is_folder) {
      entry.type = Type::folder;
      folders.push_back(entry.path);
      const bool may_be_empty = reach == Globs::Reach::inside && !(rules_ && held_.contains(entry.path));
      (may_be_empty ? tree_.entries : passing_).push_back(std::move(entry));
    } else if (found.is == Standing::Is::file) {
      entry.size = found.size;
      tree_.entries.push_back(std::move(entry));
    } else if (found.is == Standing::Is::link) {
      add_link(std::move(entry), folders);
    } else {
      special_.push_back(entry.path);
    }
  }

  void add_link(Entry entry, std::vector<std::string>& folders) {
    auto target = root_.read_link(entry.path);
    if (!target) return skip(entry.path, target.error().what);
    entry.type = Type::link;
    entry.target = *std::move(target);
    if (rules_ && goes_as_what_it_leads_to(entry)) {
      const auto found = root_.look(entry.path);
      if (!found) return skip(entry.path, found.error().what);
      const auto real = tree_.grafts[entry.path];
      if (!is_secret(entry.path, split_last(real).second, *found)) return take(std::move(entry.path), *found, folders);
      tree_.grafts.erase(entry.path);
      return root_.remove_graft(entry.path);
    }
    if (chosen_ && leads_outside(entry.path, entry.target)) {
      tree_.skipped.push_back("only the link itself is copied, not what it points to: " + printable(entry.path) +
                              " -> " + printable(entry.target));
    }
    tree_.entries.push_back(std::move(entry));
  }

  /// Makes a link that names a place in the tree by its full path lead there on the other machine, too.
  /// Notes one that leads out of the tree, or makes it a graft: true.
  bool goes_as_what_it_leads_to(Entry& entry) {
    const std::string place = place_of(entry.path);
    const auto graft = graft_above(entry.path);
    const auto inside = std::string_view(entry.path).substr(graft.empty() ? 0 : graft.size() + 1);
    if (!leads_outside(inside, entry.target)) return false;
    const auto real = real_path(place);
    if (real.empty() || is_the_systems(real) || is_made_by_tools(entry.path)) return false;
    if (is_below(real, real_root_) && graft.empty()) {
      const auto to = real == real_root_ ? std::string() : real.substr(real_root_.size() + 1);
      if (entry.target.str().starts_with('/')) entry.target = relative(split_last(entry.path).first, to);
      return false;
    }
    bool is_circle = is_below(real_root_, real);
    for (auto at = graft; !at.empty(); at = graft_above(split_last(at).first))
      is_circle = is_circle || is_below(tree_.grafts.find(at)->second, real);
    if (!follow_ || is_circle || tree_.grafts.size() >= most_followed) {
      note(Unsent::Why::link, entry.path, os::is_directory(real), entry.target.str());
      return false;
    }
    tree_.grafts[entry.path] = real;
    root_.graft(entry.path, real);
    return true;
  }

  /// The graft that `path` is, or lies below; empty: none.
  std::string_view graft_above(std::string_view path) const {
    if (tree_.grafts.empty()) return {};
    for (auto at = path; !at.empty(); at = split_last(at).first) {
      if (tree_.grafts.contains(at)) return at;
    }
    return {};
  }

  void tell_special() {
    if (special_.empty()) return;
    std::string names;
    for (std::size_t i = 0; i < std::min(special_.size(), most_named); ++i)
      names += (i ? ", " : "") + printable(special_[i]);
    if (special_.size() > most_named) names += ", …";
    tree_.skipped.push_back(special_.size() == 1
                                ? "skipped " + names + ": neither file, folder nor link"
                                : fmt::format("skipped {} sockets, pipes and devices: {}", special_.size(), names));
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
    tell_special();
    tree_.unmatched = globs_.unmatched();
  }

  using Paths = std::set<std::string, std::less<>>;
  Root root_;
  std::string path_, real_root_;
  Globs globs_;
  bool rules_, follow_, chosen_;
  IgnoreStack ignore_;
  KeySearch keys_{{}};               ///< of the folder that is being walked
  Paths tracked_, tracked_folders_;  ///< which git's rules would leave out
  Paths held_;                       ///< folders that are walked only for what is tracked in them
  Paths insisted_;                   ///< folders of keys that go
  std::vector<std::string> special_;
  Tree tree_;
  std::vector<Entry> passing_;  ///< folders on the way to what a glob may choose
  Paths unreadable_;
};

}  // namespace

Result<Tree> scan(const os::Path& root, const Selection& selection) {
  TRY_SET(globs, "", Globs::parse(selection.globs));
  TRY_SET(opened, "", Root::open(root));
  return Walk(std::move(opened), root, std::move(globs), selection).run();
}

}  // namespace ferry::sync
