#pragma once
/// \file
/// What one run received need not be sent again to another run on the same machine: a folder that keeps contents of
/// files by their SHA-256.
///
/// Contents come in by being moved: when a run's folder is to be removed, what ferry once brought there, and nobody
/// touched since, is renamed into the store (keep_contents()). That costs what removing it would, no byte is written,
/// and nothing lies on the disk twice; a second copy of every file while it is received would cost as much as
/// receiving it. (Of small files that stay as they stand for the next run, kept_tree.h, copies are made, later.) They
/// go out as copies (clone.h), which share their blocks where the file system can: a training may edit its files in
/// place, so no name of a content is ever given to it as a hard link.
///
///     FOLDER/ab/0123…   the content whose SHA-256 is ab0123… in hex; its time (mtime) is when it was last of use
///     FOLDER/new-…      is being written; after a day it was left by someone who was killed
///
/// Nothing that stands there is believed: every content is hashed on its way out. One that is damaged is removed, and
/// is then absent. Several processes may use one store; whoever is killed on any line leaves contents that are whole,
/// or a "new-…". An object: from one thread.

#include <bitset>

#include "os/fd.h"
#include "sync/root.h"

namespace ferry::sync {

class ContentStore {
 public:
  /// Makes the folder (mode 0700) and its parents. Fails denied where it is a link, another user's, or open to others.
  static Result<ContentStore> open(const os::Path& folder);

  /// Whether it may be there: there is something of that name and size.
  bool holds(const Digest& sha256, std::uint64_t size) const;

  /// Writes the content into `to`, an empty file of the caller's, open for reading and writing. False if it is not
  /// there: `to` is empty then. Fails disk_full.
  Result<bool> take(const Digest& sha256, std::uint64_t size, int to);

  /// Puts in a copy of the content of `from`, a file open for reading at any place. False if it is there already, or
  /// `from` has other content than the caller says.
  Result<bool> offer(int from, const Digest& sha256, std::uint64_t size);

  /// Moves in the file `name` of the folder `folder`, which the caller gives up. False, and it stays where it is, if it
  /// cannot be moved (another file system, a second hard link, another user's file), or its content is there already.
  bool adopt(int folder, const std::string& name, const Digest& sha256, std::uint64_t size);

  /// Removes what was of use longest ago until at most `most_bytes` and most_contents are left, and what was left by
  /// others who were killed. Looks at each name once; nothing if another process does it now.
  Status trim(std::uint64_t most_bytes);

  static constexpr std::size_t most_contents = 200'000;  ///< an inode each
  /// How much it may hold where nobody says otherwise: a twentieth of its file system, and 20 GiB at most.
  std::uint64_t usual_limit() const;

 private:
  ContentStore(os::Fd top, os::Path path) : top_(std::move(top)), path_(std::move(path)) {}
  bool has_group(const Digest& sha256) const;
  Result<std::string> make_place(const Digest& sha256) const;
  Result<os::Fd> find(const Digest& sha256, std::uint64_t size) const;

  os::Fd top_;
  os::Path path_;
  mutable std::bitset<256> groups_;  ///< folders that are none but that
};

/// Whether a name is so many digits of hex(), as those of contents and of lists are.
bool is_hex(std::string_view name, std::size_t digits);

/// Moves into the store what receive_tree() brought to `root`, by `state_file`, and nobody seems to have touched since;
/// the rest of the tree is to be removed by the caller. Returns how many contents were moved.
Result<std::size_t> keep_contents(ContentStore& store, const os::Path& root, const os::Path& state_file);

}  // namespace ferry::sync
