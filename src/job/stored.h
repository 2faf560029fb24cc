#pragma once
/// \file
/// What a run has in its store, seen from this computer, and bringing it home from there. The machine that wrote it may
/// be hostile: what comes is taken in by the receiver's rules (sync/deposit.h), and every SHA-256 is checked.

#include <functional>
#include <memory>
#include <optional>

#include "agent/stored_files.h"
#include "job/local_log.h"
#include "job/outputs.h"
#include "store/manifest.h"
#include "store/store.h"

namespace ferry::job {

using agent::end_record;

struct Stored {
  store::Manifest manifest;
  std::optional<agent::JobStatus> end;  ///< of a complete one

  /// All that the attempt will ever store is there.
  bool is_complete() const { return manifest.complete && end.has_value(); }
  std::size_t count(store::FileKind kind) const;
};

/// Of one node; nothing where it has stored nothing (yet). Fails corrupt for what cannot be right.
Result<std::optional<Stored>> look_at_stored(store::Store& store, const std::string& run, int attempt, int rank);

using agent::OpenStore;

/// Outputs and checkpoints come to run.output_dir, several at once, each over a store of its own that `open` gives.
/// Otherwise as fetch_outputs(): one fetch of a run at a time, and one that was cancelled goes on where it was.
Result<Outputs> fetch_stored(fleet::Context& context, const OpenStore& open, const fleet::RunDir& run_dir,
                             const ledger::Run& run, const Stored& stored, const sync::Options& options = {});

/// Notes in the ledger what is in the store of a run of which nothing is home yet.
Status record_stored(fleet::Context& context, const ledger::Run& run, const Stored& stored);

/// Adds what the copy here lacks of the log. A piece that is missing or damaged ends it: corrupt.
Status add_stored_log(store::Store& store, const Stored& stored, LocalLog& log);

}  // namespace ferry::job
