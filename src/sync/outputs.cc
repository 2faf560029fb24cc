#include "sync/outputs.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <set>

#include "base/hash.h"
#include "base/text.h"
#include "sync/content.h"
#include "sync/globs.h"
#include "sync/manifest.h"
#include "sync/root.h"
#include "sync/state.h"

namespace ferry::sync {

namespace {

constexpr std::size_t most_lines = 10;  // of a kind
constexpr const char* holds_itself = "that folder holds the link itself";
constexpr std::size_t most_looked_at = 300'000;  // files outside the tree

std::string joined(std::string_view folder, std::string_view name) {
  std::string path(folder);
  if (!path.empty() && !name.empty()) path += '/';
  return path += name;
}

bool is_below(std::string_view path, std::string_view folder) {
  if (folder == "/" || path == folder) return true;
  return path.size() > folder.size() && path.starts_with(folder) && path[folder.size()] == '/';
}

/// Where the machine keeps itself: nothing there is a training's work, whatever a link says.
bool is_the_systems(std::string_view path) {
  if (is_below(path, "/dev/shm")) return false;
  static constexpr std::string_view places[] = {"/etc",  "/proc", "/dev",        "/sys",   "/usr",
                                                "/bin",  "/sbin", "/lib",        "/lib32", "/lib64",
                                                "/boot", "/snap", "/run/secrets"};
  return path == "/" ||
         std::any_of(std::begin(places), std::end(places), [&](auto place) { return is_below(path, place); });
}

/// `target` as seen from `folder`, both relative to the same root: "a/b", "a/c/d" → "../c/d".
std::string relative(std::string_view folder, std::string_view target) {
  auto from = folder.empty() ? std::vector<std::string>{} : split(folder, '/');
  auto to = target.empty() ? std::vector<std::string>{} : split(target, '/');
  std::size_t same = 0;
  while (same < from.size() && same < to.size() && from[same] == to[same]) ++same;
  std::string path;
  for (std::size_t i = same; i < from.size(); ++i) path = joined(path, "..");
  for (std::size_t i = same; i < to.size(); ++i) path = joined(path, to[i]);
  return path.empty() ? "." : path;
}

/// Where the text of a link in `folder` leads, by its words alone; nothing if out of the tree.
std::optional<std::string> by_words(std::string_view folder, std::string_view target) {
  if (target.starts_with('/')) return std::nullopt;
  auto parts = folder.empty() ? std::vector<std::string>{} : split(folder, '/');
  for (auto& part : split(target, '/')) {
    if (part.empty() || part == ".") continue;
    if (part != "..") {
      parts.push_back(std::move(part));
    } else if (parts.empty()) {
      return std::nullopt;
    } else {
      parts.pop_back();
    }
  }
  return join(parts, "/");
}

/// Other programs' business in folders that everybody writes to.
bool is_of_others(std::string_view name) {
  static constexpr std::string_view starts[] = {
      ".",    "pip-",           "ssh-",        "tmux-",      "systemd-private-",
      "npm-", "torchinductor_", "hsperfdata_", "nvidia-mps", "snap-private-tmp"};
  static constexpr std::string_view names[] = {"ferry", "snap", "miniconda3", "anaconda3", "miniforge3"};
  return is_made_by_tools(name) || std::find(std::begin(names), std::end(names), name) != std::end(names) ||
         std::any_of(std::begin(starts), std::end(starts),
                     [&](auto start) { return name.starts_with(start); });
}

/// Lines of which only the first few are told.
class Lines {
 public:
  explicit Lines(std::string rest) : rest_(std::move(rest)) {}
  void add(std::string line) {
    if (++count_ <= most_lines) lines_.push_back(std::move(line));
  }
  bool empty() const { return count_ == 0; }
  void move_to(std::vector<std::string>& all) {
    for (auto& line : lines_) all.push_back(std::move(line));
    if (count_ > most_lines) all.push_back(fmt::format("and {} more {}", count_ - most_lines, rest_));
  }

 private:
  std::string rest_;
  std::size_t count_ = 0;
  std::vector<std::string> lines_;
};

class Collector {
 public:
  Collector(Root root, std::string real_root, Globs globs, const OutputsWish& wish)
      : root_(std::move(root)),
        globs_(std::move(globs)),
        wish_(wish),
        all_made_(wish.globs.empty()),
        sent_(State::load(wish.sent)) {
    bases_.push_back({std::move(real_root), ""});
    root_.may_open_up(wish.open_up);
  }

