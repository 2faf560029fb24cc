#pragma once
/// \file
/// The list of a tree on the wire, and the rules that any list from outside must keep.

#include <vector>

#include "sync/channel.h"
#include "sync/known_list.h"
#include "sync/list.h"
#include "sync/sync.h"

namespace ferry::sync {

inline constexpr std::size_t max_path = std::size_t{256} << 10;
inline constexpr std::size_t max_target = 4096;
inline constexpr std::uint64_t max_file_size = std::uint64_t{1} << 56;

/// Names in the root that start so belong to the receiver: neither sent nor accepted.
inline constexpr std::string_view temp_prefix = ".ferry-tmp-";
bool is_temp(std::string_view path);
/// Of deposits; receivers leave it alone while it is locked, and when it is not empty.
inline constexpr const char* incoming_folder = ".ferry-tmp-incoming";

/// The error about a folder that lies deeper than max_levels.
tl::unexpected<Error> too_deep(std::string_view folder);

/// As a list must be.
void sort_by_path(std::vector<Entry>& entries);
/// Whether `next` may follow in the list: a clean relative path, greater than the last, its parent listed as
/// a folder. Otherwise `corrupt`.
Status check_entry(const std::vector<Entry>& before, const Entry& next);

/// As it stands in a list: type ('f', 'd', 'l'; as a capital: as it once went over; 'u': a file that is unsettled),
/// path, mode, mtime (zigzag), then size and SHA-256 of a file (not of an unsettled one) or target of a link.
void append_entry(std::string& to, const Entry& entry);
Result<Entry> read_entry(Channel& channel);
Result<Entry> read_entry(ListReader& list);

/// number (entries), then these.
Status put_manifest(Channel& channel, const std::vector<Entry>& entries);
/// How many entries come, from a limit on.
Result<std::uint64_t> read_count(Channel& channel, std::uint64_t most_entries);

/// A list, entry by entry: corrupt for what cannot follow.
class ListBuilder {
 public:
  /// `most_bytes`: of paths and targets.
  explicit ListBuilder(std::uint64_t most_bytes) : most_bytes_(most_bytes) {}
  Status add(Entry entry);
  List take() { return std::move(list_); }

 private:
  List list_;
  std::string last_;
  std::uint64_t bytes_ = 0, most_bytes_;
};

/// The files of the list that have holes, by index, with the bytes they take on a disk: number (of them), then distance
/// from the last, and bytes, of each.
Status put_sparse(Channel& channel, const std::vector<std::pair<std::size_t, std::uint64_t>>& sparse);
Result<std::vector<std::pair<std::size_t, std::uint64_t>>> read_sparse(Channel& channel, std::size_t entries);
/// Smaller files are not looked at for holes.
inline constexpr std::uint64_t least_sparse = std::uint64_t{1} << 20;

void put_mtime(Channel& channel, std::int64_t mtime_ns);
Result<std::int64_t> read_mtime(Channel& channel);
Result<std::string> read_hash(Channel& channel);

void put_notes(Channel& channel, const std::vector<std::string>& notes);
Result<std::vector<std::string>> read_notes(Channel& channel);

}  // namespace ferry::sync
