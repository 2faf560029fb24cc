#pragma once
/// \file
/// The laptop's copy of a run's log: the agent's log frames, appended as they arrive. Its size is the offset
/// to go on from.
///
///   file   = header record*         header = an 'H' frame that says local_log_header
///   record = the agent's 'L' frame, then an 'A' frame with the first 8 bytes of that body's SHA-256
///
/// Files of older ferries have neither header nor hashes and are read all the same.

#include <deque>
#include <functional>

#include "agent/protocol.h"
#include "fleet/run_dir.h"
#include "os/file.h"

namespace ferry::job {

inline constexpr std::string_view local_log_header = "ferry log 2";

/// Only the run's owner writes; anyone may read at the same time.
class LocalLog {
 public:
  /// Opens for appending, making the file and its folder where they are missing. Only an unbroken beginning
  /// is kept: what a crash cut off, and everything from the first damage on (a changed byte, NULs, a part
  /// that is missing), is removed, and size() says where the machine's copy has to go on.
  static Result<LocalLog> open(const os::Path& file);
  /// For when there can be no file: counts, and writes nowhere.
  static LocalLog without_file() { return {os::Fd(), 0, false}; }
  /// Bytes of training output held so far.
  std::uint64_t size() const { return size_; }
  /// Appends what is new of `chunk` and gives back that part (empty if nothing is). A gap is Kind::corrupt.
  /// After a failure nothing was taken.
  Result<std::string> append(agent::LogChunk chunk);
  /// As append(), without the file, from now on: what follows would leave a gap there. A later open() goes on
  /// from what the file holds.
  std::string only_count(agent::LogChunk chunk);

 private:
  LocalLog(os::Fd fd, std::uint64_t size, bool has_hashes) : fd_(std::move(fd)), size_(size), has_hashes_(has_hashes) {}
  os::Fd fd_;  // none: only counts
  std::uint64_t size_;
  bool has_hashes_;
};

/// Reads a local log from its beginning, also while it grows or is mended.
class LogReader {
 public:
  explicit LogReader(os::Path file) : file_(std::move(file)) {}
  /// Hands every byte of every whole record not handed out before to `take`, up to the first damage. A
  /// missing file has none.
  Status read(const std::function<Status(const agent::LogChunk&)>& take);
  /// One past the last byte handed out.
  std::uint64_t offset() const { return offset_; }
  /// Bytes of the file that make whole records.
  std::uint64_t file_position() const { return position_; }
  /// Whether the last read() met damage.
  bool damaged() const { return damaged_; }
  /// False for a file of an older ferry.
  bool has_hashes() const { return has_hashes_; }

 private:
  Status read_from(int fd, const std::function<Status(const agent::LogChunk&)>& take);

  os::Path file_;
  std::uint64_t position_ = 0;  // in the file
  std::uint64_t read_to_ = 0;   // offset in the log at `position_`
  std::uint64_t offset_ = 0;
  std::int64_t damaged_size_ = -1;  // of the file when it was last read again from the beginning, in vain
  bool damaged_ = false, has_hashes_ = true;
};

/// The same of a run that was tried more than once: the logs of its attempts, one behind the other.
class LogsReader {
 public:
  explicit LogsReader(fleet::RunDir run_dir) : run_dir_(std::move(run_dir)) {}
  /// As LogReader::read(), of so many attempts.
  Status read(int attempts, const std::function<Status(const agent::LogChunk&)>& take);
  /// One past the last byte of the newest attempt's log that was handed out.
  std::uint64_t offset() const { return logs_.empty() ? 0 : logs_.back().offset(); }
  /// Bytes of all logs that were handed out.
  std::uint64_t total() const;

 private:
  fleet::RunDir run_dir_;
  std::deque<LogReader> logs_;
};

}  // namespace ferry::job
