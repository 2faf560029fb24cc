#pragma once
/// \file
/// Reading a file's content and noticing when it changes meanwhile.

#include <functional>

#include "base/hash.h"
#include "sync/root.h"

namespace ferry::sync {

/// True if a file with these marks was certainly not written to between the two.
bool untouched(const Standing& before, const Standing& after);

struct Hashed {
  Standing marks;  ///< before reading
  std::uint64_t size = 0;
  Digest sha256;
  bool stable = false;  ///< nobody wrote to it meanwhile
};

/// Reads at most as many bytes as `before` says the file has, giving each piece to `sink` (may be empty),
/// whose failure ends it.
Result<Hashed> read_content(int fd, const Standing& before, std::string& buffer,
                            const std::function<Status(std::string_view)>& sink);

/// Tries again, a few times, while the file changes. `sink` as above.
Result<Hashed> hash_file(Root& root, std::string_view path, std::string& buffer,
                         const std::function<Status(std::string_view)>& sink = {});

/// Adds so many zeros, until `stop` (looked at now and then).
void add_zeros(Sha256& hash, std::uint64_t count, const std::function<bool()>& stop);

inline constexpr std::size_t content_buffer = std::size_t{256} << 10;

}  // namespace ferry::sync
