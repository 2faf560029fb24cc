#pragma once
/// \file
/// Keeps a run's store as the machine is: puts what is new, then the manifest that names it.
///
/// At every moment the manifest that is in the store is whole: a key that it names is never put with another
/// content. A file that was changed gets the key of its content (store/keys.h), and back. What it was before is
/// removed two manifests later. What the run removes stays in the store and leaves the manifest, but when
/// everything is gone at once, or could not be read.
///
/// When the machine is taken back (hurry()), every pass may be the last. Then what is there is named in the manifest
/// at once, but folder by folder, for a checkpoint is often several files: of a folder of which something could not be
/// put yet, no file that is written anew takes the place of the old one, and where the folder's name (or that of one
/// above it) has a number in it, as that of a checkpoint has, nothing new is named either. What does not go in the time
/// that is left is absent. The log and the record of the end go first, small files before large ones. Of a job that
/// had to be killed, what was written in its last second may be half of something, and counts as not put.
///
/// While a pass is under way, files of paths that no manifest names yet are committed once a minute: of files
/// that belong together and are written anew in place, a manifest has those of one pass.

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/store_files.h"
#include "agent/store_log.h"
#include "store/manifest.h"

namespace ferry::agent {

/// What the last manifest in the store names of outputs and checkpoints.
struct Committed {
  std::uint64_t files = 0, bytes = 0;
  std::int64_t made_ms = 0;  ///< 0: there is none
  bool operator==(const Committed&) const = default;
};

struct KeeperOptions {
  StoreSettings settings;
  os::Path dir;  ///< the agent's folder of the run: its log, and what this must remember
  /// A new connection to the store. Called from several threads.
  std::function<Result<std::unique_ptr<store::Store>>()> open;
  std::function<void(std::uint64_t bytes)> moved = [](std::uint64_t) {};  ///< from several threads
  std::function<void(bool)> looking = [](bool) {};                        ///< begins, ends to look through the files
  std::function<void(const Committed&)> committed = [](const Committed&) {};
  /// Asked while files move: true ends the pass, as `cancelled`, and what is complete of it helps the next.
  std::function<bool()> cut = [] { return false; };
  int connections = 8;  ///< for files of at most `small`, one each
  std::uint64_t small = std::uint64_t{16} << 20;
  Millis commit_every{60'000};
  Millis settle{3'000};  ///< Look::settle
};

/// One thread.
class StoreKeeper {
 public:
  explicit StoreKeeper(KeeperOptions options);

  /// The machine is taken back. Idempotent.
  void hurry(const Notice& notice);
  /// One look while the run goes on. Fails as the store does, or as the files do: nothing is lost, the next goes
  /// on.
  Status pass();
  /// What came of the last look.
  struct End {
    std::vector<std::string> left_out;  ///< what cannot be read; then the manifest is not complete
  };
  /// The run is over with `done`: everything, the whole log, and record/end.json, then the complete manifest.
  /// Fails corrupt when files still changed. Idempotent. `open_up`: as OutputsQuery::open_up.
  Result<End> last_pass(const JobStatus& done, bool open_up);

 private:
  using Entries = std::map<std::pair<store::FileKind, std::string>, store::ManifestEntry>;
  Status take_up();
  Result<StoreFiles> look_for(Look look) const;
  Result<std::optional<store::Manifest>> read_manifest(int attempt);
  void learn(const store::ManifestEntry& entry);
  Status put_all(const StoreFiles& now);
  void put_some(const std::vector<const StoreFile*>& files, std::size_t& next);
  Status put_one(store::Store& store, const StoreFile& file);
  Result<store::ManifestEntry> put_bytes(store::FileKind kind, const std::string& path, std::string_view bytes);
  std::string key_for(store::FileKind kind, const std::string& path, const std::string& sha256) const;
  Status add_log(bool all);
  Status note_end(const JobStatus& done);
  Status note_hurry();
  Entries entries_of(const StoreFiles& now) const;
  Entries whole_folders(const StoreFiles& now) const;
  void keep_old(const StoreFiles& now, Entries& entries) const;
  Status commit_what_is_new(const StoreFiles& now);
  Status commit_all(const StoreFiles& now, bool complete, bool at_the_end);
  Status commit(Entries entries, bool complete);
  void remove_replaced(const Entries& before, bool at_the_end);

  KeeperOptions options_;
  StoreLog log_;
  std::unique_ptr<store::Store> store_;
  bool taken_up_ = false, looked_for_earlier_ = false;
  bool is_there_ = false, complete_ = false;  ///< the manifest in the store
  Entries committed_;                         ///< what it names
  std::uint64_t commits_ = 0;
  std::vector<std::string> replaced_;        ///< keys that only the manifest before it named
  std::optional<store::ManifestEntry> end_;  ///< record/end.json
  std::optional<Notice> notice_;
  std::optional<store::ManifestEntry> told_;  ///< record/notice.json

  mutable std::mutex mutex_;  ///< of what follows, while a pass puts files
  std::condition_variable changed_;
  std::map<std::string, std::string> keys_;  ///< SHA-256 → under which key that is in the store
  std::map<std::string, std::string> used_;  ///< key → of which SHA-256 it is, and stays
  std::set<std::string> restless_;           ///< paths of files that changed while they were put, in this pass
  std::optional<Error> error_;
  int at_work_ = 0;
};

}  // namespace ferry::agent
