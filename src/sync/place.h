#pragma once
/// \file
/// Changes the receiver's tree: makes, replaces and removes what stands there, and refuses to destroy what it
/// did not bring.

#include <optional>

#include "sync/root.h"
#include "sync/state.h"

namespace ferry::sync {

class Placer {
 public:
  /// Use from one thread.
  /// `received`: what former syncs brought; only that may be removed to make room.
  /// `without_mode`: as in ReceiveOptions.
  Placer(Root& root, const State& received, std::optional<std::uint32_t> without_mode)
      : root_(root), received_(received), without_mode_(without_mode) {}
  /// A helper of `first`, which has begun and outlives it, for another thread: `number` (from 1) is no other helper's.
  Placer(Root& root, const Placer& first, int number);
  /// Removes the temp folder.
  ~Placer() { end(); }
  Placer(const Placer&) = delete;
  Placer& operator=(const Placer&) = delete;

  /// Makes the temp folder and removes those that dead receivers left.
  Status begin();
  void end();

  /// Whether the entry can stand where `now` stands; `conflict` if something of other origin would be lost.
  /// Changes nothing.
  Status check(const Entry& entry, const Standing& now);

  /// True if it had to be made.
  Result<bool> make_folder(const Entry& entry);
  /// True if it had to be made.
  Result<bool> make_link(const Entry& entry);

  /// A file that is being made.
  struct NewFile {
    os::Fd fd;  ///< for reading and writing
    int folder = -1;
    std::string name;
  };
  /// An empty file in the temp folder. Its mode is the entry's as far as umask(2) lets it.
  Result<NewFile> new_file(const Entry& entry);
  /// Gives the new file mode and time and moves it to its place. Returns its marks before the move.
  Result<Standing> place_file(const NewFile& file, const Entry& entry);

  /// The same with a file that was made elsewhere on this file system: `name` in the folder `from`.
  Result<Standing> place_made(int from, const std::string& name, const Entry& entry);

  /// Removes what a former sync brought, if it is still as it came. False if it was kept.
  Result<bool> remove_received(const std::string& path, Type type);
  /// Whether `path` still is what a former sync brought.
  bool is_as_received(const std::string& path, const Standing& now);

  /// The bits a received entry may have: no set-user-ID, and no set-group-ID on files.
  std::uint32_t allowed_mode(const Entry& entry) const {
    const bool folder = entry.type == Type::folder;
    const std::uint32_t mode = entry.mode & (folder ? 03777U : 01777U);
    if (!without_mode_) return mode;
    return (mode & ~*without_mode_) | (folder ? 0500U : 0400U);
  }

 private:
  Status sweep();
  static void remove_temp(int root, int folder, const std::string& name);
  std::string new_name() { return std::to_string(number_) + "-" + std::to_string(made_++); }
  Result<Standing> place_open(int file, int from, const char* name, const Entry& entry);
  Status clear_folder(const std::string& path);
  Result<std::vector<std::pair<std::string, Standing>>> below(const std::string& path);
  Status move_into_place(const Entry& entry, int from, const char* name);
  Status make_room(const Entry& entry);

  Root& root_;
  const State received_;  ///< of its own: each thread reads by itself
  const std::optional<std::uint32_t> without_mode_;
  int number_ = 0;  ///< 0: not a helper
  std::uint64_t made_ = 0;
  std::string temp_name_;
  os::Fd temp_;       ///< the temp folder, flock(2)ed while we live; not of a helper
  int temp_at_ = -1;  ///< its descriptor
  std::string buffer_;
};

}  // namespace ferry::sync
