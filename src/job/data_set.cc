#include "job/data_set.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <thread>

#include "base/text.h"
#include "fleet/labels.h"
#include "store/content.h"

namespace ferry::job {
namespace {

constexpr const char* phase = "data";
/// Small files cost a round trip each; large ones have several connections of their own.
constexpr std::size_t at_once = 16;

struct Lacking {
  std::string path;  ///< one of those that hold it
  store::Content content;
};

std::vector<store::ManifestEntry> files_of(const sync::Tree& tree) {
  std::vector<store::ManifestEntry> files;
  for (const auto& entry : tree.entries) {
    if (entry.type == sync::Type::folder) continue;
    store::ManifestEntry file{.path = entry.path, .mtime_ns = entry.mtime_ns};
    if (entry.type == sync::Type::link) {
      file.link = entry.target.str();
    } else {
      file.bytes = entry.size;
      file.sha256 = hex(entry.sha256);
      file.mode = entry.mode & 0777;
      file.key = store::content_key(file.sha256);
    }
    files.push_back(std::move(file));
  }
  return files;
}

/// Each content that the store lacks, once; large ones first, so that none is left alone at the end.
std::vector<Lacking> lacking(const std::vector<store::ManifestEntry>& files, const std::vector<std::string>& there) {
  std::map<std::string_view, Lacking> wanted;
  for (const auto& file : files) {
    if (!file.link.empty() || std::ranges::binary_search(there, file.sha256)) continue;
    wanted.try_emplace(file.sha256, Lacking{file.path, {file.sha256, file.bytes}});
  }
  std::vector<Lacking> all;
  for (auto& [sha, one] : wanted) all.push_back(std::move(one));
  std::ranges::stable_sort(all, std::greater<>(), [](const Lacking& one) { return one.content.bytes; });
  return all;
}

/// Threads that put contents, and the one that waits for them.
class Uploads {
 public:
  Uploads(std::vector<std::unique_ptr<store::Store>> stores, const std::vector<Lacking>& wanted,
          std::function<os::Path(const std::string&)> place)
      : stores_(std::move(stores)), wanted_(wanted), place_(std::move(place)) {
    for (auto& store : stores_) threads_.emplace_back([this, &store] { work(*store); });
  }
  ~Uploads() { stop(); }
  Uploads(const Uploads&) = delete;
  Uploads& operator=(const Uploads&) = delete;

  std::uint64_t moved() const { return moved_; }
  std::size_t done() const { return done_; }
  bool is_over() const { return has_failed_ || done_ == wanted_.size(); }
  std::optional<Error> stop() {
    stop_ = true;
    for (auto& thread : threads_) thread.join();
    threads_.clear();
    return error_;
  }

 private:
  void work(store::Store& store) {
    for (auto at = next_++; at < wanted_.size() && !stop_; at = next_++) {
      const auto& one = wanted_[at];
      const auto put = store.put_file(store::content_key(one.content.sha256), place_(one.path), one.content, {},
                                      [this](std::uint64_t bytes) {
                                        moved_ += bytes;
                                        return !stop_;
                                      });
      if (put) {
        ++done_;
        continue;
      }
      const std::lock_guard hold(mutex_);
      if (!error_) error_ = put.error();
      has_failed_ = stop_ = true;
    }
  }

  std::vector<std::unique_ptr<store::Store>> stores_;
  const std::vector<Lacking>& wanted_;
  std::function<os::Path(const std::string&)> place_;
  std::mutex mutex_;
  std::optional<Error> error_;  // the first
  std::atomic<std::size_t> next_{0}, done_{0};
  std::atomic<std::uint64_t> moved_{0};
  std::atomic<bool> stop_{false}, has_failed_{false};
  std::vector<std::thread> threads_;  // the last: they use the others
};

}  // namespace

std::string describe_pace(std::uint64_t done, std::uint64_t of, std::int64_t ms) {
  std::string text = fmt::format("{} of {}", show_bytes(done), show_bytes(of));
  if (ms < 1000 || done == 0) return text;
  const auto per_second = done * 1000 / static_cast<std::uint64_t>(ms);
  text += fmt::format(" · {}/s", show_bytes(per_second));
  if (done < of && per_second > 0) text += fmt::format(" · {} left", show_duration(Seconds((of - done) / per_second)));
  return text;
}

Result<PutSet> put_set(fleet::Context& context, const std::function<Result<std::unique_ptr<store::Store>>()>& open,
                       const os::Path& root, sync::Tree tree, const std::string& name) {
  context.progress.begin(phase, fmt::format("reading {}, {}", name, show_bytes(tree.bytes)));
  TRY("read " + name, sync::hash_tree(root, tree, context.data / "data-hashes"));
  auto files = files_of(tree);
  PutSet out;
  out.set = {.id = store::set_id(files), .name = name, .by = fleet::owner_name(), .made_ms = context.clock.now_ms()};
  for (const auto& file : files) {
    out.set.files += file.link.empty() ? 1 : 0;
    out.set.bytes += file.bytes;
  }
  TRY_SET(store, "", open());
  const auto known = store::look_up_set(*store, out.set.id);
  if (known) {
    out.set = *known;
    context.progress.done(phase, fmt::format("{} ({}) is in the store already", name, show_bytes(out.set.bytes)),
                          {{"set", out.set.id}, {"sent_bytes", 0}});
    return out;
  }
  if (known.error().kind != Kind::not_found && known.error().kind != Kind::corrupt)
    return tl::unexpected<Error>(known.error());
  TRY("", store::begin_set(*store, out.set.id, out.set.by, out.set.made_ms));
  TRY_SET(there, "", store::stored_contents(*store));
  const auto wanted = lacking(files, there);
  std::uint64_t bytes = 0;
  for (const auto& one : wanted) bytes += one.content.bytes;
  std::vector<std::unique_ptr<store::Store>> stores;
  for (std::size_t i = 0; i < std::min(at_once, wanted.size()); ++i) {
    TRY_SET(one, "", open());
    stores.push_back(std::move(one));
  }
  const auto began = context.clock.steady_ms();
  {
    Uploads uploads(std::move(stores), wanted, [&](const std::string& path) { return root / path; });
    while (!uploads.is_over()) {
      if (context.check_signals(false) != fleet::Interrupt::go_on)
        return fail(Kind::cancelled, "cancelled; what went over stays, and is not sent again");
      context.clock.sleep(Millis(100));
      context.progress.update(
          describe_pace(std::min(uploads.moved(), bytes), bytes, context.clock.steady_ms() - began));
    }
    if (auto error = uploads.stop()) return fail("store " + name, *std::move(error));
  }
  TRY("", store::commit_set(*store, out.set, files));
  out.sent_files = wanted.size();
  out.sent_bytes = bytes;
  context.progress.done(
      phase,
      fmt::format("{}, {}: {} sent to {}", name, show_bytes(out.set.bytes), show_bytes(bytes), printable(store->uri())),
      {{"set", out.set.id}, {"files", out.set.files}, {"bytes", out.set.bytes}, {"sent_bytes", bytes}});
  return out;
}

}  // namespace ferry::job
