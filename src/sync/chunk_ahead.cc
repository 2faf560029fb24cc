#include "sync/chunk_ahead.h"

#include "sync/content.h"

namespace ferry::sync {

ChunkAhead::ChunkAhead(Root root, const std::vector<std::string>& paths) : root_(std::move(root)) {
  for (const std::string& path : paths) cuts_[path];
  thread_ = std::thread([this] { work(); });
}

ChunkAhead::~ChunkAhead() {
  stop_ = true;
  thread_.join();
}

void ChunkAhead::work() {
  for (auto& [path, cut] : cuts_) {
    {
      const std::lock_guard hold(mutex_);
      if (stop_ || std::exchange(cut.is_begun, true)) continue;
    }
    const auto file = root_.open_file(path);
    const auto marks = file ? standing_of(file->get()) : tl::unexpected<Error>(file.error());
    auto chunks = marks ? chunks_of(file->get(), marks->size,
                                    [this] { return stop_ ? fail(Kind::cancelled, "stopped") : Status(); })
                        : tl::unexpected<Error>(marks.error());
    const std::lock_guard hold(mutex_);
    if (chunks) cut.marks = *marks;
    if (chunks) cut.chunks = *std::move(chunks);
    cut.is_done = true;
    done_.notify_all();
  }
}

std::optional<std::vector<Chunk>> ChunkAhead::take(const std::string& path, const Standing& marks) {
  const auto found = cuts_.find(path);
  if (found == cuts_.end()) return std::nullopt;
  Cut& cut = found->second;
  std::unique_lock hold(mutex_);
  if (!std::exchange(cut.is_begun, true)) return std::nullopt;
  done_.wait(hold, [&] { return cut.is_done; });
  if (cut.chunks.empty() || !untouched(cut.marks, marks)) return std::nullopt;
  return std::exchange(cut.chunks, {});
}

}  // namespace ferry::sync
