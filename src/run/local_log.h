#pragma once
/// \file
/// The laptop's copy of a run's log: the agent's log frames, appended as they arrive. Its size is the offset
/// to go on from.

#include <functional>

#include "agent/protocol.h"
#include "os/file.h"

namespace ferry::run {

/// Only the run's owner writes; anyone may read at the same time.
class LocalLog {
 public:
  /// Opens for appending; a frame that was cut off by a crash is removed.
  static Result<LocalLog> open(const os::Path& file);
  /// Bytes of training output held so far.
  std::uint64_t size() const { return size_; }
  /// Appends what is new of `chunk` and gives back that part (empty if nothing is). A gap is Kind::corrupt.
  Result<std::string> append(agent::LogChunk chunk);

 private:
  LocalLog(os::Fd fd, std::uint64_t size) : fd_(std::move(fd)), size_(size) {}
  os::Fd fd_;
  std::uint64_t size_;
};

/// Reads a local log from its beginning, also while it grows.
class LogReader {
 public:
  explicit LogReader(os::Path file) : file_(std::move(file)) {}
  /// Hands every whole chunk not handed out before to `take`. A missing file has none.
  Status read(const std::function<Status(const agent::LogChunk&)>& take);
  /// One past the last byte handed out.
  std::uint64_t offset() const { return offset_; }
  /// Bytes of the file that make whole frames.
  std::uint64_t file_position() const { return position_; }

 private:
  os::Path file_;
  std::uint64_t position_ = 0, offset_ = 0;
};

}  // namespace ferry::run