  Result<Tree> run() {
    TRY("", walk(""));
    // A link that is followed may bring others.
    for (std::size_t i = 0; i < links_.size(); ++i) {
      const std::string path = links_[i];
      TRY("", settle_link(path));
    }
    const bool made = std::any_of(tree_.entries.begin(), tree_.entries.end(), [](const Entry& entry) {
      return entry.type == Type::file && !entry.as_sent;
    });
    if (!made && !wish_.elsewhere.empty()) TRY("", look_elsewhere());
    finish();
    return std::move(tree_);
  }

 private:
  struct Base {
    std::string real, path;  ///< a folder's true place, and where it is in the tree
  };

  Status walk(const std::string& top) {
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

  Status visit(std::string path, std::vector<std::string>& folders) {
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
      entry.as_sent = mine && sent_.find(entry.path) != nullptr;
      if (reach == Globs::Reach::passing || (all_made_ && entry.as_sent)) {
        passing_.push_back(std::move(entry));
        return {};
      }
    } else {
      if (is_older(*found, entry.path)) return {};
      entry.size = found->size;
      entry.as_sent = mine && is_as_sent(entry.path, *found);
      if (all_made_ && entry.as_sent) return {};
      if (!is_readable(entry.path)) return {};
    }
    return add(std::move(entry));
  }

  Status add(Entry entry) {
    if (tree_.entries.size() >= ReceiveOptions{}.most_entries)
      return fail(Kind::bad_input, fmt::format("there are more than {} files", tree_.entries.size()), {},
                  "put them into an archive there");
    selected_.insert(entry.path);
    // Below a folder that went over, what was made leads to it.
    if (all_made_) {
      for (auto up = split_last(entry.path).first; !up.empty(); up = split_last(up).first) {
        if (!selected_.emplace(up).second) break;
      }
    }
    tree_.entries.push_back(std::move(entry));
    return {};
  }

  /// In a folder that a link brought: whether it was there before the run.
  bool is_older(const Standing& found, std::string_view path) {
    if (grafted_.empty() || found.ctime_ns >= wish_.since_ns) return false;
    older_.push_back(std::string(path));
    return true;
  }

  bool is_as_sent(const std::string& path, const Standing& now) {
    const Record* before = sent_.find(path);
    if (before == nullptr || before->type != Type::file || before->size != now.size) return false;
    if (before->ctime_ns != 0 && before->ctime_ns != now.ctime_ns) return false;
    if (sent_.hash_of(path, now) != nullptr) return true;
    const auto hashed = hash_file(root_, path, buffer_);
    return hashed && hashed->sha256 == before->sha256;
  }

  bool is_readable(const std::string& path) {
    const auto at = root_.place(path);
    if (!at) return true;  // it vanished, which the sender notices
    if (::faccessat(at->folder, at->name.c_str(), R_OK, AT_EACCESS) == 0 || errno == ENOENT) return true;
    const int code = errno;
    if (wish_.open_up) {
      const auto now = root_.look(path);
      if (now && set_mode(at->folder, at->name, now->mode | 0400) &&
          ::faccessat(at->folder, at->name.c_str(), R_OK, AT_EACCESS) == 0)
        return true;
    }
    const auto why = fail_errno("read it", code);
    note_unreadable(path, why.value());
    return false;
  }

  void note_unreadable(std::string_view path, const Error& why) {
    left_out_.add(printable(path) + ": " + why.what);
  }

  void keep_link(const std::string& path, std::string target, const std::string& why) {
    Entry entry{.path = path, .type = Type::link, .mode = 0777};
    const auto text = root_.read_link(path);
    if (const Record* before = text && is_in_root(path) ? sent_.find(path) : nullptr)
      entry.as_sent = before->type == Type::link && before->sha256 == sha256(*text);
    if (all_made_ && entry.as_sent) {
      selected_.erase(path);
      return;
    }
    if (const auto marks = root_.look(path)) entry.mtime_ns = marks->mtime_ns;
    if (!why.empty())
      skipped_.add(fmt::format("only the link comes home, not what it points to: {} -> {}: {}",
                               printable(path), printable(target), why));
    entry.target = std::move(target);
    tree_.entries.push_back(std::move(entry));
  }

  /// Whether a path of the tree is there by itself, not through a link that was followed.
  bool is_in_root(std::string_view path) const {
    return std::none_of(tree_.grafts.begin(), tree_.grafts.end(),
                        [&](const auto& graft) { return is_below(path, graft.first); });
  }

