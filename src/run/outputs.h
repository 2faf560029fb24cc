#pragma once
/// \file
/// Bringing a run's outputs home.

#include "run/link.h"
#include "sync/sync.h"

namespace ferry::run {

struct Outputs {
  sync::Report report;
  std::vector<std::string> missing;  ///< outputs the task names that the training did not make
  bool everything_new =
      false;  ///< because some were missing, all files the run made or changed came home instead
};

/// Fetches into run.home: every SHA-256 is checked, every file written complete or not at all. When a named
/// output does not exist, all files that the run made or changed in its workdir come home, too: the model may
/// be there under another name. `progress` may be empty. One fetch of a run at a time (a lock), in whichever
/// process.
Result<Outputs> fetch_outputs(Doors& doors, Link& link, const Folder& folder, const ledger::Run& run,
                              const sync::Options& options = {});

/// Writes the training's output as plain text to run.home/train.log.
Status write_train_log(const Folder& folder, const ledger::Run& run);

/// Makes the folder under which runs' outputs come home, with a .gitignore so that results are never uploaded
/// with the next run. Fails if it cannot be written to.
Status make_results(const os::Path& results);

}  // namespace ferry::run
