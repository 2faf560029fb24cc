#pragma once
/// \file
/// Checks the signatures of S3 requests: Signature Version 4 in the Authorization header or in the query,
/// which for S3 covers the path as it is, and names the payload's hash instead of taking it.

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "rehearsal/s3_error.h"
#include "rehearsal/s3_policy.h"
#include "rehearsal/s3_request.h"
#include "rehearsal/sigv4.h"

namespace ferry::rehearsal {

/// How the body is to be read, as x-amz-content-sha256 says.
enum class PayloadForm {
  hashed,            ///< plain, with its SHA-256
  unsigned_whole,    ///< UNSIGNED-PAYLOAD
  unsigned_trailer,  ///< STREAMING-UNSIGNED-PAYLOAD-TRAILER
  signed_chunks,     ///< STREAMING-AWS4-HMAC-SHA256-PAYLOAD
  signed_trailer,    ///< STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER
};

/// What belongs to an access key.
struct S3Key {
  std::string secret;
  std::string arn;               ///< whose it is
  std::string token;             ///< of a session; "" for one that lasts
  std::int64_t expires_ms = 0;   ///< of a session
  Json policy;                   ///< what a session is confined to; null: may do everything
  std::optional<S3Rights> role;  ///< of a role's session: what it may do
};

/// A signature that is good, and what the body's own signatures go on from.
struct S3Signature {
  S3Key key;
  std::string region;
  PayloadForm form = PayloadForm::hashed;
  std::string sha256;  ///< hex; hashed only
  std::string signing_key, time, scope, signature;
  bool presigned = false;
};

using FindKey = std::function<std::optional<S3Key>(const std::string& key_id)>;

/// The whole check of the request's head; `now_ms` is the server's time. A request without a signature is
/// AccessDenied, one of Signature Version 2 InvalidRequest; the rest has S3's own codes:
/// SignatureDoesNotMatch, InvalidAccessKeyId, RequestTimeTooSkewed (15 minutes),
/// AuthorizationHeaderMalformed, … What x-amz- headers there are must be signed. The scope's region is not
/// judged here.
S3Result<S3Signature> check_s3_signature(const S3Request& request, const FindKey& find_key, std::int64_t now_ms);

/// The canonical request, for those who sign in tests.
std::string s3_canonical_request(const S3Request& request, const SignatureClaim& claim, std::string_view payload_hash);
/// The raw key that signs a day's requests for a region.
std::string s3_signing_key(std::string_view secret, const SignatureClaim& claim);
/// The parts' own: a chunk's, after the one before, and a trailer's. Hex.
std::string chunk_signature(const S3Signature& seed, std::string_view before, std::string_view sha256_hex);
std::string trailer_signature(const S3Signature& seed, std::string_view before, std::string_view sha256_hex);

/// Equal, told in a time that does not depend on where they differ.
bool same_signature(std::string_view a, std::string_view b);

}  // namespace ferry::rehearsal
