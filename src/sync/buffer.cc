#include "sync/buffer.h"

#include <mutex>
#include <vector>

namespace ferry::sync {

namespace {

constexpr std::size_t least_kept = std::size_t{64} << 10;
constexpr std::size_t most_spare = 16;  // of piece_size

struct Spare {
  std::mutex mutex;
  std::vector<std::unique_ptr<char[]>> buffers;
};

Spare& spare() {
  static Spare all;
  return all;
}

}  // namespace

void GiveBack::operator()(char* bytes) const {
  std::unique_ptr<char[]> own(bytes);
  if (!is_kept) return;
  const std::lock_guard hold(spare().mutex);
  if (spare().buffers.size() < most_spare) spare().buffers.push_back(std::move(own));
}

Buffer make_buffer(std::size_t length) {
  if (length < least_kept || length > piece_size) return {new char[length], GiveBack{}};
  {
    const std::lock_guard hold(spare().mutex);
    if (!spare().buffers.empty()) {
      Buffer found(spare().buffers.back().release(), GiveBack{.is_kept = true});
      spare().buffers.pop_back();
      return found;
    }
  }
  return {new char[piece_size], GiveBack{.is_kept = true}};
}

}  // namespace ferry::sync
