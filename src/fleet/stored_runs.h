#pragma once
/// \file
/// What may be removed from a store, by what this computer's ledger knows of the runs in it.

#include <memory>
#include <vector>

#include "fleet/context.h"
#include "s3/uploads.h"
#include "store/inventory.h"

namespace ferry::fleet {

/// How a stored run stands here.
enum class Standing {
  over,      ///< released, says the ledger
  going,     ///< the ledger has it, and it is not over
  elsewhere  ///< another computer's, or of a ledger that was lost
};
Result<Standing> standing_of(Context& context, const std::string& run);

struct Clearing {
  std::vector<store::StoredRun> runs;    ///< as a whole
  std::vector<store::Object> objects;    ///< that no manifest names, of the other runs
  std::vector<s3::BegunUpload> uploads;  ///< that broke off, of S3
  std::vector<std::string> left;         ///< runs that were not looked into, and why; for people
  std::uint64_t bytes = 0;               ///< of runs and objects
  bool is_empty() const { return runs.empty() && objects.empty() && uploads.empty(); }
};
/// What `ferry store gc` would remove: of runs that are over (in the ledger; or, where another computer began them, by
/// a complete manifest) what no manifest names, and uploads that broke off (of other computers' runs after a week);
/// with `older_than` whole runs, of which nothing was written for so long. A run that this ledger has as going, or of
/// which anything was written within a day, is never touched: who stores a large file names it only when it is there
/// whole. Removes nothing.
Result<Clearing> find_clearing(Context& context, store::Store& store, const std::shared_ptr<s3::Session>& session,
                               std::optional<Seconds> older_than);
/// Removes it. An object that was changed meanwhile stays. Killed on the way, the next one finds the rest.
Status clear(store::Store& store, const std::shared_ptr<s3::Session>& session, const Clearing& clearing);

/// The uploads of one run that are not finished; none where the session is null (a folder).
Result<std::vector<s3::BegunUpload>> uploads_of(const std::shared_ptr<s3::Session>& session, const std::string& run);

}  // namespace ferry::fleet
