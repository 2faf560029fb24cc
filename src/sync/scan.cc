#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <set>

#include "base/text.h"
#include "sync/collector.h"
#include "sync/globs.h"
#include "sync/ignore.h"
#include "sync/lister.h"
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
        lister_(path),
        path_(path.string()),
        globs_(std::move(globs)),
        rules_(selection.ignore_rules),
        follow_(selection.follow),
        chosen_(!selection.globs.empty()) {}

  Result<Tree> run() {
    if (rules_) real_root_ = real_path(path_);
    TRY("", enter({}));
    while (!open_.empty()) {
      Open& folder = open_.back();
      const bool has_next = folder.next < folder.found.size();
      if (!folder.inner.empty() &&
          (!has_next || compare_inside(*folder.inner.begin(), folder.found[folder.next].entry.path) < 0)) {
        TRY("", enter(folder.inner.extract(folder.inner.begin()).value()));
      } else if (has_next) {
        Found& found = folder.found[folder.next++];
        if (found.is_entered) folder.inner.insert(found.entry.path);
        if (found.is_entered && found.is_passing)
          passing_.push_back(std::move(found.entry));
        else
          list(std::move(found.entry));
      } else {
        open_.pop_back();
      }
    }
    finish();
    return std::move(tree_);
  }

 private:
  /// What a look at a name found to belong to the tree.
  struct Found {
    Entry entry;
    bool is_entered = false;  ///< a folder to be walked
    bool is_passing = false;  ///< which is listed only if something in it is
  };
  /// Of folders, as what lies in them: "a-b" before "a", for "a-b/x" comes before "a/x".
  struct InsideOrder {
    bool operator()(std::string_view a, std::string_view b) const {
      const auto [in_a, in_b] = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
      if (in_a == a.end() && in_b == b.end()) return false;
      return static_cast<unsigned char>(in_a == a.end() ? '/' : *in_a) <
             static_cast<unsigned char>(in_b == b.end() ? '/' : *in_b);
    }
  };
  /// A folder on the way to the one that is walked.
  struct Open {
    std::vector<Found> found;  ///< in the order of names
    std::size_t next = 0;
    std::set<std::string, InsideOrder> inner;  ///< of those before `next`, not walked yet
  };

  /// The paths of what lies in a folder, compared with a path that does not.
  static int compare_inside(std::string_view folder, std::string_view path) {
    const auto begin = path.substr(0, folder.size());
    if (const int order = folder.compare(begin); order != 0) return order;
    if (path.size() == folder.size()) return 1;
    return int{'/'} - int{static_cast<unsigned char>(path[folder.size()])};
  }

  /// Looks at all names of a folder.
  Status enter(const std::string& folder) {
    if (std::count(folder.begin(), folder.end(), '/') >= static_cast<std::ptrdiff_t>(max_levels))
      return too_deep(folder);
    const auto listing = graft_above(folder).empty() ? lister_.list(folder, root_) : root_.list(folder);
    if (!listing) {
      if (folder.empty()) return fail("", listing.error());
      skip(folder, listing.error().what);
      unreadable_.insert(folder);
      return {};
    }
    if (rules_) read_rules(folder, *listing);
    if (rules_) keys_ = KeySearch(*listing);
    Open& here = open_.emplace_back();
    // Where nothing can be entered, as in a folder of a million pictures, nothing waits either.
    const bool is_plain = std::ranges::all_of(listing->items, [](const auto& item) {
      return item.found.is != Standing::Is::folder && item.found.is != Standing::Is::link;
    });
    for (const auto& item : listing->items) {
      visit(folder, listing->name(item), item, here.found);
      if (!is_plain) continue;
      for (Found& found : here.found) list(std::move(found.entry));
      here.found.clear();
    }
    std::vector<std::string> folders;
    for (const Found& found : here.found) {
      if (found.is_entered && graft_above(found.entry.path).empty()) folders.push_back(found.entry.path);
    }
    lister_.wish(folders);
    return {};
  }

  void list(Entry entry) {
    tree_.files += entry.type == Type::file ? 1 : 0;
    tree_.bytes += entry.size;
    tree_.entries.push_back(std::move(entry));
  }

  void skip(std::string_view path, std::string_view why) {
    tree_.skipped.push_back("skipped " + printable(path) + ": " + std::string(why));
  }

  void note(Unsent::Why why, std::string_view path, bool is_folder, std::string by, std::string rule = {}) {
    if (tree_.unsent.size() < most_unsent)
      tree_.unsent.push_back({why, std::string(path), is_folder, std::move(by), std::move(rule)});
  }

  void read_rules(const std::string& folder, const Listing& listing) {
    ignore_.enter(folder);
    if (folder.empty() || listing.has(".git")) read_repository(folder);
    for (const char* name : {".gitignore", ".ferryignore"}) {
      if (!listing.has(name)) continue;
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
  bool leave_out(const std::string& path, std::string_view name, const Standing& found) {
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

  void visit(const std::string& folder, std::string_view name, const Listing::Item& item, std::vector<Found>& all) {
    if ((folder.empty() && is_temp(name)) || (rules_ && name == ".git")) return;
    auto path = joined(folder, name);
    if (item.error != 0) {
      if (item.error != ENOENT) skip(path, fail_errno("look at " + root_.shown(path), item.error).value().what);
      return;
    }
    if (rules_ && leave_out(path, name, item.found)) return;
    take(std::move(path), item.found, all);
  }

  void take(std::string path, const Standing& found, std::vector<Found>& all) {
    const bool is_folder = found.is == Standing::Is::folder;
    const Globs::Reach reach = globs_.reach(path, is_folder);
    if (reach == Globs::Reach::outside) return;
    Entry entry{.path = std::move(path), .mode = found.mode, .mtime_ns = found.mtime_ns};
    if (is_folder) {
      entry.type = Type::folder;
      const bool may_be_empty = reach == Globs::Reach::inside && !(rules_ && held_.contains(entry.path));
      all.push_back({std::move(entry), true, !may_be_empty});
    } else if (found.is == Standing::Is::file) {
      entry.size = found.size;
      all.push_back({std::move(entry)});
    } else if (found.is == Standing::Is::link) {
      add_link(std::move(entry), all);
    } else {
      special_.push_back(entry.path);
    }
  }

  void add_link(Entry entry, std::vector<Found>& all) {
    auto target = root_.read_link(entry.path);
    if (!target) return skip(entry.path, target.error().what);
    entry.type = Type::link;
    entry.target = *std::move(target);
    if (rules_ && goes_as_what_it_leads_to(entry)) {
      const auto found = root_.look(entry.path);
      if (!found) return skip(entry.path, found.error().what);
      const auto real = tree_.grafts[entry.path];
      if (!is_secret(entry.path, split_last(real).second, *found)) return take(std::move(entry.path), *found, all);
      tree_.grafts.erase(entry.path);
      return root_.remove_graft(entry.path);
    }
    if (chosen_ && leads_outside(entry.path, entry.target)) {
      tree_.skipped.push_back("only the link itself is copied, not what it points to: " + printable(entry.path) +
                              " -> " + printable(entry.target));
    }
    all.push_back({std::move(entry)});
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

  /// Adds the folders on the way to what was chosen, and leaves out those that cannot be read.
  void finish() {
    if (!passing_.empty()) {
      std::set<std::string, std::less<>> needed;
      for (const Entry& entry : tree_.entries) {
        for (std::string_view up = split_last(entry.path).first; !up.empty(); up = split_last(up).first) {
          if (!needed.emplace(up).second) break;
        }
      }
      for (Entry& folder : passing_) {
        if (needed.contains(folder.path)) tree_.entries.push_back(std::move(folder));
      }
      std::ranges::sort(tree_.entries, {}, &Entry::path);
    }
    if (!unreadable_.empty())
      std::erase_if(tree_.entries, [&](const Entry& entry) { return unreadable_.contains(entry.path); });
    tell_special();
    tree_.unmatched = globs_.unmatched();
  }

  using Paths = std::set<std::string, std::less<>>;
  Root root_;
  Lister lister_;
  std::string path_, real_root_;
  Globs globs_;
  bool rules_, follow_, chosen_;
  IgnoreStack ignore_;
  KeySearch keys_{{}};               ///< of the folder that is being walked
  Paths tracked_, tracked_folders_;  ///< which git's rules would leave out
  Paths held_;                       ///< folders that are walked only for what is tracked in them
  Paths insisted_;                   ///< folders of keys that go
  std::vector<std::string> special_;
  std::vector<Open> open_;
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
