#pragma once
/// \file
/// What S3's answers mean: what to do with them at once, and which kind the caller gets to see.

#include <string>
#include <string_view>

#include "aws/errors.h"
#include "base/error.h"
#include "os/http.h"

namespace ferry::s3 {

enum class Verdict {
  last,       ///< nothing that asking again would change
  again,      ///< after a pause; S3 did nothing
  uncertain,  ///< after a pause; nobody knows whether S3 did it
  damaged,    ///< BadDigest: once more, from a fresh look at the bytes
  moved,      ///< the bucket is in another region: once more, signed (and sent) for that
  clock,      ///< once more by S3's clock
  expired,    ///< once more with new credentials
  newcomer    ///< not yet known to S3, where the credentials are only just made; else last
};

/// The fault in an answer. Where HEAD has no body to say it, the code that its status stands for.
aws::Fault fault_of(const os::HttpResponse& answer);
Verdict judge(int status, std::string_view code);
Verdict judge(const Error& transport_error);

/// throttled, lost (S3 failed by itself), denied, not_found, conflict, exists, corrupt, …
Kind kind_of(int status, std::string_view code);
/// `doing` as people read it: "store runs/x/a1/r0/log/0"; `action` as in a policy: "PutObject".
Error error_of(const aws::Fault& fault, int status, const std::string& doing, std::string_view action);

/// The region that the bucket is in, as the answer says; "" where it does not.
std::string region_said(const os::HttpResponse& answer);

}  // namespace ferry::s3
