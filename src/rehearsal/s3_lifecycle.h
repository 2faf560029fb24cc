#pragma once
/// \file
/// Lifecycle rules of buckets: read, and carried out. As in S3 a day is over at the next midnight (UTC) after
/// it has passed. Expiration (Days, Date) and AbortIncompleteMultipartUpload are carried out; transitions to
/// other storage classes and what concerns versions are kept and shown, and do nothing here.

#include <vector>

#include "rehearsal/s3_store.h"

namespace ferry::rehearsal {

struct LifecycleRule {
  std::string id, prefix;
  bool enabled = false;
  Json tags = Json::object();                       ///< all of these
  std::uint64_t larger_than = 0, smaller_than = 0;  ///< bytes; 0: not asked
  bool has_larger = false;
  std::int64_t expire_days = 0, expire_at_ms = 0, abort_days = 0;  ///< 0: none
};

/// MalformedXML, InvalidArgument, InvalidRequest.
S3Result<std::vector<LifecycleRule>> parse_lifecycle(std::string_view xml);

bool has_expired(const LifecycleRule& rule, const S3Object& object, std::int64_t now_ms);
bool has_expired(const LifecycleRule& rule, const S3Upload& upload, std::int64_t now_ms);

/// Removes what has expired in every bucket.
void carry_out_lifecycle(S3Store& store, std::int64_t now_ms);

}  // namespace ferry::rehearsal
