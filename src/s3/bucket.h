#pragma once
/// \file
/// Buckets of ferry's own.

#include "s3/session.h"

namespace ferry::s3 {

enum class Made { here, before };

/// Makes the session's bucket in the session's region, or takes it when it is there and this identity's.
/// Then, each only where it is missing: public access blocked, encryption (SSE-S3), a policy that refuses
/// what is not TLS, and a lifecycle rule that removes the parts of uploads that nobody finished within seven
/// days (beside the bucket's other rules; no object is ever expired). What a bucket has of these, or may not
/// be asked about, stays as it is: somebody chose it.
///
/// Killed at any step, the next call goes on. A new bucket costs nothing by itself. Fails exists when another
/// account has a bucket of that name, denied, quota, and as every call.
Result<Made> ensure_bucket(const std::shared_ptr<Session>& session);

/// The policy, as JSON.
std::string tls_only_policy(const Place& place);

}  // namespace ferry::s3
