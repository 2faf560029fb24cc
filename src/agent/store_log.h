#pragma once
/// \file
/// The run's log in its store: pieces of the agent's log file (spool.h), whole records each, in the manifest as
/// kind log and paths "frames-OOOOOOOOOOOO", O being where the piece begins in that file. Put together in the
/// order of their names they are the file, to be read by parse_record().

#include <functional>
#include <vector>

#include "os/file.h"
#include "store/manifest.h"

namespace ferry::agent {

/// One thread.
class StoreLog {
 public:
  /// A piece is in memory while it is put.
  static constexpr std::size_t most_bytes = std::size_t{4} << 20;
  /// What is less than that waits so long for more.
  static constexpr std::int64_t wait_ms = 60'000;

  explicit StoreLog(os::Path file) : file_(std::move(file)) {}

  /// Goes on behind the pieces that a manifest names, as far as they are what the file holds: records that a
  /// machine's crash took are written anew. Where there is no file, all of them stand.
  void take_up(const std::vector<store::ManifestEntry>& entries);
  /// Puts what is new as pieces: `put` stores the bytes of the path and answers the key. All of it with `all`.
  Status add(bool all, std::int64_t steady_ms,
             const std::function<Result<std::string>(const std::string& path, std::string_view bytes)>& put);
  const std::vector<store::ManifestEntry>& pieces() const { return pieces_; }

 private:
  os::Path file_;
  std::vector<store::ManifestEntry> pieces_;
  std::uint64_t end_ = 0;  ///< of what is in pieces, in the file
  std::optional<std::int64_t> put_ms_;
};

}  // namespace ferry::agent
