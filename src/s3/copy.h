#pragma once
/// \file
/// Whole data sets from S3 to a folder, as fast as the machine and its network allow: large objects in pieces, many
/// small ones at once, all by the same connections. And back: what was written there.
///
/// A file is there whole, under its name, or not at all. Its modification time says which object it is: the
/// seconds are the object's, the nanoseconds are made of its ETag. So a copy that was broken off goes on: what has the
/// size and the time of its object is not fetched again; of large objects, what is noted piece by piece isn't either.
///
/// Every byte is held against the checksum that S3 keeps of the object (sum_said.h), or the MD5 that the ETag of a
/// small one is; where S3 has neither, against the size.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "s3/session.h"
#include "s3/xml.h"

namespace ferry::s3 {

/// Told about bytes and files that are done since the last call, several times a second also with 0; from one thread at
/// a time. False: stop; the call fails `cancelled`.
using Copying = std::function<bool(std::uint64_t bytes, std::uint64_t files)>;

/// What there is to copy.
struct Found {
  std::vector<Listed> objects;
  std::string base;      ///< what all keys begin with; a file is called by what follows
  bool is_file = false;  ///< one object, which was named itself
  std::uint64_t bytes = 0;
};
/// The object `key`; or else what is below it ("KEY/…"; "": the whole bucket). Whoever may not list reads single
/// objects. Fails not_found for nothing at all, denied, and as calls do.
Result<Found> find_objects(const std::shared_ptr<Session>& session, const std::string& key, const Copying& moved = {});

/// The same, but of what is below the key the first object at most: whether there is anything, for a mount, which may
/// lead to a hundred million.
Result<Found> find_first(const std::shared_ptr<Session>& session, const std::string& key);

struct CopyOrder {
  os::Path to;  ///< the folder, or of Found::is_file the file; made where it is missing
  int connections = 16;
  Copying moved = {};
  std::function<void(std::uint64_t bytes, std::uint64_t files)> kept = {};  ///< told once: what was there before
};
struct Copied {
  std::uint64_t files = 0, bytes = 0;            ///< all that is there now
  std::uint64_t kept_files = 0, kept_bytes = 0;  ///< of these, what was there before
  std::vector<std::string> skipped;              ///< a line for each object that can be no file, the first ten
};
/// Fails disk_full before anything is fetched where it will not fit; conflict when an object is changed again and again
/// meanwhile; not_found when one was removed; corrupt; and as calls do. What is fetched stays.
Result<Copied> copy_down(const std::shared_ptr<Session>& session, const Found& found, const CopyOrder& order);

/// Puts what was written below the folder (or to the file) after `since_ms` (since 1970, by this machine's clock) below
/// the key, several files at once; nothing is removed there. Links are not followed. Fails as calls do; what was put
/// stays.
Result<Copied> copy_back(const std::shared_ptr<Session>& session, const os::Path& from, const std::string& key,
                         std::int64_t since_ms, int connections = 8);

}  // namespace ferry::s3
