#include "sync/lister.h"

#include <algorithm>

namespace ferry::sync {

namespace {

constexpr std::size_t most_ahead = 16;            // listings of a wish: those of later wishes come first
constexpr std::size_t most_items_ahead = 65'536;  // names in them, of all wishes
constexpr std::size_t worth_threads = 3;          // folders
constexpr unsigned most_threads = 8;

}  // namespace

Lister::~Lister() {
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  changed_.notify_all();
  for (auto& thread : threads_) thread.join();
}

void Lister::wish(const std::vector<std::string>& folders) {
  if (folders.empty()) return;
  auto wish = std::make_shared<Wish>();
  wish->folders.assign(folders.rbegin(), folders.rend());
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(wishes_, [](const auto& one) { return one->folders.empty(); });
    wishes_.push_back(std::move(wish));
  }
  if (threads_.empty() && folders.size() >= worth_threads) start();
  changed_.notify_all();
}

std::shared_ptr<Lister::Wish> Lister::next_wish() const {
  if (items_ahead_ >= most_items_ahead) return nullptr;
  const auto wish = std::find_if(wishes_.rbegin(), wishes_.rend(),
                                 [](const auto& one) { return !one->folders.empty() && one->ahead < most_ahead; });
  return wish == wishes_.rend() ? nullptr : *wish;
}

void Lister::start() {
  // The walk itself takes little. A second thread pays on one core, too: it waits for the disk.
  const unsigned wanted = std::clamp(std::thread::hardware_concurrency(), 2U, most_threads);
  for (unsigned i = 0; i < wanted; ++i) {
    auto root = Root::open(path_);
    if (!root) return;
    threads_.emplace_back([this, mine = *std::move(root)]() mutable { work(std::move(mine)); });
  }
}

void Lister::work(Root root) {
  std::unique_lock lock(mutex_);
  while (true) {
    std::shared_ptr<Wish> wish;
    changed_.wait(lock, [&] { return ends_ || (wish = next_wish()) != nullptr; });
    if (ends_) return;
    const std::string folder = std::move(wish->folders.back());
    wish->folders.pop_back();
    ++wish->ahead;
    Ahead& mine = ahead_[folder];
    mine.wish = std::move(wish);
    lock.unlock();
    auto listing = root.list(folder);
    lock.lock();
    if (listing) items_ahead_ += listing->items.size();
    mine.listing = std::move(listing);
    mine.is_done = true;
    changed_.notify_all();
  }
}

void Lister::take_back(const std::string& folder) {
  for (auto wish = wishes_.rbegin(); wish != wishes_.rend(); ++wish) {
    auto& folders = (*wish)->folders;
    const auto found = std::find(folders.rbegin(), folders.rend(), folder);
    if (found == folders.rend()) continue;
    folders.erase(std::next(found).base());
    return;
  }
}

Result<Listing> Lister::list(const std::string& folder, Root& root) {
  std::unique_lock lock(mutex_);
  const auto found = ahead_.find(folder);
  if (found == ahead_.end()) {
    take_back(folder);
    lock.unlock();
    return root.list(folder);
  }
  Ahead& mine = found->second;  // stays where it is, unlike the iterator
  changed_.wait(lock, [&] { return mine.is_done; });
  auto listing = std::move(mine.listing);
  --mine.wish->ahead;
  if (listing) items_ahead_ -= listing->items.size();
  ahead_.erase(folder);
  lock.unlock();
  changed_.notify_all();
  return listing;
}

}  // namespace ferry::sync
