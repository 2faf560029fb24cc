#pragma once
/// \file
/// What a store holds of runs, and what of it no manifest names. Reads only, but for remove_run() and remove_objects().

#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "store/manifest.h"
#include "store/store.h"

namespace ferry::store {

/// A run by its objects, whatever ferry put them there.
struct StoredRun {
  std::string name;
  std::uint64_t objects = 0, bytes = 0;
  std::map<std::string, std::uint64_t> bytes_by_kind;  ///< "outputs", "checkpoints", "log", "record"; "": the rest
  std::int64_t modified_ms = 0;                        ///< of the newest object, by the store's clock
  std::vector<std::string> manifests;                  ///< keys
};
/// By name. What is below runs/ and of no run's name is left out.
Result<std::vector<StoredRun>> stored_runs(Store& store);
/// The same of one. Fails not_found when there is nothing of it.
Result<StoredRun> stored_run(Store& store, const std::string& name);

/// The manifests of its newest attempt that has some, by rank; none where there is none. Fails as parse_manifest().
Result<std::vector<Manifest>> newest_manifests(Store& store, const StoredRun& run);
/// True when there are some and all of them are complete.
bool is_complete(const std::vector<Manifest>& manifests);

/// Objects that no manifest of the run names, and that are neither a manifest, nor the lease, nor the record. Fails as
/// parse_manifest(): who cannot read what is named calls nothing unnamed.
Result<std::vector<Object>> unnamed_objects(Store& store, const StoredRun& run);

/// Removes all of a run, its manifests first: killed on the way, nothing is left that calls itself complete.
Status remove_run(Store& store, const StoredRun& run);

}  // namespace ferry::store
