#pragma once
/// \file
/// A sorted file of what is remembered, of which only a block at a time is in memory. Internal to state.h.
///
///     "ferry tree 2\n"   blocks…   index   footer
///
///     block    records in the order of their paths. Each: varint bytes that its path shares with the one before,
///              varint more bytes, those; a byte (bits 0-1 type: 0 file, 1 folder, 2 link, 3 forgotten; bit 2: has a
///              SHA-256; bit 3: has marks); with bit 3 varint size, varint inode, 8 bytes mtime_ns, zigzag varint
///              ctime_ns - mtime_ns; with bit 2 its 32 bytes
///     index    for each block: 8 bytes offset, 4 length, 8 CRC-64/NVME, 4 length of its first path, that path
///     footer   8 bytes offset of the index, 8 its length, 8 number of records, 8 CRC-64/NVME of index and these 24
///
/// Numbers are little-endian. What cannot be right is as if it were not there.

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "os/fd.h"
#include "sync/sync.h"

namespace ferry::sync {

struct Record {
  Type type = Type::file;
  bool is_forgotten = false;          ///< of changes: what older tables say of the path no longer holds
  std::uint64_t size = 0, inode = 0;  ///< inode 0: the marks are not known, only the hash
  std::int64_t mtime_ns = 0, ctime_ns = 0;
  Digest sha256;  ///< of a file's content or a link's target; empty for a folder
};

/// The records of a block, one after the other.
class BlockRecords {
 public:
  BlockRecords() = default;
  explicit BlockRecords(std::string_view block) : rest_(block) {}
  /// False after the last, and from the first byte on that cannot be right.
  bool next();
  const std::string& path() const { return path_; }
  const Record& record() const { return record_; }

 private:
  std::uint64_t varint();
  std::string_view take(std::uint64_t size);
  std::string_view rest_;
  std::string path_;
  Record record_;
  bool ok_ = true;
};

/// One file. May be used from several threads.
class Table {
 public:
  /// Null if it is none, or is cut or damaged.
  static std::shared_ptr<const Table> open(os::Fd file);
  std::uint64_t records() const { return records_; }
  std::size_t blocks() const { return index_.size(); }
  /// The only block that may have the path.
  std::size_t block_of(std::string_view path) const;
  /// Empty if it is damaged.
  void read(std::size_t block, std::string& into) const;

 private:
  struct Block {
    std::uint64_t offset, sum;
    std::uint32_t length;
    std::string first;
  };
  bool read_index(std::string_view index, std::uint64_t end);
  os::Fd file_;
  std::vector<Block> index_;
  std::uint64_t records_ = 0;
};

/// A place in a table. Going forward is cheap.
class TableCursor {
 public:
  explicit TableCursor(std::shared_ptr<const Table> table) : table_(std::move(table)) {}
  TableCursor(const TableCursor& from) : TableCursor(from.table_) {}  // a copy begins at no place
  TableCursor& operator=(const TableCursor& from) {
    if (this == &from) return *this;
    table_ = from.table_;
    block_ = nowhere;
    stands_ = is_over_ = false;
    return *this;
  }
  /// The record of the path; null if there is none. Good until the next call.
  const Record* find(std::string_view path);
  /// The first record at first, then the next. False after the last.
  bool next();
  const std::string& path() const { return at_.path(); }
  const Record& record() const { return at_.record(); }

 private:
  void go_to(std::size_t block);
  std::shared_ptr<const Table> table_;
  static constexpr auto nowhere = static_cast<std::size_t>(-1);
  std::size_t block_ = nowhere;  ///< that `bytes_` has
  std::string bytes_;
  BlockRecords at_;
  bool stands_ = false;   ///< at_ has a record
  bool is_over_ = false;  ///< the block has no more
  std::string asked_;     ///< by find(), last
};

class TableWriter {
 public:
  explicit TableWriter(int fd);
  /// In the order of paths.
  Status add(std::string_view path, const Record& record);
  /// Call once, last.
  Status finish();

 private:
  Status end_block();
  int fd_;
  std::uint64_t offset_ = 0, records_ = 0;
  std::string out_;  ///< the block, and before the first the magic
  std::size_t begin_ = 0;
  std::string index_, first_, last_;
};

}  // namespace ferry::sync
