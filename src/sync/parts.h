#pragma once
/// \file
/// Large files that a receiver was taking in when it was cut off. They stay, in a folder of ferry's beside the state,
/// and the next receiver asks only for what they lack. Internal to this room.

#include <string>

#include "sync/place.h"

namespace ferry::sync {

/// Smaller files are sent again.
inline constexpr std::uint64_t least_part = std::uint64_t{4} << 20;

/// After open() it may be used from several threads.
class Parts {
 public:
  /// For the receiver with this state file (empty: nothing is kept) whose tree is on the file system of `root`: on
  /// another, nothing is kept, for nothing could be moved into its place. While it lives no other receiver with that
  /// state keeps anything. Removes what is older than a week, and the oldest beyond 64 GiB.
  static Parts open(const os::Path& state_file, const Root& root);

  bool is_open() const { return static_cast<bool>(folder_); }
  /// A new file for that content; not_found if nothing is kept.
  Result<Placer::NewFile> make(const std::string& sha256) const;
  /// The most that there is of that content, or an empty name.
  std::string find(const std::string& sha256) const;
  Result<os::Fd> open_part(const std::string& name) const;
  /// Removes all there is of that content.
  void remove(const std::string& sha256) const;
  /// Removes everything: a sync has come to its end.
  void clear();
  /// Keeps what there is.
  void leave();

 private:
  os::Path path_;
  os::Fd folder_;
};

}  // namespace ferry::sync
