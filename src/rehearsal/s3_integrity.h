#pragma once
/// \file
/// What a request says its body sums up to (Content-MD5, x-amz-checksum-…, in the head or behind the body),
/// and whether it does.

#include <optional>
#include <set>

#include "rehearsal/s3_checksum.h"
#include "rehearsal/s3_payload.h"
#include "rehearsal/s3_request.h"
#include "rehearsal/s3_store.h"

namespace ferry::rehearsal {

struct AskedSums {
  std::optional<std::string> md5;  ///< raw
  std::optional<Checksum> kind;
  std::string value;  ///< raw; "" while it is to come behind the body
};

/// InvalidDigest, InvalidRequest for values that are none, for several, and for an algorithm without a value.
S3Result<AskedSums> asked_sums(const S3Request& request);
/// BadDigest. `payload` has been read to its end.
S3Status check_sums(const AskedSums& asked, const S3Blob& blob, const S3Payload& payload);
/// The same of a body that is in memory; `needed`: one of them must be there.
S3Status check_sums(const AskedSums& asked, std::string_view body, const S3Payload& payload, bool needed);

/// {"kind", "value", "type"} for an object's head.
Json checksum_json(Checksum kind, std::string_view raw, std::string_view type);

}  // namespace ferry::rehearsal
