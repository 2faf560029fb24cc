#include "sync/chunker.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "base/hash.h"
#include "base/text.h"

namespace ferry::sync {

namespace {

/// Random numbers, one for each byte (SplitMix64: Steele et al., "Fast Splittable Pseudorandom Number Generators",
/// 2014). Both ends must have the same: to change them is to change the protocol.
constexpr std::array<std::uint64_t, 256> make_gear() {
  std::array<std::uint64_t, 256> gear{};
  std::uint64_t seed = 0x6665727279;  // "ferry"
  for (auto& one : gear) {
    seed += 0x9e3779b97f4a7c15;
    std::uint64_t mixed = (seed ^ seed >> 30) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111eb;
    one = mixed ^ mixed >> 31;
  }
  return gear;
}
constexpr auto gear = make_gear();

/// A cut is where these bits are zero, the highest: they know the last 64 bytes. 18 would cut every 256 KiB; normalized
/// (level 2 of the paper), up to there two more must be, after it two fewer.
constexpr std::uint64_t top_bits(int count) { return ~std::uint64_t{0} << (64 - count); }
constexpr std::uint64_t strict = top_bits(20), loose = top_bits(16);

constexpr std::size_t chunk_buffer = std::size_t{4} << 20;

}  // namespace

std::size_t first_chunk(std::string_view bytes) {
  const std::size_t end = std::min(bytes.size(), largest_chunk), middle = std::min(end, usual_chunk);
  const auto* at = reinterpret_cast<const unsigned char*>(bytes.data());
  std::uint64_t hash = 0;
  std::size_t i = std::min(smallest_chunk, end);
  for (; i < middle; ++i) {
    hash = (hash << 1) + gear[at[i]];
    if ((hash & strict) == 0) return i + 1;
  }
  for (; i < end; ++i) {
    hash = (hash << 1) + gear[at[i]];
    if ((hash & loose) == 0) return i + 1;
  }
  return end;
}

ChunkId chunk_id(std::string_view bytes) {
  ChunkId id;
  const std::string whole = sha256(bytes);
  std::memcpy(id.data(), whole.data(), id.size());
  return id;
}

Status each_chunk(int fd, std::uint64_t offset, const std::function<Status(std::string_view)>& sink) {
  const auto buffer = std::make_unique_for_overwrite<char[]>(chunk_buffer);
  std::size_t have = 0;
  for (bool at_end = false; !at_end;) {
    while (have < chunk_buffer) {
      const ssize_t got = ::pread(fd, buffer.get() + have, chunk_buffer - have, static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return fail_errno("read");
      if (got == 0) at_end = true;
      if (got == 0) break;
      have += static_cast<std::size_t>(got);
      offset += static_cast<std::uint64_t>(got);
    }
    std::string_view rest(buffer.get(), have);
    while (rest.size() >= largest_chunk || (at_end && !rest.empty())) {
      const std::size_t length = first_chunk(rest);
      TRY("", sink(rest.substr(0, length)));
      rest.remove_prefix(length);
    }
    have = rest.size();
    std::memmove(buffer.get(), rest.data(), have);
  }
  return {};
}

}  // namespace ferry::sync
