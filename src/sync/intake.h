#pragma once
/// \file
/// Takes files in: several threads write, hash and place them while the receiver goes on reading what comes. Internal
/// to this room.

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/hash.h"
#include "sync/content_store.h"
#include "sync/parts.h"
#include "sync/place.h"
#include "sync/send.h"

namespace ferry::sync {

class Intake {
 public:
  /// A file that comes. Made by one thread, then given to begin().
  struct Arrival {
    std::size_t index = 0;      ///< of the receiver's list
    Entry entry;                ///< as announced; its size is not believed
    std::string listed_sha256;  ///< as the list has it: what parts are found by
    std::vector<Entry> copies;  ///< to have the same content if it is the listed one
    std::vector<std::size_t> copy_indexes;
    /// What same pieces come from, one behind the other: so many bytes of a part, and a file of the tree, by its path.
    std::string base_part, base;  ///< empty: none
    std::uint64_t part_bytes = 0;
    bool is_optional = false;  ///< it is no error, if it turns out to be another content than announced
  };
  struct Step {
    enum class Is { data, hole, same, stored, keep, drop } is = Is::data;
    std::uint64_t length = 0, offset = 0;
    Buffer bytes;
    std::string sha256;  ///< keep
  };
  /// What became of an arrival that was to be kept.
  struct Outcome {
    std::size_t index = 0;
    bool placed = false;  ///< else it was optional, and turned out to be something else
    Entry entry;          ///< as it is now
    std::int64_t mtime_ns = 0;
    std::vector<std::pair<std::size_t, std::int64_t>> copies;  ///< that were placed as well, and their times
  };

 private:
  struct File;

 public:
  using Handle = std::shared_ptr<File>;

  /// `content_store` may be empty.
  Intake(const Root& root, const Placer& placer, const Parts& parts, os::Path content_store);
  /// What was begun and not finished is dropped; of large files the parts stay.
  ~Intake();
  Intake(const Intake&) = delete;
  Intake& operator=(const Intake&) = delete;
  Status start();

  static Handle begin(Arrival arrival);
  /// The next steps of a file; the last is keep or drop. Small ones may wait for others, until wait() for all.
  void give(const Handle& file, std::vector<Step>& steps);
  /// Waits until there is room for more, or (`all`) until nothing is left to be done. Calls `beat` now and then, whose
  /// failure ends it, and returns what went wrong in any file.
  Status wait(bool all, const std::function<Status()>& beat);
  /// Since the last call.
  std::vector<Outcome> outcomes();

 private:
  class Worker;
  struct Given {
    Handle file;
    std::vector<Step> steps;
  };
  void hand_over();
  void work(int number, Root root);
  void fail_with(Error error);
  bool has_idle_cores();

  const Root& root_;
  const Placer& placer_;
  const Parts& parts_;
  const os::Path content_store_;
  const unsigned workers_;  ///< threads
  std::mutex mutex_;
  std::condition_variable given_, done_;
  std::vector<Given> gathered_;  ///< by who gives, to be handed over
  std::uint64_t memory_gathered_ = 0;
  std::deque<Handle> ready_;            ///< files with steps that nobody works on
  std::atomic<std::uint64_t> held_{0};  ///< memory of what was handed over and not done
  std::size_t busy_ = 0;                ///< workers that work
  std::atomic<bool> stop_{false}, has_news_{false};
  std::optional<Error> error_;
  std::vector<Outcome> outcomes_;
  std::vector<std::thread> threads_;  // the last: they use the others
};

}  // namespace ferry::sync
