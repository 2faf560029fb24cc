#include "mux/gather.h"

namespace ferry::mux {

Status Gather::add(std::uint64_t at, std::string_view bytes, std::uint64_t room, std::string& out) {
  // Whoever has sent all that it may has sent the bytes up to here, whatever came of them.
  const auto end = next_ + early_size_ + room;
  if (at < next_ || at > end || bytes.size() > end - at)
    return fail(Kind::corrupt, "the other end sends bytes of a stream twice, or beyond what it may");
  if (at == next_ && early_.empty()) {
    out += bytes;
    next_ += bytes.size();
    return {};
  }
  const auto twice = [] { return fail(Kind::corrupt, "the other end sends bytes of a stream twice"); };
  const auto after = early_.upper_bound(at);
  if (after != early_.end() && bytes.size() > after->first - at) return twice();
  early_size_ += bytes.size();
  if (after != early_.begin()) {
    auto& [begin, piece] = *std::prev(after);
    if (begin + piece.size() > at) return twice();
    if (begin + piece.size() == at) {
      piece += bytes;
      return {};
    }
  }
  early_.emplace_hint(after, at, bytes);
  if (early_.size() > most_pieces) return fail(Kind::corrupt, "the other end sends a stream in too many pieces");
  for (auto first = early_.begin(); first != early_.end() && first->first == next_; first = early_.erase(first)) {
    out += first->second;
    next_ += first->second.size();
    early_size_ -= first->second.size();
  }
  return {};
}

}  // namespace ferry::mux
