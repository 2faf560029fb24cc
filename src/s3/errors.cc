#include "s3/errors.h"

#include <algorithm>
#include <array>
#include <pugixml.hpp>
#include <span>

#include "base/text.h"

namespace ferry::s3 {
namespace {

using Codes = std::span<const std::string_view>;

constexpr std::array<std::string_view, 9> pausing_codes = {
    "SlowDown",         "ServiceUnavailable",         "RequestTimeout",   "Busy",           "ThrottlingException",
    "RequestThrottled", "ConditionalRequestConflict", "OperationAborted", "TooManyRequests"};
constexpr std::array<std::string_view, 4> digest_codes = {"BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch",
                                                          "XAmzContentChecksumMismatch"};
constexpr std::array<std::string_view, 3> region_codes = {"PermanentRedirect", "TemporaryRedirect",
                                                          "AuthorizationHeaderMalformed"};
constexpr std::array<std::string_view, 3> clock_codes = {"RequestTimeTooSkewed", "RequestExpired",
                                                         "RequestInTheFuture"};
constexpr std::array<std::string_view, 2> expired_codes = {"ExpiredToken", "TokenRefreshRequired"};
constexpr std::array<std::string_view, 3> stranger_codes = {"AccessDenied", "InvalidAccessKeyId", "InvalidToken"};
constexpr std::array<std::string_view, 5> refused_codes = {
    "AllAccessDisabled", "AccountProblem", "SignatureDoesNotMatch", "NotSignedUp", "InvalidObjectState"};
constexpr std::array<std::string_view, 8> missing_codes = {
    "NoSuchKey",          "NoSuchBucket",
    "NoSuchUpload",       "NoSuchVersion",
    "NotFound",           "NoSuchLifecycleConfiguration",
    "NoSuchBucketPolicy", "NoSuchPublicAccessBlockConfiguration"};
constexpr std::array<std::string_view, 3> conflict_codes = {"PreconditionFailed", "ConditionalRequestConflict",
                                                            "OperationAborted"};

bool is_one_of(std::string_view code, Codes codes) {
  return std::find(codes.begin(), codes.end(), code) != codes.end();
}

std::string_view code_of_status(int status) {
  switch (status) {
    case 301:
      return "PermanentRedirect";
    case 307:
      return "TemporaryRedirect";
    case 403:
      return "AccessDenied";
    case 404:
      return "NotFound";
    case 412:
      return "PreconditionFailed";
    case 416:
      return "InvalidRange";
    case 429:
      return "TooManyRequests";
    case 503:
      return "ServiceUnavailable";
    default:
      return "";
  }
}

std::string advice_for(Kind kind, std::string_view code, std::string_view action) {
  if (code == "NoSuchBucket") return "check the bucket's name; `ferry store setup s3://BUCKET/PREFIX` makes it";
  if (kind == Kind::denied) {
    return "have s3:" + std::string(action) +
           " allowed for this identity (`aws sts get-caller-identity` shows it) on this bucket; "
           "it may also be another account's";
  }
  if (kind == Kind::not_found) return "check the name; it may also have been removed meanwhile";
  if (kind == Kind::conflict) return "look what is there now; somebody else may be at work with it";
  if (kind == Kind::exists) return "choose another name: the names of buckets are shared by all accounts";
  if (kind == Kind::throttled || kind == Kind::lost) return "try again in a minute (health.aws.amazon.com)";
  if (kind == Kind::corrupt)
    return "store it again when nobody changes it any more; if that goes on, this computer's memory or "
           "network is bad";
  return "correct what S3 names above and try again";
}

}  // namespace

aws::Fault fault_of(const os::HttpResponse& answer) {
  aws::Fault fault = aws::fault_of(answer);
  if (fault.code.empty()) fault.code = code_of_status(answer.status);
  // A HEAD that was signed for another region.
  if (fault.code.empty() && answer.status == 400 && !region_said(answer).empty())
    fault.code = "AuthorizationHeaderMalformed";
  return fault;
}

Verdict judge(int status, std::string_view code) {
  if (is_one_of(code, pausing_codes)) return Verdict::again;
  if (is_one_of(code, digest_codes)) return Verdict::damaged;
  if (is_one_of(code, region_codes) || code == "IllegalLocationConstraintException" || status == 301 || status == 307)
    return Verdict::moved;
  if (is_one_of(code, clock_codes)) return Verdict::clock;
  if (is_one_of(code, expired_codes)) return Verdict::expired;
  if (is_one_of(code, stranger_codes)) return Verdict::newcomer;
  if (status == 429 || status == 503) return Verdict::again;
  if (status == 501) return Verdict::last;
  // A 200 may hold an error, too: what S3 said late.
  if (code == "InternalError" || status >= 500) return Verdict::uncertain;
  return Verdict::last;
}

Verdict judge(const Error& transport_error) {
  const bool wire = transport_error.kind == Kind::lost || transport_error.kind == Kind::timeout;
  return wire ? Verdict::uncertain : Verdict::last;
}

Kind kind_of(int status, std::string_view code) {
  if (code == "RequestTimeout") return Kind::timeout;
  if (is_one_of(code, conflict_codes) || status == 412) return Kind::conflict;
  if (is_one_of(code, pausing_codes) || status == 429 || status == 503) return Kind::throttled;
  if (is_one_of(code, digest_codes)) return Kind::corrupt;
  if (is_one_of(code, missing_codes)) return Kind::not_found;
  if (is_one_of(code, clock_codes) || is_one_of(code, expired_codes) || is_one_of(code, stranger_codes) ||
      is_one_of(code, refused_codes))
    return Kind::denied;
  if (code == "BucketAlreadyExists" || code == "BucketAlreadyOwnedByYou") return Kind::exists;
  if (code == "TooManyBuckets" || code == "QuotaExceeded") return Kind::quota;
  if (code == "NotImplemented" || status == 501) return Kind::unsupported;
  if (code == "InternalError" || status >= 500) return Kind::lost;
  if (status == 403 || status == 401) return Kind::denied;
  return status == 404 ? Kind::not_found : Kind::bad_input;
}

Error error_of(const aws::Fault& fault, int status, const std::string& doing, std::string_view action) {
  const Kind kind = kind_of(status, fault.code);
  const std::string code = fault.code.empty() ? "HTTP status " + std::to_string(status) : fault.code;
  return {kind, doing + ": S3 says " + code, fault.message, advice_for(kind, fault.code, action), fault.code, {}};
}

std::string region_said(const os::HttpResponse& answer) {
  std::string region = answer.header("x-amz-bucket-region");
  if (region.empty() && !answer.body.empty()) {
    pugi::xml_document document;
    if (document.load_buffer(answer.body.data(), answer.body.size()))
      region = document.document_element().child_value("Region");
  }
  const bool good =
      region.size() <= 40 && region.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string::npos;
  return good ? region : "";
}

}  // namespace ferry::s3
