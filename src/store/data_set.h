#pragma once
/// \file
/// Data sets in a store, by content: each content once, whatever it is called and however many sets have it, and for
/// each set a list of its files. Other runs read them; nothing here belongs to one run.
///
///     data/by-content/SHA256     a file's content
///     data/sets/ID.files.json    the set's files; never changed: the id is made of them
///     data/sets/ID.json          what there is to know of the set; put last, removed first: without it there is no set
///     data/pushing/ID            somebody is putting contents there, and the set that names them is not yet there
///
/// The id is made of paths, modes, links and contents, not of times: the same files are the same set.

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "store/manifest.h"
#include "store/store.h"

namespace ferry::store {

struct DataSet {
  std::string id;    ///< 32 hexadecimal digits
  std::string name;  ///< of the folder it was made of; for people
  std::string by;    ///< user@host who stored it
  std::uint64_t files = 0, bytes = 0;
  std::int64_t made_ms = 0;  ///< since 1970
};

inline constexpr std::string_view sets_prefix = "data/sets/", contents_prefix = "data/by-content/";
/// "data/by-content/SHA"
std::string content_key(std::string_view sha256);
bool is_set_id(std::string_view text);

/// What the set of these files is called. Of the entries: path, bytes, sha256, mode, link; in any order.
std::string set_id(std::vector<ManifestEntry> files);

/// The SHA-256s of what is there, sorted.
Result<std::vector<std::string>> stored_contents(Store& store);
/// Those that were put last, the newest first. A set that cannot be read is left out.
Result<std::vector<DataSet>> list_sets(Store& store);
/// not_found, corrupt.
Result<DataSet> look_up_set(Store& store, const std::string& id);
/// Its files, with their keys. not_found, corrupt for a list that is not what the id says.
Result<std::vector<ManifestEntry>> files_of_set(Store& store, const std::string& id);

/// Before contents of the set are put: from now on nobody removes any.
Status begin_set(Store& store, const std::string& id, const std::string& by, std::int64_t now_ms);
/// Every content of it is there: from now on the set is.
Status commit_set(Store& store, const DataSet& set, const std::vector<ManifestEntry>& files);

struct RemovedSets {
  std::uint64_t contents = 0, bytes = 0;  ///< that no other set has
};
/// The sets, and what none of the others needs. Fails conflict where somebody is putting a set there (who began more
/// than two days before `now_ms` is gone), unless `force`; corrupt where another set cannot be read: what it needs is
/// not known then. Killed on the way, the sets are gone and the next one removes the rest.
Result<RemovedSets> remove_sets(Store& store, const std::vector<std::string>& ids, std::int64_t now_ms, bool force);

}  // namespace ferry::store
