#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>

#include "base/text.h"
#include "sync/content.h"
#include "sync/state.h"
#include "sync/sync.h"

namespace ferry::sync {

namespace {

constexpr std::size_t looked_at_once = 512, hashed_at_once = 16;   // of files that lie side by side
constexpr std::uint64_t least_beginning = std::uint64_t{1} << 20;  // what a receiver asks for the rest of

/// What the next look compares, beside what the entry has. Inode 0: the hash alone is remembered, and without a time
/// not even that.
struct Marks {
  std::uint64_t inode = 0;
  std::int64_t ctime_ns = 0;
};

class TreeHasher {
 public:
  TreeHasher(const os::Path& root, Tree& tree, const os::Path& cache_file)
      : root_(root), tree_(tree), cache_file_(cache_file), known_(State::load(cache_file)) {
    if (!cache_file.empty()) marks_.resize(tree.entries.size());
  }

  Status run() {
    TRY("", on_all_cores(tree_.entries.size(), looked_at_once, [this](auto&&... it) { look_up(it...); }));
    std::sort(todo_.begin(), todo_.end());
    // The large ones first, so that no core is left with one at the end; the others as they lie in their folders.
    const auto small = std::stable_partition(todo_.begin(), todo_.end(),
                                             [&](std::size_t i) { return tree_.entries[i].size >= large_file; });
    std::sort(todo_.begin(), small,
              [&](std::size_t a, std::size_t b) { return tree_.entries[a].size > tree_.entries[b].size; });
    const auto large = static_cast<std::size_t>(small - todo_.begin());
    for (std::size_t i = 0; i < large; ++i) large_bytes_ += tree_.entries[todo_[i]].size;
    TRY("", on_all_cores(large, 1, [this](auto&&... it) { hash(it...); }));
    begin_small_ = large;
    TRY("", on_all_cores(todo_.size() - large, hashed_at_once, [this](auto&&... it) { hash(it...); }));
    const bool news = !todo_.empty() || recalled_ != known_.loaded();
    tree_.is_new = !cache_file_.empty() && known_.loaded() * 2 < tree_.files;
    const auto saved = news ? save() : Status();
    leave_out_failures();
    return saved;
  }

 private:
  static bool is_hashed(const Entry& entry) { return entry.type == Type::file && !entry.unsettled; }

  /// Calls `work(root, known, first, last)` for all of 0…count, some at a time.
  template <class Work>
  Status on_all_cores(std::size_t count, std::size_t at_once, const Work& work) {
    std::atomic<std::size_t> next{0};
    const auto go = [&](Root root) {
      State known = known_;
      for (std::size_t first = next.fetch_add(at_once); first < count; first = next.fetch_add(at_once))
        work(root, known, first, std::min(first + at_once, count));
    };
    if (count == 0) return {};
    TRY_SET(own, "", Root::open(root_, tree_.grafts));
    const std::size_t cores = std::max(1U, std::thread::hardware_concurrency());
    std::vector<std::thread> others;
    while (others.size() + 1 < std::min(cores, (count + at_once - 1) / at_once)) {
      auto root = Root::open(root_, tree_.grafts);
      if (!root) break;
      others.emplace_back([&go, mine = *std::move(root)]() mutable { go(std::move(mine)); });
    }
    go(std::move(own));
    for (std::thread& other : others) other.join();
    return {};
  }

  void look_up(Root& root, const State& known, std::size_t first, std::size_t last) {
    std::vector<std::uint32_t> unknown;
    std::size_t recalled = 0;
    for (std::size_t i = first; i < last; ++i) {
      const Entry& entry = tree_.entries[i];
      if (!is_hashed(entry)) continue;
      const auto marks = known.empty() ? Result<Standing>(Standing()) : root.look(entry.path);
      const auto sha256 = marks ? known.hash_of(entry.path, *marks) : std::nullopt;
      if (sha256) {
        note(i, *marks, *sha256, true);
        ++recalled;
      } else {
        unknown.push_back(static_cast<std::uint32_t>(i));
      }
    }
    const std::lock_guard lock(mutex_);
    recalled_ += recalled;
    todo_.insert(todo_.end(), unknown.begin(), unknown.end());
  }

