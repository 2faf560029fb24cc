#pragma once
/// \file
/// Cuts files into chunks before the receiver asks for that: while the line is not there yet, and while the receiver
/// cuts what it has. Internal to this room.

#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "sync/chunker.h"
#include "sync/root.h"

namespace ferry::sync {

class ChunkAhead {
 public:
  /// Begins with the first of `paths`, in the order of their bytes, by a thread of its own.
  ChunkAhead(Root root, const std::vector<std::string>& paths);
  /// Waits for a tenth of a second at most.
  ~ChunkAhead();
  ChunkAhead(const ChunkAhead&) = delete;
  ChunkAhead& operator=(const ChunkAhead&) = delete;

  /// The chunks of a file, if it has had these marks ever since; waits for them if it is being cut now. Nothing if it
  /// was not begun: it will not be. For several threads.
  std::optional<std::vector<Chunk>> take(const std::string& path, const Standing& marks);

 private:
  struct Cut {
    bool is_begun = false, is_done = false;
    Standing marks;
    std::vector<Chunk> chunks;
  };
  void work();

  Root root_;
  std::mutex mutex_;
  std::condition_variable done_;
  std::map<std::string, Cut> cuts_;  ///< of all paths, from the beginning on; of each, with the mutex
  std::atomic<bool> stop_{false};
  std::thread thread_;  // the last: it uses the others
};

}  // namespace ferry::sync
