#include <atomic>
#include <mutex>
#include <thread>

#include "base/text.h"
#include "sync/content.h"
#include "sync/state.h"
#include "sync/sync.h"

namespace ferry::sync {

namespace {

struct Found {
  std::optional<Hashed> hashed;
  std::string problem;
  bool vanished = false;
};

/// Hashes files from a common list until it is empty. One per thread.
void hash_some(Root root, const std::vector<Entry*>& files, const State& known, std::vector<Found>& found,
               std::atomic<std::size_t>& next) {
  std::string buffer;
  for (std::size_t i = next++; i < files.size(); i = next++) {
    const std::string& path = files[i]->path;
    if (const auto marks = root.look(path)) {
      if (const Digest* sha256 = known.hash_of(path, *marks)) {
        found[i].hashed = Hashed{*marks, marks->size, *sha256, true};
        continue;
      }
    }
    auto hashed = hash_file(root, path, buffer);
    if (hashed) {
      found[i].hashed = *std::move(hashed);
    } else {
      found[i].vanished = hashed.error().kind == Kind::not_found;
      found[i].problem = found[i].vanished ? "it vanished" : hashed.error().what;
    }
  }
}

Status hash_all(const os::Path& root, const Root::Grafts& grafts, const std::vector<Entry*>& files, const State& known,
                std::vector<Found>& found) {
  const std::size_t cores = std::max(1U, std::thread::hardware_concurrency());
  std::atomic<std::size_t> next{0};
  std::vector<std::thread> workers;
  for (std::size_t i = 0; i + 1 < std::min(cores, files.size() / 16 + 1); ++i) {
    auto own = Root::open(root, grafts);
    if (!own) break;
    workers.emplace_back(
        [&, mine = *std::move(own)]() mutable { hash_some(std::move(mine), files, known, found, next); });
  }
  auto own = Root::open(root, grafts);
  Status opened = own ? Status() : fail("", own.error());
  if (own) hash_some(*std::move(own), files, known, found, next);
  for (std::thread& worker : workers) worker.join();
  return opened || !workers.empty() ? Status() : opened;
}

}  // namespace

Status hash_tree(const os::Path& root, Tree& tree, const os::Path& cache_file) {
  State known = State::load(cache_file), now;
  const std::int64_t begin = file_clock_ns();
  std::vector<Entry*> files;
  for (Entry& entry : tree.entries) {
    if (entry.type == Type::file && !entry.unsettled) files.push_back(&entry);
  }
  std::vector<Found> found(files.size());
  TRY("", hash_all(root, tree.grafts, files, known, found));
  bool news = files.size() != known.records().size();
  for (std::size_t i = 0; i < files.size(); ++i) {
    Entry& entry = *files[i];
    if (!found[i].hashed) {
      tree.skipped.push_back("skipped " + printable(entry.path) + ": " + found[i].problem);
      if (!found[i].vanished) tree.left_out.push_back(printable(entry.path) + ": " + found[i].problem);
      entry.sha256.clear();
      entry.path.clear();
      continue;
    }
    Hashed& hashed = *found[i].hashed;
    news = news || known.hash_of(entry.path, hashed.marks) == nullptr;
    entry.size = hashed.size;
    entry.mtime_ns = hashed.marks.mtime_ns;
    entry.mode = hashed.marks.mode;
    entry.sha256 = hashed.sha256;
    if (hashed.stable) now.note_file(entry.path, hashed.marks, hashed.sha256, begin);
  }
  std::erase_if(tree.entries, [](const Entry& entry) { return entry.path.empty(); });
  tree.files = tree.bytes = 0;
  for (const Entry& entry : tree.entries) {
    tree.files += entry.type == Type::file && !entry.unsettled ? 1 : 0;
    tree.bytes += entry.size;
  }
  return news ? now.save(cache_file) : Status{};
}

}  // namespace ferry::sync