  /// The true place of a path of the tree.
  std::string real_place(std::string_view path) const {
    const Base* best = &bases_.front();
    for (const Base& base : bases_) {
      if (base.path.size() > best->path.size() && is_below(path, base.path)) best = &base;
    }
    const auto rest = best->path.empty() ? path : path.substr(std::min(path.size(), best->path.size() + 1));
    return best->real == "/" ? "/" + std::string(rest) : joined(best->real, rest);
  }

  Status settle_link(const std::string& path) {
    auto read = root_.read_link(path);
    if (!read) return {};  // gone meanwhile
    std::string target = *std::move(read);
    const auto folder = split_last(path).first;
    const std::string here = real_place(path);
    const bool any = globs_.reach(path, true) == Globs::Reach::inside;
    // By descriptor: the place may be longer than a path may be.
    const auto at = root_.place(path);
    if (!at) return {};
    struct stat info;
    const bool stands = ::fstatat(at->folder, at->name.c_str(), &info, 0) == 0;
    const int code = stands ? 0 : errno;
    const std::string real = stands ? resolved(*at) : std::string();
    if (!stands || real.empty()) {
      if (code == EACCES && !is_the_systems(target)) {
        note_unreadable(path, fail_errno("follow the link", code).value());
      } else if (any || code == ELOOP) {
        keep_link(path, target,
                  code == ELOOP    ? "it leads round in a circle"
                  : code == ENOENT ? "that does not exist"
                                   : "it cannot be followed");
      }
      return {};
    }
    const bool is_folder = S_ISDIR(info.st_mode);
    const auto reach = globs_.reach(path, is_folder);
    if (reach == Globs::Reach::outside) return {};
    if (reach == Globs::Reach::inside) {
      if (const auto words = by_words(folder, target); words && selected_.contains(*words)) {
        keep_link(path, target, is_below(path, *words) ? holds_itself : "");
        return {};
      }
      if (const auto home = place_in_tree(real)) {
        keep_link(path, relative(folder, *home), is_below(path, *home) ? holds_itself : "");
        return {};
      }
    }
    if (const char* why = why_not_followed(info, real, here)) {
      if (reach == Globs::Reach::inside) keep_link(path, target, why);
      return {};
    }
    return follow(path, target, real, info, reach);
  }

  static std::string resolved(const Root::Place& at) {
    const os::Fd fd(::openat(at.folder, at.name.c_str(), O_PATH | O_CLOEXEC));
    std::string real(PATH_MAX, '\0');
    const auto link = "/proc/self/fd/" + std::to_string(fd.get());
    const auto got = fd ? ::readlink(link.c_str(), real.data(), real.size()) : -1;
    if (got <= 0 || real[0] != '/') return {};
    real.resize(static_cast<std::size_t>(got));
    return real;
  }

  /// Where in the tree a true place comes home, if it does.
  std::optional<std::string> place_in_tree(const std::string& real) const {
    for (const Base& base : bases_) {
      if (!is_below(real, base.real)) continue;
      const auto rest =
          base.real == "/" ? real.substr(1) : real.substr(std::min(real.size(), base.real.size() + 1));
      auto path = joined(base.path, rest);
      if (selected_.contains(path)) return path;
    }
    return std::nullopt;
  }

  const char* why_not_followed(const struct stat& info, const std::string& real,
                               const std::string& here) const {
    if (is_the_systems(real)) return "that is the system's";
    if (!S_ISDIR(info.st_mode) && !S_ISREG(info.st_mode)) return "that is neither a file nor a folder";
    if (S_ISDIR(info.st_mode) && is_below(here, real)) return holds_itself;
    if (S_ISREG(info.st_mode) && changed_ns(info) < wish_.since_ns) return "that was there before the run";
    return nullptr;
  }

  static std::int64_t changed_ns(const struct stat& info) {
    return std::int64_t{info.st_ctim.tv_sec} * 1'000'000'000 + info.st_ctim.tv_nsec;
  }

