#include "agent/stored_files.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <thread>

#include "store/content.h"
#include "sync/deposit.h"

namespace ferry::agent {

namespace {

using store::ManifestEntry;

/// Of a store across the world each file costs a round trip; large ones have several connections of their own.
constexpr std::size_t most_at_once = 16;

sync::Entry entry_of(const ManifestEntry& entry) {
  sync::Entry one{.path = entry.path, .mtime_ns = entry.mtime_ns};
  if (!entry.link.empty()) {
    one.type = sync::Type::link;
    one.target = entry.link;
    return one;
  }
  one.mode = entry.mode;
  one.size = entry.bytes;
  one.sha256 = store::raw_sha256(entry.sha256);
  return one;
}

struct Wanted {
  std::size_t index = 0;  ///< in the deposit
  std::string key;
  os::Path path;
  store::Content content;
};

/// Threads that fetch files, and the one that waits for them.
class Downloads {
 public:
  Downloads(std::vector<std::unique_ptr<store::Store>> stores, const std::vector<Wanted>& wanted)
      : stores_(std::move(stores)), wanted_(wanted) {
    for (auto& store : stores_) threads_.emplace_back([this, &store] { work(*store); });
  }
  ~Downloads() {
    stop_ = true;
    for (auto& thread : threads_) thread.join();
  }
  Downloads(const Downloads&) = delete;
  Downloads& operator=(const Downloads&) = delete;

  std::uint64_t moved() const { return moved_; }
  /// One that is whole, within a moment, or nothing.
  Result<std::optional<std::size_t>> next() {
    std::unique_lock hold(mutex_);
    changed_.wait_for(hold, std::chrono::milliseconds(50), [&] { return !whole_.empty() || error_; });
    if (!whole_.empty()) {
      const auto one = whole_.front();
      whole_.pop_front();
      return std::optional(one);
    }
    if (error_) return tl::unexpected<Error>(*error_);
    return std::optional<std::size_t>();
  }

 private:
  void work(store::Store& store) {
    for (auto at = next_++; at < wanted_.size() && !stop_; at = next_++) {
      const Wanted& one = wanted_[at];
      const auto got = store.get_file(
          one.key, one.path, one.content,
          [this](std::uint64_t bytes) {
            moved_ += bytes;
            return !stop_;
          },
          store::Flush::no);  // Deposit::finish() flushes all of them
      const std::lock_guard hold(mutex_);
      if (got) {
        whole_.push_back(at);
      } else {
        if (!error_) error_ = got.error();
        stop_ = true;
      }
      changed_.notify_all();
    }
  }

  std::vector<std::unique_ptr<store::Store>> stores_;
  const std::vector<Wanted>& wanted_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::size_t> whole_;  // places in wanted_
  std::optional<Error> error_;     // the first
  std::atomic<std::size_t> next_{0};
  std::atomic<std::uint64_t> moved_{0};
  std::atomic<bool> stop_{false};
  std::vector<std::thread> threads_;  // the last: they use the others
};

Status download(const OpenStore& open, sync::Deposit& deposit, const std::vector<Wanted>& wanted,
                const sync::Options& options, sync::Report& report) {
  std::vector<std::unique_ptr<store::Store>> stores;
  for (std::size_t i = 0; i < std::min(most_at_once, wanted.size()); ++i) {
    TRY_SET(store, "", open());
    stores.push_back(std::move(store));
  }
  sync::Progress progress;
  progress.files_total = wanted.size();
  for (const auto& one : wanted) progress.bytes_total += one.content.bytes;
  Downloads downloads(std::move(stores), wanted);
  while (progress.files_done < wanted.size()) {
    if (options.cancelled && options.cancelled()) return fail(Kind::cancelled, "stopped; what came home stays");
    TRY_SET(whole, "", downloads.next());
    if (whole) {
      TRY("", deposit.place(wanted[*whole].index));
      ++progress.files_done;
    }
    progress.bytes_done = std::min(downloads.moved(), progress.bytes_total);
    if (options.progress) options.progress(progress);
  }
  report.files_moved = progress.files_done;
  report.bytes_moved = progress.bytes_total;
  report.wire_bytes = downloads.moved();
  return {};
}

}  // namespace

std::vector<ManifestEntry> files_of(const store::Manifest& manifest) {
  std::vector<ManifestEntry> files;
  for (const auto& entry : manifest.entries) {
    if (is_file_of_run(entry.kind)) files.push_back(entry);
  }
  return files;
}

Result<sync::Report> take_stored(const OpenStore& open, const std::vector<ManifestEntry>& entries, const os::Path& root,
                                 const sync::ReceiveOptions& options) {
  std::map<std::string_view, const ManifestEntry*> by_path;
  std::vector<sync::Entry> list;
  for (const auto& entry : entries) {
    list.push_back(entry_of(entry));
    by_path[entry.path] = &entry;
  }
  TRY_SET(deposit, "", sync::Deposit::open(root, std::move(list), options));
  TRY_SET(missing, "", deposit.compare());
  std::vector<Wanted> wanted;
  for (const auto index : missing) {
    const auto& entry = *by_path.at(deposit.entries()[index].path);
    wanted.push_back({index, entry.key, deposit.incoming(index), {entry.sha256, entry.bytes}});
  }
  sync::Report report;
  TRY("", download(open, deposit, wanted, options, report));
  TRY_SET(notes, "", deposit.finish());
  report.notes = std::move(notes);
  report.entries = deposit.entries();
  for (const auto& entry : report.entries) {
    report.files += entry.type == sync::Type::file ? 1 : 0;
    report.bytes += entry.size;
  }
  return report;
}

}  // namespace ferry::agent
