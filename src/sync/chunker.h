#pragma once
/// \file
/// Cuts a content into chunks where its own bytes say so: what is the same in two files is cut the same, wherever it
/// stands in them. FastCDC with normalized chunking (Xia et al., "FastCDC: a Fast and Efficient Content-Defined
/// Chunking Approach for Data Deduplication", USENIX ATC 2016).

#include <array>
#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace ferry::sync {

inline constexpr std::size_t smallest_chunk = std::size_t{64} << 10;
inline constexpr std::size_t usual_chunk = std::size_t{256} << 10;
inline constexpr std::size_t largest_chunk = std::size_t{1} << 20;
/// What is larger has too many chunks to remember: it goes whole.
inline constexpr std::uint64_t largest_cut = std::uint64_t{256} << 30;

/// Where the first chunk of `bytes` ends. They must be largest_chunk or more, or all that is left of the content.
std::size_t first_chunk(std::string_view bytes);

/// What tells a chunk from others, by chance but not by malice: a file that is made of chunks is checked whole, by its
/// SHA-256.
using ChunkId = std::array<char, 16>;
struct Chunk {
  std::uint32_t length = 0;
  ChunkId id{};
  bool operator==(const Chunk&) const = default;
};
ChunkId chunk_id(std::string_view bytes);

/// The chunks of the first `size` bytes of `fd`, or of all that it has, in their order. Several threads cut, each with
/// 4 MiB of memory, and the result is what one would find. Meanwhile calls `beat` every tenth of a second, whose
/// failure ends it.
Result<std::vector<Chunk>> chunks_of(int fd, std::uint64_t size, const std::function<Status()>& beat);

}  // namespace ferry::sync