  /// Puts what the link points to in its place.
  Status follow(const std::string& path, const std::string& target, const std::string& real,
                const struct stat& info, Globs::Reach reach) {
    root_.graft(path, real);
    tree_.grafts[path] = real;
    Entry entry{.path = path,
                .type = S_ISDIR(info.st_mode) ? Type::folder : Type::file,
                .mode = info.st_mode & 07777};
    entry.mtime_ns = std::int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec;
    if (entry.type == Type::file) {
      entry.size = static_cast<std::uint64_t>(info.st_size);
      return is_readable(path) ? add(std::move(entry)) : Status();
    }
    const std::size_t entries = tree_.entries.size(), links = links_.size(), passing = passing_.size();
    const bool nothing_left = left_out_.empty();
    bases_.push_back({real, path});
    grafted_ = path;
    if (reach == Globs::Reach::inside) {
      TRY("", add(std::move(entry)));
    } else {
      passing_.push_back(std::move(entry));
    }
    const auto walked = walk(path);
    grafted_.clear();
    TRY("", walked);
    const bool brought =
        links_.size() > links ||
        std::any_of(tree_.entries.begin() + static_cast<std::ptrdiff_t>(entries), tree_.entries.end(),
                    [](const Entry& one) { return one.type == Type::file; });
    if (!brought && nothing_left == left_out_.empty() && changed_ns(info) < wish_.since_ns) {
      tree_.entries.resize(entries);
      passing_.resize(passing);
      bases_.pop_back();
      tree_.grafts.erase(path);
      root_.remove_graft(path);
      older_.clear();
      keep_link(path, target, "nothing in it is of this run");
      return {};
    }
    if (!older_.empty()) {
      skipped_.add(
          fmt::format("not brought with {}: {} of {} that {} there before the run, as {}", printable(path),
                      older_.size() == 1 ? "1 file" : std::to_string(older_.size()) + " files",
                      printable(real), older_.size() == 1 ? "was" : "were", printable(older_.front())));
      older_.clear();
    }
    return {};
  }

  Status look_elsewhere() {
    std::string top(elsewhere_folder);
    while (root_.look(top)) top += "-";
    root_.graft(top, "/");
    std::vector<Entry> found;
    std::uint64_t bytes = 0;
    std::set<std::string> done;
    std::size_t looked_at = 0;
    for (const std::string& place : wish_.elsewhere) {
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
        if (std::count(inside.begin(), inside.end(), '/') >= static_cast<std::ptrdiff_t>(max_levels))
          continue;
        const auto names = root_.names(inside);
        if (!names) continue;  // somebody else's
        for (const std::string& name : *names) {
          if (is_of_others(name) || ++looked_at > most_looked_at) continue;
          const std::string path = joined(inside, name);
          const auto now = root_.look(path);
          if (!now) continue;
          if (now->is == Standing::Is::folder) folders.push_back(joined(folder, name));
          if (now->is != Standing::Is::file || now->size == 0 || now->ctime_ns < wish_.elsewhere_since_ns)
            continue;
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

  /// Adds the folders on the way to what was chosen, and counts.
  void finish() {
    std::set<std::string, std::less<>> needed;
    for (const Entry& entry : tree_.entries) {
      for (std::string_view up = split_last(entry.path).first; !up.empty(); up = split_last(up).first) {
        if (!needed.emplace(up).second) break;
      }
    }
    for (Entry& folder : passing_) {
      if (needed.contains(folder.path)) tree_.entries.push_back(std::move(folder));
    }
    std::sort(tree_.entries.begin(), tree_.entries.end(),
              [](const Entry& a, const Entry& b) { return a.path < b.path; });
    for (const Entry& entry : tree_.entries) {
      tree_.files += entry.type == Type::file ? 1 : 0;
      tree_.bytes += entry.size;
    }
    skipped_.move_to(tree_.skipped);
    left_out_.move_to(tree_.left_out);
  }

  Root root_;
  Globs globs_;
  const OutputsWish& wish_;
  const bool all_made_;
  const State sent_;
  Tree tree_;
  std::vector<Base> bases_;
  std::vector<Entry> passing_;      ///< folders on the way to what may be chosen
  std::vector<std::string> links_;  ///< to be settled, once it is known what comes home by itself
  std::set<std::string, std::less<>> selected_;
  std::string grafted_;  ///< the link whose folder is being walked; empty: the tree itself
  std::vector<std::string> older_;
  std::string buffer_;
  Lines skipped_{"of this kind"}, left_out_{"that cannot be brought"};
};

}  // namespace

bool is_made_by_tools(std::string_view path) {
  static const std::set<std::string, std::less<>> folders = {
      "__pycache__",  ".git",   ".venv",         "venv",
      "node_modules", ".cache", ".pytest_cache", ".ipynb_checkpoints"};
  const auto parts = split(path, '/');
  return std::any_of(parts.begin(), parts.end(), [](const auto& part) { return folders.contains(part); });
}

Result<Tree> collect_outputs(const os::Path& root, const OutputsWish& wish) {
  TRY_SET(globs, "", Globs::parse(wish.globs));
  TRY_SET(opened, "", Root::open(root));
  char* real = ::realpath(root.c_str(), nullptr);
  std::string real_root = real != nullptr ? real : root.string();
  std::free(real);
  return Collector(std::move(opened), std::move(real_root), std::move(globs), wish).run();
}

}  // namespace ferry::sync
