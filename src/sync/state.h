#pragma once
/// \file
/// What is remembered of a tree between two syncs: which paths there were and, for a file, its hash together
/// with the marks (size, times, inode) that show whether it was touched since.

#include <map>
#include <string>
#include <string_view>

#include "sync/root.h"

namespace ferry::sync {

struct Record {
  Type type = Type::file;
  std::uint64_t size = 0, inode = 0;  ///< inode 0: the marks are not known, only the hash
  std::int64_t mtime_ns = 0, ctime_ns = 0;
  Digest sha256;  ///< of a file's content or a link's target; empty for a folder
};

class State {
 public:
  /// An absent, cut or foreign file gives an empty state: everything can be found out again.
  static State load(const os::Path& file);
  /// Complete or invisible; makes missing parent folders. Nothing if `file` is empty.
  Status save(const os::Path& file) const;

  /// The hash of a file whose marks are the same as remembered; nullptr if unknown.
  const Digest* hash_of(std::string_view path, const Standing& now) const;
  const Record* find(std::string_view path) const;

  /// Remembers a file. Its marks are left out if it changed so shortly before `now_ns` that a change still to
  /// come might leave them the same.
  void note_file(const std::string& path, const Standing& marks, const Digest& sha256, std::int64_t now_ns);
  void note(const std::string& path, Record record) { records_[path] = std::move(record); }
  void drop(const std::string& path) { records_.erase(path); }
  const std::map<std::string, Record, std::less<>>& records() const { return records_; }

 private:
  std::map<std::string, Record, std::less<>> records_;
};

/// The kernel's wall clock, as file times are stamped.
std::int64_t file_clock_ns();

}  // namespace ferry::sync
