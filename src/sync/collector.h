#pragma once
/// \file
/// Collects outputs (sync/outputs.h). Internal to this room.

#include <sys/stat.h>

#include <optional>
#include <set>

#include "base/text.h"
#include "sync/globs.h"
#include "sync/manifest.h"
#include "sync/outputs.h"
#include "sync/root.h"
#include "sync/state.h"

namespace ferry::sync {

inline constexpr std::size_t most_lines = 10;  // of a kind

inline std::string joined(std::string_view folder, std::string_view name) {
  std::string path;
  path.reserve(folder.size() + 1 + name.size());
  path = folder;
  if (!path.empty() && !name.empty()) path += '/';
  return path += name;
}

inline bool is_below(std::string_view path, std::string_view folder) {
  if (folder == "/" || path == folder) return true;
  return path.size() > folder.size() && path.starts_with(folder) && path[folder.size()] == '/';
}

/// Where the machine keeps itself: nothing there is a training's work, whatever a link says.
bool is_the_systems(std::string_view path);

/// `target` as seen from `folder`, both relative to the same root: "a/b", "a/c/d" → "../c/d".
std::string relative(std::string_view folder, std::string_view target);

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
    if (count_ > most_lines) all.push_back("and " + std::to_string(count_ - most_lines) + " more " + rest_);
  }

 private:
  std::string rest_;
  std::size_t count_ = 0;
  std::vector<std::string> lines_;
};

/// One look at a machine's files; used once.
class Collector {
 public:
  Collector(Root root, std::string real_root, Globs globs, const OutputsQuery& query)
      : root_(std::move(root)),
        globs_(std::move(globs)),
        query_(query),
        all_made_(query.globs.empty()),
        sent_(State::load(query.sent)) {
    bases_.push_back({std::move(real_root), ""});
    root_.may_open_up(query.open_up);
  }
  Result<Tree> run();

 private:
  struct Base {
    std::string real, path;  ///< a folder's true place, and where it is in the tree
  };
  Status walk(const std::string& top);
  Status visit(std::string path, std::vector<std::string>& folders);
  Status add(Entry entry);

  /// In a folder that a link brought: whether it was there before the run.
  bool is_older(const Standing& found, std::string_view path);
  bool is_settled(std::int64_t mtime_ns, std::int64_t ctime_ns, std::uint64_t inode);
  bool is_as_sent(const std::string& path, const Standing& now);
  bool is_readable(const std::string& path);
  void note_unreadable(std::string_view path, const Error& why);
  void keep_link(const std::string& path, std::string target, const std::string& why);

  /// Whether a path of the tree is there by itself, not through a link that was followed.
  bool is_in_root(std::string_view path) const;

  /// The true place of a path of the tree.
  std::string real_place(std::string_view path) const;
  Status settle_link(const std::string& path);
  static std::string resolved(const Root::Place& at);

  /// Where in the tree a true place comes home, if it does.
  std::optional<std::string> place_in_tree(const std::string& real) const;
  const char* why_not_followed(const struct stat& info, const std::string& real, const std::string& here) const;
  static std::int64_t changed_ns(const struct stat& info);

  /// Puts what the link points to in its place.
  Status follow(const std::string& path, const std::string& target, const std::string& real, const struct stat& info,
                Globs::Reach reach);
  Status look_elsewhere();

  /// Adds the folders on the way to what was chosen, and counts.
  void finish();

  Root root_;
  Globs globs_;
  const OutputsQuery& query_;
  const bool all_made_;
  const State sent_;
  Tree tree_;
  std::vector<Base> bases_;
  std::vector<Entry> passing_;      ///< folders on the way to what may be chosen
  std::vector<std::string> links_;  ///< to be settled, once it is known what comes home by itself
  std::set<std::string, std::less<>> selected_;
  bool knows_files_ = false;  ///< `selected_` has the files, too: only for links they are looked for
  std::string grafted_;       ///< the link whose folder is being walked; empty: the tree itself
  std::vector<std::string> older_;
  std::optional<std::set<std::uint64_t>> written_;  ///< inodes that are open for writing; looked up once
  std::string buffer_;
  Lines skipped_{"of this kind"}, left_out_{"that cannot be brought"};
};

}  // namespace ferry::sync
