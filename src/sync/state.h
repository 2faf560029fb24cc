#pragma once
/// \file
/// What is remembered of a tree between two syncs: which paths there were and, for a file, its hash together
/// with the marks (size, times, inode) that show whether it was touched since.

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "sync/root.h"
#include "sync/state_table.h"

namespace ferry::sync {

/// A million paths stay on disk (state_table.h): in memory are some blocks, and a few thousand changes. Looking up
/// paths one after the other in their order is cheap, in any order a block each. Use from one thread; a copy, which is
/// cheap, from another.
class State {
 public:
  /// An absent, cut or foreign file gives an empty state: everything can be found out again. Where it is damaged in the
  /// middle, some paths are not known. With no file (empty) nothing is remembered: notes are lost.
  static State load(const os::Path& file);
  /// Complete or invisible; makes missing parent folders. Nothing if `file` is empty.
  Status save(const os::Path& file) const;

  /// The hash of a file whose marks are the same as remembered.
  std::optional<Digest> hash_of(std::string_view path, const Standing& now) const;
  std::optional<Record> find(std::string_view path) const;
  /// In the order of paths; ends with the first failure of `visit`, which it returns.
  Status each(const std::function<Status(std::string_view, const Record&)>& visit) const;
  /// How many paths the file had that it was loaded from.
  std::uint64_t loaded() const { return loaded_; }
  bool empty() const { return tables_.empty() && changes_.empty(); }

  /// Remembers a file. Its marks are left out if it changed so shortly before `now_ns` that a change still to
  /// come might leave them the same.
  void note_file(const std::string& path, const Standing& marks, const Digest& sha256, std::int64_t now_ns);
  void note(const std::string& path, Record record);
  void drop(const std::string& path);

 private:
  void spill();
  os::Path file_;  ///< it was loaded from
  bool is_kept_ = true;
  std::uint64_t loaded_ = 0;
  mutable std::vector<TableCursor> tables_;  ///< the later holds more
  std::map<std::string, Record, std::less<>> changes_;
};

/// The record of a file with these marks, as of note_file().
Record file_record(const Standing& marks, const Digest& sha256, std::int64_t now_ns);
/// Whether the marks say that it is the file that was remembered, untouched.
bool is_same_file(const Record& known, const Standing& now);
/// What was touched within the tick of the clock in which it was received seems untouched, too. is_same_file() says
/// more, but leaves out most small files: for what is hashed, or looked at by is_same_file(), before it is of use.
bool seems_untouched(const Record& received, const Standing& now);

/// A state's file, written anew in the order of paths: complete or invisible, and its parent folders are made.
class StateWriter {
 public:
  static Result<StateWriter> begin(const os::Path& file);
  StateWriter(StateWriter&& from) noexcept = default;
  StateWriter& operator=(StateWriter&&) = delete;
  ~StateWriter();
  Status add(std::string_view path, const Record& record) { return writer_->add(path, record); }
  Status commit();

 private:
  StateWriter(os::Path file, os::Path temp, os::Fd fd);
  os::Path file_, temp_;
  os::Fd fd_;
  std::unique_ptr<TableWriter> writer_;
};

}  // namespace ferry::sync
