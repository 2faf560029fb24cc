#pragma once
/// \file
/// Memory for pieces of files, which come and go by the thousand: what was given back last is taken next, for pages
/// that are new to the process cost more than reading into them. Internal to this room.

#include <cstddef>
#include <memory>

namespace ferry::sync {

/// What files are read and written in.
inline constexpr std::size_t piece_size = std::size_t{256} << 10;

/// Ends a Buffer.
struct GiveBack {
  bool is_kept = false;
  void operator()(char* bytes) const;
};
using Buffer = std::unique_ptr<char[], GiveBack>;

/// Room for `length` bytes or more; what is in them, nobody knows. From and on any thread.
Buffer make_buffer(std::size_t length);

}  // namespace ferry::sync
