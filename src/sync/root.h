#pragma once
/// \file
/// A folder whose content is reached one component at a time by openat(2) without following any link:
/// whatever stands in the tree, nothing outside it is read or written. Paths may be longer than PATH_MAX.

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "os/fd.h"
#include "os/file.h"
#include "sync/sync.h"

namespace ferry::sync {

/// What stands at a path (the link itself, not what it points to).
struct Standing {
  enum class Is { file, folder, link, other } is = Is::other;
  std::uint32_t mode = 0;  ///< permission bits
  std::uint64_t size = 0, inode = 0;
  std::uint64_t allocated = 0;  ///< bytes on the disk: less than the size if there are holes
  std::int64_t mtime_ns = 0, ctime_ns = 0;
};

/// What stands in a folder, sorted by names.
struct Listing {
  struct Item {
    std::size_t begin = 0;
    std::uint32_t length = 0;
    int error = 0;  ///< errno, where it could not be looked at
    Standing found;
  };
  std::string names;  ///< one after the other, in any order
  std::vector<Item> items;
  std::string_view name(const Item& item) const { return std::string_view(names).substr(item.begin, item.length); }
  bool has(std::string_view name) const;
};

/// Use from one thread.
class Root {
 public:
  /// `grafts`: paths in the tree → absolute paths of what is read in their place (Tree::grafts).
  using Grafts = std::map<std::string, std::string, std::less<>>;
  static Result<Root> open(const os::Path& path, Grafts grafts = {});
  /// The same folder, for another thread.
  Result<Root> again() const;
  /// From now on `path` is what stands at `target`.
  void graft(const std::string& path, std::string target);
  void remove_graft(const std::string& path);

  int fd() const { return top_.get(); }
  /// What to call `path` in messages.
  std::string shown(std::string_view path) const;

  /// A folder's descriptor, valid until the next call. "" is the root. not_found if it is absent, or if it or
  /// a parent is no folder.
  Result<int> folder(std::string_view path);
  /// The folder that holds `path` (valid until the next call) and the last component.
  struct Place {
    int folder = -1;
    std::string name;
  };
  Result<Place> place(std::string_view path);
  /// not_found as for folder().
  Result<Standing> look(std::string_view path);
  /// For reading; not_found as for folder(), bad_input if it is not a regular file.
  Result<os::Fd> open_file(std::string_view path);
  Result<std::string> read_link(std::string_view path);
  /// Names in a folder, sorted, without "." and "..".
  Result<std::vector<std::string>> names(std::string_view path);
  /// The same, and what each is.
  Result<Listing> list(std::string_view path);

  /// Lets folder() give itself access (u+rwx) to folders of ours that lack it.
  void may_open_up(bool yes) { may_open_up_ = yes; }
  /// Drops kept descriptors; needed after a folder was removed or replaced.
  void forget() { chain_.clear(); }

 private:
  explicit Root(os::Fd top, os::Path path) : top_(std::move(top)), path_(std::move(path)) {}
  Result<os::Fd> step(int parent, const std::string& name, std::string_view path);

  os::Fd top_;
  os::Path path_;
  bool may_open_up_ = false;
  Grafts grafts_;
  os::Fd beside_;  ///< the folder that holds the last grafted thing that place() was asked for
  std::vector<std::pair<std::string, os::Fd>> chain_;  ///< the way to the last folder, its first levels
  os::Fd deep_;                                        ///< the last folder, where it lies deeper than the chain
};

Result<Standing> standing_of(int fd);

inline constexpr std::int64_t second_ns = 1'000'000'000, day_ns = 24 * 3600 * second_ns;
std::int64_t ns_of(const timespec& time);
/// The kernel's wall clock, as file times are stamped.
std::int64_t file_clock_ns();

/// chmod that never follows a link.
Status set_mode(int folder, const std::string& name, std::uint32_t mode);
Status set_mtime(int folder, const std::string& name, std::int64_t mtime_ns);
/// Of an open file.
Status set_mtime(int file, std::int64_t mtime_ns);
/// Names in an open folder, sorted, without "." and "..".
Result<std::vector<std::string>> names_in(int folder);

/// Everything written to the root's file system so far is on disk when this returns.
Status flush_to_disk(const Root& root);

/// "a/b/c" → {"a/b", "c"}; "c" → {"", "c"}.
std::pair<std::string_view, std::string_view> split_last(std::string_view path);

}  // namespace ferry::sync
