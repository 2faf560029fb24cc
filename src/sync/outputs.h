#pragma once
/// \file
/// Finds what must come home from a machine where a training ran: what the task calls its outputs, or
/// whatever the run made. Used by the sending end.
///
/// *What the run made* is every path that never went over, and what went over and is another file now (by
/// size, content or ctime; dates that programs set say nothing). Folders that tools fill anew (__pycache__,
/// .git, .venv …) are nobody's outputs.
///
/// *Links.* A link to something that comes home, too, stays a link (an absolute one is made relative). Any
/// other brings what it points to: a file or folder stands in its place. It stays a link, with a line, where
/// it leads nowhere, round in a circle, to a folder that holds it, into the system (/etc, /proc, /usr …), to
/// a device or socket, or to what was there before the run; files that are older than the run do not come
/// with a folder. A link of ferry's own to a data set in which nothing is of the run, or to a volume, is left out
/// without a line.

#include "sync/sync.h"

namespace ferry::sync {

struct OutputsQuery {
  std::vector<std::string> globs;  ///< what the task names; empty: all that the run made
  os::Path sent;  ///< the state file of the receive_tree that brought the code; empty or lost: nothing went over
  std::int64_t since_ns = 0;  ///< when the run began; 0: unknown, then nothing is older
  /// Folders in which files that were written since `elsewhere_since_ns` are looked for if the run made
  /// nothing in the tree. They come below "outputs-elsewhere/"; too many are only named, in Tree::left_out.
  std::vector<std::string> elsewhere;
  std::int64_t elsewhere_since_ns = 0;
  /// Not 0: while the run goes on. A file is unsettled (Entry::unsettled) that changed less than so long ago, or that a
  /// process which we may look at has open for writing and changed within a minute.
  std::int64_t settle_ns = 0;
  bool open_up = false;  ///< gives ourselves access to what is ours and forbidden to us
};

inline constexpr std::string_view elsewhere_folder = "outputs-elsewhere";
inline constexpr std::uint64_t elsewhere_most_bytes = std::uint64_t{2} << 30;
inline constexpr std::size_t elsewhere_most_files = 1000;

/// Hashes nothing but what cannot be told apart otherwise. What cannot be read is in Tree::left_out; what
/// goes by a rule above in Tree::skipped, ten lines of a kind.
Result<Tree> collect_outputs(const os::Path& root, const OutputsQuery& query);

/// Where else than in its workdir a training may have put its model, for OutputsQuery::elsewhere: `home` of the
/// login user, what job/scratch.sh offers (also below `run_dir`, the agent's folder), and the temporary folders. On a
/// machine of the user's own (`is_own`) others write there, too, and nothing is lost when the run is over: only what is
/// the run's alone.
std::vector<std::string> usual_elsewhere(const std::string& home, const std::string& run_dir, bool is_own);

/// Folders whose content tools make anew: nobody's outputs.
bool is_made_by_tools(std::string_view path);

}  // namespace ferry::sync
