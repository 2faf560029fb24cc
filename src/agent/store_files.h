#pragma once
/// \file
/// Which files of a run belong into its store, as they are now.

#include <set>
#include <string>
#include <vector>

#include "agent/store_settings.h"
#include "store/manifest.h"
#include "store/store.h"

namespace ferry::agent {

struct StoreFile {
  std::string path;  ///< in the manifest
  store::FileKind kind = store::FileKind::output;
  store::Content content;
  std::uint32_t mode = 0;
  std::int64_t mtime_ns = 0;
  os::Path from;         ///< where it is read
  bool as_sent = false;  ///< as it once went over: not of this run
};

struct StoreFiles {
  std::vector<StoreFile> files;
  std::vector<store::ManifestEntry> links;  ///< which stay links: what they lead to is stored, too, or leads nowhere
  std::set<std::string> unsettled;          ///< paths of files that are being written
  std::vector<std::string> left_out;        ///< what belongs to them and cannot be read; one line each

  /// Everything could be read, and something of the run's own is there: what is not, was removed by the run.
  bool tells_what_vanished() const;
};

struct Look {
  bool last = false;           ///< the run is over: nothing is being written
  std::int64_t killed_ms = 0;  ///< for `last`: when the job had to be killed; what was written just then is unsettled
  Millis settle{3'000};        ///< while it goes on: a file that changed less long ago may be half of one
  bool open_up = false;        ///< as OutputsQuery::open_up
  std::int64_t run_began_ms = 0;  ///< for `last`: when its command was started; 0: it never was
  os::Path hashes;                ///< remembers hashes (hash_tree); another file with "-all" behind it, too
};

/// Hashes what is new. While the run goes on: what the task calls outputs (or outputs/) and checkpoints, of
/// which nobody writes. At its end all of these, and, as a fetch does (job/outputs.h), everything the run made
/// where some of what the task names is not there.
Result<StoreFiles> look_for_files(const StoreSettings& settings, const Look& look);

}  // namespace ferry::agent