  void hash(Root& root, const State& known, std::size_t first, std::size_t last) {
    thread_local std::string buffer;
    for (std::size_t at = begin_small_ + first; at < begin_small_ + last; ++at) {
      const std::size_t i = todo_[at];
      const std::string& path = tree_.entries[i].path;
      const bool is_large = tree_.entries[i].size >= large_file;
      const auto earlier = is_large ? known.find(path) : std::nullopt;
      HashSettings settings;
      // The others would be done long before it.
      if (is_large && tree_.entries[i].size > large_bytes_ / 2) settings.threads = threads_for_large_file();
      const bool was_large = earlier && earlier->type == Type::file && earlier->size >= least_beginning;
      if (was_large) settings.beginning = earlier->size;
      auto hashed = hash_file(root, path, buffer, settings);
      if (!hashed) {
        const std::lock_guard lock(mutex_);
        failures_.emplace(i, std::move(hashed).error());
        continue;
      }
      if (hashed->stable && was_large) note_change(path, *earlier, *hashed);
      hashed->marks.inode = file_record(hashed->marks, hashed->sha256, begin_ns_).inode;
      hashed->marks.size = hashed->size;
      // By the hash alone the next look knows of what a large file may be a continuation.
      const bool is_remembered = hashed->stable && (hashed->marks.inode != 0 || is_large);
      note(i, hashed->marks, hashed->sha256, is_remembered);
    }
  }

  void note_change(const std::string& path, const Record& earlier, const Hashed& now) {
    const std::lock_guard lock(mutex_);
    if (!now.beginning_sha256.empty()) tree_.beginnings.emplace(path, Beginning{earlier.size, now.beginning_sha256});
    if (now.beginning_sha256 != earlier.sha256 && now.sha256 != earlier.sha256) tree_.revised.push_back(path);
  }

  void note(std::size_t i, const Standing& marks, const Digest& sha256, bool is_remembered) {
    Entry& entry = tree_.entries[i];
    entry.size = marks.size;
    entry.mtime_ns = marks.mtime_ns;
    entry.mode = marks.mode;
    entry.sha256 = sha256;
    if (is_remembered && !marks_.empty()) marks_[i] = {marks.inode, marks.ctime_ns};
  }

  Status save() {
    if (cache_file_.empty()) return {};
    TRY_SET(writer, "remember the tree", StateWriter::begin(cache_file_));
    const std::string* before = nullptr;
    for (std::size_t i = 0; i < tree_.entries.size(); ++i) {
      const Entry& entry = tree_.entries[i];
      if ((marks_[i].inode == 0 && marks_[i].ctime_ns == 0) || (before != nullptr && *before >= entry.path)) continue;
      before = &entry.path;
      TRY("remember the tree", writer.add(entry.path, {.type = Type::file,
                                                       .size = entry.size,
                                                       .inode = marks_[i].inode,
                                                       .mtime_ns = entry.mtime_ns,
                                                       .ctime_ns = marks_[i].ctime_ns,
                                                       .sha256 = entry.sha256}));
    }
    TRY("remember the tree", writer.commit());
    return {};
  }

  void leave_out_failures() {
    for (const auto& [i, why] : failures_) {
      Entry& entry = tree_.entries[i];
      const bool vanished = why.kind == Kind::not_found;
      const auto problem = printable(entry.path) + ": " + (vanished ? "it vanished" : why.what);
      tree_.skipped.push_back("skipped " + problem);
      if (!vanished) tree_.left_out.push_back(problem);
      entry.path.clear();
    }
    if (!failures_.empty()) std::erase_if(tree_.entries, [](const Entry& entry) { return entry.path.empty(); });
    tree_.files = tree_.bytes = 0;
    for (const Entry& entry : tree_.entries) {
      tree_.files += is_hashed(entry) ? 1 : 0;
      tree_.bytes += entry.size;
    }
  }

  const os::Path& root_;
  Tree& tree_;
  const os::Path& cache_file_;
  const State known_;
  const std::int64_t begin_ns_ = file_clock_ns();
  std::vector<std::uint32_t> todo_;  ///< places in the tree's entries
  std::uint64_t recalled_ = 0;
  std::size_t begin_small_ = 0;
  std::uint64_t large_bytes_ = 0;
  std::vector<Marks> marks_;  ///< of each entry
  std::mutex mutex_;
  std::map<std::size_t, Error> failures_;
};

}  // namespace

Status hash_tree(const os::Path& root, Tree& tree, const os::Path& cache_file) {
  return TreeHasher(root, tree, cache_file).run();
}

}  // namespace ferry::sync
