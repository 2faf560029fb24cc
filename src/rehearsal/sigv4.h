#pragma once
/// \file
/// Checks AWS Signature Version 4, in the Authorization header or presigned in the query. Written from AWS's
/// description and its published test suite alone: it shares no code with the side that signs.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/units.h"
#include "rehearsal/http_message.h"

namespace ferry::rehearsal {

struct AccessKey {
  std::string id, secret;
  std::string token = {};  ///< of a session; "" for a key that lasts
};

/// What a signed request says about its signature.
struct SignatureClaim {
  std::string key_id, day, region, service;  ///< the credential and its scope
  std::vector<std::string> signed_headers;   ///< lower case
  std::string signature;                     ///< hex
  std::string time;                          ///< 20150830T123600Z
  std::int64_t expires_s = 0;                ///< presigned only
  bool presigned = false;
};

enum class SignatureVerdict {
  good,
  missing,      ///< nothing there
  incomplete,   ///< there, but parts are absent or malformed
  unknown_key,  ///< no such access key, or a session token that was never issued
  mismatch,     ///< computed another signature, or something that must be signed is not
  expired,      ///< its time is too far from ours
  wrong_scope,  ///< made for another region
};

struct SignatureCheck {
  SignatureVerdict verdict = SignatureVerdict::good;
  std::string detail;   ///< one sentence for the error message
  std::string service;  ///< from the credential scope, as far as it could be read
};

/// Reads "AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…". Corrupt, with what is wrong.
Result<SignatureClaim> parse_authorization(std::string_view header);
/// Reads the X-Amz-… parameters of a presigned query. not_found if there are none, corrupt if they are
/// malformed.
Result<SignatureClaim> parse_presigned(std::string_view query);

/// The access key that a request says it is signed with; "" if it says none.
std::string claimed_key(const HttpRequest& request);

enum class PathRule { normalized, as_is };
/// The canonical request of SigV4 for services other than S3.
std::string canonical_request(const HttpRequest& request, const SignatureClaim& claim,
                              PathRule rule = PathRule::normalized);
std::string string_to_sign(const SignatureClaim& claim, std::string_view canonical);
/// Hex.
std::string expected_signature(const AccessKey& key, const SignatureClaim& claim, std::string_view to_sign);

/// "20150830T123600Z" as milliseconds since 1970; corrupt otherwise.
Result<std::int64_t> parse_amz_time(std::string_view text);

/// The whole check. `region` must be that of the scope; the request's time may be `skew` off `now_ms`.
SignatureCheck check_signature(const HttpRequest& request, const AccessKey& key, std::string_view region,
                               std::int64_t now_ms, Millis skew);

}  // namespace ferry::rehearsal
