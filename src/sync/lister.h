#pragma once
/// \file
/// Lists folders ahead of a walk, on other cores and while the disk is waited for. Internal to the scan, which decides
/// one folder after the other.

#include <condition_variable>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "sync/root.h"

namespace ferry::sync {

class Lister {
 public:
  explicit Lister(const os::Path& root) : path_(root) {}
  Lister(const Lister&) = delete;
  /// Waits for what is being listed.
  ~Lister();

  /// The folders, in this order, will be asked for before those of earlier wishes.
  void wish(const std::vector<std::string>& folders);
  /// What was listed, or is now, by `root` if nobody has begun.
  Result<Listing> list(const std::string& folder, Root& root);

 private:
  struct Wish {
    std::vector<std::string> folders;  ///< not begun, the next one last
    std::size_t ahead = 0;             ///< begun, or done and not asked for yet
  };
  struct Ahead {
    std::shared_ptr<Wish> wish;
    bool is_done = false;
    Result<Listing> listing = Listing();
  };
  void work(Root root);
  std::shared_ptr<Wish> next_wish() const;
  void take_back(const std::string& folder);
  void start();

  const os::Path path_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::shared_ptr<Wish>> wishes_;
  std::unordered_map<std::string, Ahead> ahead_;
  std::size_t items_ahead_ = 0;
  bool ends_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace ferry::sync
