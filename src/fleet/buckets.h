#pragma once
/// \file
/// The buckets that a run's data sets are in (task/task.h: Data), as its ledger entry keeps them, and what the
/// machine's role must be allowed for them.

#include <string>
#include <vector>

#include "base/json.h"
#include "fleet/machine.h"
#include "ledger/ledger.h"
#include "task/task.h"

namespace ferry::fleet {

struct BucketUse {
  std::string bucket;
  std::string key;  ///< an object's, or what is above some; "": the whole bucket
  bool is_written = false;
  bool operator==(const BucketUse&) const = default;
};

/// For ledger::Run::task, as its member "data"; null where the task has none in buckets.
Json buckets_to_keep(const task::Task& task);
std::vector<BucketUse> buckets_of(const ledger::Run& run);
/// "s3://BUCKET/KEY"
std::string uri_of(const BucketUse& use);

/// What S3 tells this computer of what is there, with the person's own credentials ("aws" or "rehearsal").
enum class Seen {
  something,
  nothing,    ///< the bucket has no object that begins so
  no_bucket,  ///< nobody has a bucket of that name
  unknown,    ///< it may not be looked at from here, or S3 was not reached
};
Seen look_at(Context& context, const std::string& provider, const BucketUse& use);

/// Whether the run's machine only reads what everybody may, as S3 tells who asks without credentials.
bool needs_no_role(Context& context, const CloudLocation& location, const ledger::Run& run);

/// The statements of a policy that lets somebody read (and, where it is written, put into) just that. `partition`:
/// aws::partition_of().
Json bucket_statements(const BucketUse& use, const std::string& partition);

}  // namespace ferry::fleet
