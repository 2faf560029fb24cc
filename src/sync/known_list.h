#pragma once
/// \file
/// The list that went over last, as both ends keep it: the next time only what is different in it goes. Internal to
/// this room.
///
///     "ferry list 1\n"   32 bytes: the SHA-256 of what follows, which is its name   the entries, as in manifest.h
///
/// It is not synced to the disk: what is not of its name is as if it were not there.

#include <memory>
#include <optional>

#include "base/hash.h"
#include "os/fd.h"
#include "sync/sync.h"

namespace ferry::sync {

/// A shorter list goes whole.
inline constexpr std::size_t least_known_list = 200;

/// The name of a list, entry by entry.
class ListName {
 public:
  void add(std::string_view entry) {
    bytes_ += entry;
    if (bytes_.size() >= at_once) hash();
  }
  /// Call once, last.
  std::string finish() {
    hash();
    return hash_.finish();
  }

 private:
  static constexpr std::size_t at_once = std::size_t{64} << 10;
  void hash() {
    hash_.add(bytes_);
    bytes_.clear();
  }
  Sha256 hash_;
  std::string bytes_;
};

/// Complete or invisible. What cannot be written is no error: the list is not kept then.
class ListWriter {
 public:
  /// Into the folder of `file`, which is made if it is absent.
  explicit ListWriter(const os::Path& file);
  ~ListWriter();
  ListWriter(const ListWriter&) = delete;
  ListWriter& operator=(const ListWriter&) = delete;
  /// An entry's bytes.
  void add(std::string_view entry);
  /// After the last.
  void commit(const os::Path& file, std::string_view name);

 private:
  void write();
  os::Path temp_;
  os::Fd fd_;  ///< none: something went wrong
  std::string out_;
};

class ListReader {
 public:
  /// Nothing if there is none.
  static std::optional<ListReader> open(const os::Path& file);
  const std::string& name() const { return name_; }
  /// The next entry, and in bytes() how it stands there. False after the last, and where it cannot be right.
  bool next(Entry& entry);
  std::string_view bytes() const { return std::string_view(buffer_).substr(begin_, at_ - begin_); }

  // As a Channel gives them, for read_entry().
  Result<char> byte();
  Result<std::uint64_t> number(std::uint64_t max);
  Result<std::string> text(std::size_t max);

 private:
  bool has(std::size_t size);
  os::Fd fd_;
  std::string name_;
  std::string buffer_;  ///< from the present entry on
  std::size_t begin_ = 0, at_ = 0;
  bool is_over_ = false;
};

}  // namespace ferry::sync
