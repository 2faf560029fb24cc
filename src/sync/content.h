#pragma once
/// \file
/// Reading a file's content and noticing when it changes meanwhile.

#include <functional>

#include "base/hash.h"
#include "sync/root.h"

namespace ferry::sync {

/// True if a file with these marks was certainly not written to between the two.
bool untouched(const Standing& before, const Standing& after);

/// Called with each part that was read of a file and where it begins there, by the thread that read it: where several
/// read, several at once and in any order. A failure ends the reading.
using PartSink = std::function<Status(std::string_view bytes, std::uint64_t at)>;

/// What is to be read of an open file, and by how many threads; each takes a MiB of memory.
struct Range {
  int fd = -1;
  std::uint64_t from = 0, length = 0;
  unsigned threads = 1;
};
/// Adds it to `hash` and returns how many bytes there were, fewer if the file ends before. SHA-256 takes one byte after
/// the other, but what is done besides need not: while one thread hashes its part, the others read theirs and give them
/// to `sink` (may be empty), and wait for their turn. With one thread all is done by the caller, in order. `buffer`, of
/// the caller's thread, may be used again.
Result<std::uint64_t> hash_range(const Range& range, Sha256& hash, std::string& buffer, const PartSink& sink);

/// By how many threads a large file is best read: by more the turns take longer than they save.
unsigned threads_for_large_file();
/// Of smaller files and ranges, another thread costs more than it saves.
inline constexpr std::uint64_t large_file = std::uint64_t{4} << 20;

struct Hashed {
  Standing marks;  ///< before reading
  std::uint64_t size = 0;
  Digest sha256;
  Digest beginning_sha256;  ///< of as many bytes as were asked for; empty if there are not so many
  bool stable = false;      ///< nobody wrote to it meanwhile
};
struct HashSettings {
  unsigned threads = 1;
  std::uint64_t beginning = 0;  ///< the SHA-256 of so many bytes is asked for, too
  PartSink sink;                ///< may be empty
};
/// Reads a file as long as it was when it was opened. Tries again, a few times, while it changes.
Result<Hashed> hash_file(Root& root, std::string_view path, std::string& buffer, const HashSettings& settings = {});

/// Adds so many zeros, until `stop` (looked at now and then).
void add_zeros(Sha256& hash, std::uint64_t count, const std::function<bool()>& stop);

}  // namespace ferry::sync
