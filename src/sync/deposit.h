#pragma once
/// \file
/// Puts files in place that come from elsewhere than a sender: by the receiver's rules (receive.h), whoever wrote the
/// list. What is not taken in under the state's eyes is not replaced; nothing is written outside the root, and no link
/// is followed.

#include <optional>
#include <vector>

#include "sync/place.h"
#include "sync/state.h"
#include "sync/sync.h"

namespace ferry::sync {

/// One tree, once. Use from one thread; files may be made at incoming() by others.
class Deposit {
 public:
  /// Makes the root and its parents where they are missing. Of the options: state_file, without_mode. `entries`: files
  /// with their SHA-256 and links, in any order; their folders need not be listed. Fails corrupt for a list that no
  /// sender could send: two of one path, something below a file, a name of the receiver's own.
  static Result<Deposit> open(const os::Path& root, std::vector<Entry> entries, const ReceiveOptions& options);
  Deposit(Deposit&&) noexcept = default;

  const std::vector<Entry>& entries() const { return entries_; }  ///< with their folders, sorted
  /// Places in entries() of the files that do not stand here yet. Fails conflict where something of other origin would
  /// be lost, disk_full where they have no room, cancelled. Call once, first.
  Result<std::vector<std::size_t>> compare();
  /// Where the file is to be made: in a folder of the root that stays from one try to the next, by a name that is the
  /// same for the same path and content. Good as long as this lives.
  os::Path incoming(std::size_t index) const;
  /// The file of entries()[index] is at incoming(), whole; it moves to its place.
  Status place(std::size_t index);
  /// All are in place: links, times and modes, on disk, remembered. What was changed here meanwhile is a note.
  Result<std::vector<std::string>> finish();

 private:
  Deposit(Root root, std::vector<Entry> entries, const ReceiveOptions& options);
  Status begin();
  Status make_folders();
  std::string incoming_name(std::size_t index) const;

  std::unique_ptr<Root> root_;
  ReceiveOptions options_;
  std::vector<Entry> entries_;
  std::unique_ptr<State> before_;
  State now_;
  std::unique_ptr<Placer> placer_;
  os::Fd incoming_;
};

}  // namespace ferry::sync
