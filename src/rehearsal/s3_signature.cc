#include "rehearsal/s3_signature.h"

#include <algorithm>

#include "base/hash.h"
#include "base/text.h"
#include "os/clock.h"

namespace ferry::rehearsal {
namespace {

constexpr std::int64_t most_skew_ms = 15 * 60'000;
constexpr std::string_view empty_sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Sorted by name, then value; each decoded and encoded again, so that any spelling of the same query is one.
std::string s3_canonical_query(std::string_view query) {
  std::vector<std::pair<std::string, std::string>> pairs;
  for (const auto& part : split(query, '&')) {
    if (part.empty()) continue;
    const auto equals = part.find('=');
    const auto param = percent_decoded(std::string_view(part).substr(0, equals));
    if (param == "X-Amz-Signature") continue;
    const auto value = equals == part.npos ? "" : percent_decoded(std::string_view(part).substr(equals + 1));
    pairs.emplace_back(percent_encoded(param), percent_encoded(value));
  }
  std::sort(pairs.begin(), pairs.end());
  std::string out;
  for (const auto& [param, value] : pairs) out += (out.empty() ? "" : "&") + param + "=" + value;
  return out;
}

std::string one_spaced(std::string_view value) {
  std::string out;
  for (const char c : trim(value))
    if (c != ' ' || !out.ends_with(' ')) out += c;
  return out;
}

std::string joined_values(const S3Request& request, std::string_view wanted) {
  std::string out;
  bool first = true;
  for (const auto& [key_text, value] : request.headers) {
    if (key_text != wanted) continue;
    if (!std::exchange(first, false)) out += ',';
    out += one_spaced(value);
  }
  return out;
}

bool is_hex64(std::string_view text) {
  return text.size() == 64 &&
         std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

std::string basic_time(std::int64_t ms) {
  auto iso = os::iso_time(ms);
  std::erase_if(iso, [](char c) { return c == '-' || c == ':'; });
  return iso;
}

S3Status take_form(std::string_view text, S3Signature& out) {
  if (text == "UNSIGNED-PAYLOAD") {
    out.form = PayloadForm::unsigned_whole;
  } else if (text == "STREAMING-UNSIGNED-PAYLOAD-TRAILER") {
    out.form = PayloadForm::unsigned_trailer;
  } else if (text == "STREAMING-AWS4-HMAC-SHA256-PAYLOAD") {
    out.form = PayloadForm::signed_chunks;
  } else if (text == "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER") {
    out.form = PayloadForm::signed_trailer;
  } else if (is_hex64(text)) {
    out.form = PayloadForm::hashed;
    out.sha256 = text;
  } else {
    return invalid_argument(
        "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, "
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER, STREAMING-UNSIGNED-PAYLOAD-TRAILER or a valid sha256 "
        "value.",
        "x-amz-content-sha256", text);
  }
  return {};
}

S3Result<SignatureClaim> header_claim(const S3Request& request) {
  const auto header = request.header("authorization");
  if (header.starts_with("AWS "))
    return invalid_request(
        "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.");
  auto claim = parse_authorization(header);
  if (!claim)
    return s3_refuse("AuthorizationHeaderMalformed",
                     "The authorization header is malformed; " + claim.error().what + ".");
  claim->time = request.header("x-amz-date");
  if (claim->time.empty()) {
    if (const auto date = parse_http_date(request.header("date"))) claim->time = basic_time(*date);
    if (claim->time.empty()) return access_denied("AWS authentication requires a valid Date or x-amz-date header");
  }
  return *std::move(claim);
}

S3Result<SignatureClaim> claim_of_s3(const S3Request& request) {
  const bool presigned =
      request.has("X-Amz-Algorithm") || request.has("X-Amz-Signature") || request.has("X-Amz-Credential");
  if (request.has("AWSAccessKeyId") || request.has("Signature"))
    return invalid_request(
        "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.");
  if (!request.header("authorization").empty()) {
    if (presigned)
      return invalid_argument(
          "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string "
          "parameter or the Authorization header should be specified",
          "Authorization", request.header("authorization"));
    return header_claim(request);
  }
  if (!presigned) return access_denied();
  auto claim = parse_presigned(request.query);
  if (!claim) return s3_refuse("AuthorizationQueryParametersError", claim.error().what);
  return *std::move(claim);
}

S3Status check_scope(const S3Request& request, const SignatureClaim& claim) {
  const std::string code = claim.presigned ? "AuthorizationQueryParametersError" : "AuthorizationHeaderMalformed";
  if (claim.service != "s3")
    return s3_refuse(code, fmt::format("The authorization header is malformed; incorrect service \"{}\". "
                                       "This endpoint belongs to \"s3\".",
                                       claim.service));
  if (claim.day != claim.time.substr(0, 8))
    return s3_refuse(
        code, fmt::format("Invalid credential date \"{}\". This date is not the same as X-Amz-Date: \"{}\".", claim.day,
                          claim.time));
  const auto covers = [&](std::string_view wanted) {
    return std::find(claim.signed_headers.begin(), claim.signed_headers.end(), wanted) != claim.signed_headers.end();
  };
  if (!std::is_sorted(claim.signed_headers.begin(), claim.signed_headers.end()))
    return s3_refuse(code, "SignedHeaders must be sorted.");
  for (const auto& [key_text, value] : request.headers)
    if ((key_text == "host" || key_text.starts_with("x-amz-")) && !covers(key_text))
      return s3_refuse("AccessDenied", "There were headers present in the request which were not signed", 403,
                       {{"HeadersNotSigned", key_text}});
  if (!covers("host")) return access_denied("There were headers present in the request which were not signed");
  return {};
}

S3Status check_time(const SignatureClaim& claim, std::int64_t now_ms) {
  const auto time = parse_amz_time(claim.time);
  if (!time) return access_denied("AWS authentication requires a valid Date or x-amz-date header");
  if (claim.presigned) {
    const auto end = *time + claim.expires_s * 1000;
    if (*time - now_ms > most_skew_ms) return access_denied("Request is not yet valid");
    if (now_ms > end)
      return s3_refuse("AccessDenied", "Request has expired", 403,
                       {{"X-Amz-Expires", std::to_string(claim.expires_s)},
                        {"Expires", os::iso_time(end)},
                        {"ServerTime", os::iso_time(now_ms)}});
    return {};
  }
  if (std::abs(now_ms - *time) > most_skew_ms)
    return s3_refuse("RequestTimeTooSkewed",
                     "The difference between the request time and the current time is too large.", 403,
                     {{"RequestTime", claim.time},
                      {"ServerTime", os::iso_time(now_ms)},
                      {"MaxAllowedSkewMilliseconds", std::to_string(most_skew_ms)}});
  return {};
}

S3Status check_token(const S3Request& request, const S3Key& key, std::int64_t now_ms) {
  const auto given = request.has("X-Amz-Security-Token") ? request.param("X-Amz-Security-Token")
                                                         : std::string(request.header("x-amz-security-token"));
  if (!same_signature(given, key.token))
    return s3_refuse("InvalidToken", "The provided token is malformed or otherwise invalid.", 400,
                     {{"Token-0", given}});
  if (!key.token.empty() && now_ms >= key.expires_ms)
    return s3_refuse("ExpiredToken", "The provided token has expired.", 400, {{"Token-0", given}});
  return {};
}

}  // namespace

bool same_signature(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  unsigned difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    difference |= static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(b[i]);
  return difference == 0;
}

std::string s3_canonical_request(const S3Request& request, const SignatureClaim& claim, std::string_view payload_hash) {
  // One encoding of the path, whichever the client wrote ("%7E" is "~").
  std::string out = request.method + "\n" + percent_encoded(percent_decoded(request.path), "/") + "\n" +
                    s3_canonical_query(request.query) + "\n";
  for (const auto& signed_name : claim.signed_headers)
    out += signed_name + ":" + joined_values(request, signed_name) + "\n";
  return out + "\n" + join(claim.signed_headers, ";") + "\n" + std::string(payload_hash);
}

std::string s3_signing_key(std::string_view secret, const SignatureClaim& claim) {
  std::string key = "AWS4" + std::string(secret);
  for (const std::string_view part : {std::string_view(claim.day), std::string_view(claim.region),
                                      std::string_view(claim.service), std::string_view("aws4_request")})
    key = hmac_sha256(key, part);
  return key;
}

std::string chunk_signature(const S3Signature& seed, std::string_view before, std::string_view sha256_hex) {
  return hex(hmac_sha256(seed.signing_key, fmt::format("AWS4-HMAC-SHA256-PAYLOAD\n{}\n{}\n{}\n{}\n{}", seed.time,
                                                       seed.scope, before, empty_sha256, sha256_hex)));
}

std::string trailer_signature(const S3Signature& seed, std::string_view before, std::string_view sha256_hex) {
  return hex(hmac_sha256(seed.signing_key, fmt::format("AWS4-HMAC-SHA256-TRAILER\n{}\n{}\n{}\n{}", seed.time,
                                                       seed.scope, before, sha256_hex)));
}

S3Result<S3Signature> check_s3_signature(const S3Request& request, const FindKey& find_key, std::int64_t now_ms) {
  S3_SET(claim, claim_of_s3(request));
  S3_TRY(check_scope(request, claim));
  S3Signature out;
  std::string payload(request.header("x-amz-content-sha256"));
  if (payload.empty() && claim.presigned) payload = request.param("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD");
  if (payload.empty()) return invalid_request("Missing required header for this request: x-amz-content-sha256");
  S3_TRY(take_form(payload, out));
  S3_TRY(check_time(claim, now_ms));
  const auto key = find_key(claim.key_id);
  if (!key)
    return s3_refuse("InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.", 403,
                     {{"AWSAccessKeyId", claim.key_id}});
  S3_TRY(check_token(request, *key, now_ms));
  const auto canonical = s3_canonical_request(request, claim, payload);
  const auto to_sign = string_to_sign(claim, canonical);
  out.signing_key = s3_signing_key(key->secret, claim);
  out.signature = hex(hmac_sha256(out.signing_key, to_sign));
  if (!same_signature(out.signature, claim.signature))
    return s3_refuse("SignatureDoesNotMatch",
                     "The request signature we calculated does not match the signature you provided. Check "
                     "your key and signing method.",
                     403,
                     {{"AWSAccessKeyId", claim.key_id},
                      {"StringToSign", to_sign},
                      {"SignatureProvided", claim.signature},
                      {"CanonicalRequest", canonical}});
  out.key = *key;
  out.region = claim.region;
  out.time = claim.time;
  out.scope = fmt::format("{}/{}/s3/aws4_request", claim.day, claim.region);
  out.presigned = claim.presigned;
  return out;
}

}  // namespace ferry::rehearsal
