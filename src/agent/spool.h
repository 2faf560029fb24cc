#pragma once
/// \file
/// The job's output on disk: an append-only file of records, so that any client can read any part of it at
/// its own pace, and so that it outlives the agent.
///
///   record = length (4, of the bytes) sum (4) offset (8) time_ms (8) stream (1) phase (1)  bytes
///
/// All little-endian; `sum` is CRC-32C over everything else in the record (in those of agents before, which are read
/// all the same, FNV-1a folded to 32 bits). A record that is cut short or damaged, which only a crash leaves behind,
/// ends the log: it and what follows are cut off when the file is opened.
///
/// A disk that is full never stops the job. Space ahead of the end is reserved (fallocate), so that the last
/// words of a program that filled the disk are kept. What it refuses is held in memory (backlog.h), read from
/// there, and written when there is space again. Of what is too much for that, what somebody has read already
/// leaves a hole in the numbers of bytes: two records in the file that do not join. A reader who asks for it
/// again gets lines that say so, of as many bytes.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/backlog.h"
#include "agent/protocol.h"
#include "os/fd.h"
#include "os/file.h"

namespace ferry::agent {

/// One record as it lies in the file; `bytes` points into what was parsed.
struct Record {
  std::uint64_t offset = 0;
  std::int64_t time_ms = 0;
  LogStream stream = LogStream::out;
  LogPhase phase = LogPhase::run;
  std::string_view bytes;
};
inline constexpr std::size_t record_header = 26;

std::string encode_record(const Record& record);
/// The record at the begin of `bytes`; nothing if it is cut short or damaged.
std::optional<Record> parse_record(std::string_view bytes);

/// Where a reader of the spool is.
struct Place {
  std::uint64_t offset = 0;               ///< next byte of output wanted
  std::optional<std::uint64_t> position;  ///< of a record in the file at or before it, once known
};

/// One writer and any number of readers, all in one thread.
class Spool {
 public:
  /// Opens or creates (0600), cutting off a torn end.
  static Result<Spool> open(const os::Path& file);

  /// Adds output; never fails.
  void add(LogStream stream, LogPhase phase, std::int64_t time_ms, std::string_view bytes);
  /// Appends log frames from `place` on to `out`, up to about `budget` bytes, and moves `place` behind them.
  /// Nothing is appended at or beyond the end.
  Status read(Place& place, std::size_t budget, std::string& out);
  /// Offset one past the last byte kept. Never goes back.
  std::uint64_t size() const { return backlog_.empty() ? on_disk_ : backlog_.end(); }
  /// Bytes of output lost so far because they could neither be written nor held.
  std::uint64_t dropped() const { return backlog_.dropped(); }
  /// Why output is held in memory right now; empty when it is not.
  const std::string& trouble() const { return trouble_; }
  /// Writes what is held, if the disk takes it now; asks it at most once a second.
  void retry(std::int64_t time_ms);
  /// The last byte kept ended a line.
  bool at_line_start() const { return size() == 0 || last_ == '\n'; }
  /// Someone removed the file: nobody will read it again.
  bool is_removed() const;
  /// Makes it durable.
  Status sync();

 private:
  explicit Spool(os::Fd fd) : fd_(std::move(fd)) {}
  Status recover();
  Status append(const Record& record);
  void reserve();
  void refuse(const Error& error, std::int64_t time_ms);
  void learn(std::uint64_t offset, std::uint64_t position);
  std::uint64_t position_before(std::uint64_t offset) const;

  struct Mark {
    std::uint64_t offset, position;
  };
  os::Fd fd_;
  std::uint64_t on_disk_ = 0, end_ = 0;  ///< of the output; of the file
  std::uint64_t reserved_ = 0;           ///< up to this place of the file the disk has promised space
  Backlog backlog_;                      ///< what the disk refused
  std::int64_t refused_ms_ = 0;
  char last_ = 0;
  std::string trouble_, window_;
  std::vector<Mark> marks_;  ///< a record's place about every MiB of file
};

}  // namespace ferry::agent
