#pragma once
/// \file
/// What one rank of one attempt has stored: the object manifest.json (keys.h), put when everything it names
/// is there. Whoever reads a run from a store goes by it alone. JSON:
///
///     {"format": 1, "run": "digits-gvw", "attempt": 1, "rank": 0, "made_ms": …, "complete": true,
///      "entries": [{"path", "kind", "bytes", "sha256", "mode", "key", "mtime_ns"},
///                  {"path", "kind", "link", "mtime_ns"} …], "sha256": …}
///
/// Entries are in the order of kind and path. What is not UTF-8 is "path_base64" instead of "path", "link_base64"
/// instead of "link".
/// The last member is the SHA-256 of the object without it, written with sorted names and no spaces.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "store/keys.h"

namespace ferry::store {

struct ManifestEntry {
  std::string path;  ///< relative, clean (is_clean_path), as bytes; below the workdir for outputs and checkpoints
  FileKind kind = FileKind::output;
  std::uint64_t bytes = 0;
  std::string sha256;      ///< hexadecimal
  std::uint32_t mode = 0;  ///< permission bits, at most 0777
  std::string key;         ///< below runs/RUN/, maybe of an earlier attempt that stored the same
  std::int64_t mtime_ns = 0;
  /// Not empty: a symbolic link, and what it holds (at most most_link bytes, no NUL). It has no content and no object:
  /// bytes, sha256, mode and key are empty.
  std::string link = {};
  bool operator==(const ManifestEntry&) const = default;
};

struct Manifest {
  std::string run;
  int attempt = 1, rank = 0;
  std::int64_t made_ms = 0;  ///< since 1970, by the clock of who wrote it
  bool complete = false;     ///< all of the attempt's outputs are in it; false: what there was so far (checkpoints)
  std::vector<ManifestEntry> entries;
  bool operator==(const Manifest&) const = default;
};

inline constexpr std::size_t most_manifest_bytes = std::size_t{256} << 20;
inline constexpr std::size_t most_link = 4096;
inline constexpr std::size_t most_entries = 500'000;

/// The entries are put in order. Fails bad_input when it would not be read back: what parse_manifest()
/// refuses.
Result<std::string> manifest_text(Manifest manifest);

/// Reads bytes from outside. Fails corrupt on anything but what manifest_text() writes: another form, a wrong
/// hash, a path that leaves the folder or that stands both for a file and for a folder, two entries of one
/// kind and path, a key of another run, too much of anything; unsupported for a format of a later ferry.
Result<Manifest> parse_manifest(std::string_view text);

}  // namespace ferry::store
