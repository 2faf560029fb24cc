#pragma once
/// \file
/// Bringing what a run has stored to a folder: home, or back to a machine. The machine that wrote it may be hostile:
/// what comes is taken in by the receiver's rules (sync/deposit.h), and every SHA-256 is checked.

#include <functional>
#include <memory>
#include <vector>

#include "store/manifest.h"
#include "store/store.h"
#include "sync/sync.h"

namespace ferry::agent {

/// In the store, below a rank's records: how its job ended, as JobStatus.
inline constexpr const char* end_record = "end.json";

using OpenStore = std::function<Result<std::unique_ptr<store::Store>>()>;

/// Outputs and checkpoints: what a run is for.
constexpr bool is_file_of_run(store::FileKind kind) {
  return kind == store::FileKind::output || kind == store::FileKind::checkpoint;
}
/// Those of the manifest.
std::vector<store::ManifestEntry> files_of(const store::Manifest& manifest);

/// The entries come below `root`, several at once, each over a store of its own that `open` gives; what stands there
/// already does not come again. Of the options: those of Deposit::open(), progress, cancelled. The report's entries are
/// what now stands there, with its folders. Fails as store::Store::get_file() and sync::Deposit.
Result<sync::Report> take_stored(const OpenStore& open, const std::vector<store::ManifestEntry>& entries,
                                 const os::Path& root, const sync::ReceiveOptions& options);

}  // namespace ferry::agent
