#include "aws/errors.h"

#include <algorithm>
#include <pugixml.hpp>
#include <span>

#include "base/json.h"
#include "base/text.h"

namespace ferry::aws {
namespace {

using Codes = std::span<const std::string_view>;

constexpr std::array<std::string_view, 10> capacity_codes = {
    "InsufficientInstanceCapacity", "InsufficientHostCapacity",   "InsufficientReservedInstanceCapacity",
    "InsufficientCapacity",         "InsufficientCapacityOnHost", "UnfulfillableCapacity",
    "CapacityNotAvailable",         "SpotMaxPriceTooLow",         "Unsupported",
    "ReservationCapacityExceeded"};
constexpr std::array<std::string_view, 5> quota_codes = {
    "MaxSpotInstanceCountExceeded", "MaxSpotFleetRequestCountExceeded", "ServiceQuotaExceededException",
    "InstanceQuotaExceeded", "QuotaExceededException"};
constexpr std::array<std::string_view, 17> throttling_codes = {"Throttling",
                                                               "ThrottlingException",
                                                               "ThrottledException",
                                                               "RequestThrottled",
                                                               "RequestThrottledException",
                                                               "TooManyRequestsException",
                                                               "ProvisionedThroughputExceededException",
                                                               "TransactionInProgressException",
                                                               "RequestLimitExceeded",
                                                               "BandwidthLimitExceeded",
                                                               "LimitExceededException",
                                                               "PriorRequestNotComplete",
                                                               "SlowDown",
                                                               "EC2ThrottledException",
                                                               "ResourceContention",
                                                               "ServiceLinkedRoleFailure",  // "not yet ready for use"
                                                               "RateExceeded"};
constexpr std::array<std::string_view, 6> permission_codes = {
    "UnauthorizedOperation", "AccessDenied",       "AccessDeniedException",
    "NotAuthorized",         "ForbiddenException", "DependencyAccessDeniedException"};
constexpr std::array<std::string_view, 4> expired_codes = {"ExpiredToken", "ExpiredTokenException", "RequestExpired",
                                                           "RequestTimeTooSkewed"};
constexpr std::array<std::string_view, 3> account_codes = {"OptInRequired", "Blocked", "PendingVerification"};
constexpr std::array<std::string_view, 12> credential_codes = {"AuthFailure",
                                                               "InvalidClientTokenId",
                                                               "UnrecognizedClientException",
                                                               "InvalidAccessKeyId",
                                                               "InvalidToken",
                                                               "InvalidSecurityToken",
                                                               "SignatureDoesNotMatch",
                                                               "InvalidSignatureException",
                                                               "IncompleteSignature",
                                                               "IncompleteSignatureException",
                                                               "MissingAuthenticationToken",
                                                               "MissingAuthenticationTokenException"};
constexpr std::array<std::string_view, 14> conflict_codes = {"DependencyViolation",
                                                             "IdempotentParameterMismatch",
                                                             "DeleteConflict",
                                                             "ConcurrentModification",
                                                             "ConcurrentModificationException",
                                                             "EntityTemporarilyUnmodifiable",
                                                             "IncorrectInstanceState",
                                                             "IncorrectState",
                                                             "OperationNotPermitted",
                                                             "ResourceInUse",
                                                             "ScalingActivityInProgress",
                                                             "ConflictException",
                                                             "TargetNotConnected",
                                                             "VolumeInUse"};
constexpr std::array<std::string_view, 7> missing_codes = {
    "NoSuchEntity", "ParameterNotFound",       "ResourceNotFoundException", "InvalidAMIID.Unavailable",
    "NoSuchKey",    "NoSuchResourceException", "NotFoundException"};

bool is_one_of(std::string_view code, Codes codes) {
  return std::find(codes.begin(), codes.end(), code) != codes.end();
}

/// AWS's own sentence, bounded: the encoded message of a denial runs to kilobytes and helps nobody here.
std::string readable(std::string_view message) {
  const auto encoded = message.find(" Encoded authorization failure message:");
  message = trim(message.substr(0, encoded));
  constexpr std::size_t limit = 600;
  return message.size() <= limit ? printable(message) : printable(message.substr(0, limit)) + "…";
}

Fault xml_fault(const std::string& body) {
  pugi::xml_document document;
  if (!document.load_buffer(body.data(), body.size())) return {};
  const pugi::xml_node root = document.document_element();
  pugi::xml_node error = root.child("Errors").child("Error");
  if (!error) error = root.child("Error");
  if (!error && std::string_view(root.name()) == "Error") error = root;
  return {error.child_value("Code"), error.child_value("Message")};
}

Fault json_fault(const os::HttpResponse& response) {
  Fault fault;
  fault.code = response.header("x-amzn-errortype");
  if (const auto body = parse_json(response.body)) {
    if (fault.code.empty()) fault.code = text_at(*body, "__type", text_at(*body, "code"));
    fault.message = text_at(*body, "message", text_at(*body, "Message"));
  }
  // "com.amazonaws.ssm#ParameterNotFound:http://…" names the code between '#' and ':'.
  fault.code.erase(std::min(fault.code.find(':'), fault.code.size()));
  if (const auto hash = fault.code.rfind('#'); hash != std::string::npos) fault.code.erase(0, hash + 1);
  return fault;
}

/// True if the code complains about the request's time, and the session is not what is over.
bool is_about_clock(std::string_view code, Clock clock) {
  return code == "RequestTimeTooSkewed" || (code == "RequestExpired" && clock == Clock::wrong);
}

std::string denied_what(const Fault& fault, const std::string& permission, Clock clock) {
  if (is_one_of(fault.code, permission_codes)) {
    return "these credentials may not call " + permission + " (" + fault.code + ")";
  }
  if (is_one_of(fault.code, account_codes)) return "AWS does not let this account do that (" + fault.code + ")";
  if (is_about_clock(fault.code, clock)) return "this computer's clock is wrong (" + fault.code + ")";
  if (is_one_of(fault.code, expired_codes)) return "the AWS session has ended (" + fault.code + ")";
  return "AWS did not accept the credentials (" + fault.code + ")";
}

std::string denied_advice(std::string_view code, const std::string& permission, Clock clock) {
  if (is_one_of(code, permission_codes)) {
    return "have " + permission +
           " allowed for this identity (`aws sts get-caller-identity` shows it), or set "
           "AWS_PROFILE to another one";
  }
  if (is_about_clock(code, clock)) {
    return "set this computer's clock right (`timedatectl set-ntp true`), then repeat";
  }
  if (is_one_of(code, expired_codes)) return "sign in again (`aws sso login`, or put new keys in place), then repeat";
  if (code == "PendingVerification") return "AWS is still verifying the account: try again in a few hours";
  if (is_one_of(code, account_codes)) return "open the AWS console: the account or the region needs activating";
  return "check the access key with `aws sts get-caller-identity`; `aws configure` sets a new one";
}

std::string advice_for(Kind kind, std::string_view code, const std::string& permission, Clock clock) {
  switch (kind) {
    case Kind::no_capacity:
      return "try another zone, region or instance type, or the same again later";
    case Kind::quota:
      return "choose a smaller type, another region or the other market, or ask for more in the Service "
             "Quotas "
             "console";
    case Kind::throttled:
      return "try again in a minute; AWS_MAX_ATTEMPTS sets how often ferry asks by itself";
    case Kind::denied:
      return denied_advice(code, permission, clock);
    case Kind::not_found:
      return "check the name and the region; it may also have been removed meanwhile";
    case Kind::exists:
      return "use the one that is there, or choose another name";
    case Kind::conflict:
      if (code == "IdempotentParameterMismatch") return "start a new run: this one's launch was made differently";
      if (code == "OperationNotPermitted") return "lift its protection in the EC2 console, then repeat";
      return "wait until what uses it is gone, then repeat";
    case Kind::unsupported:
      return "choose another instance type, market or region";
    case Kind::io:
      return "AWS has a problem of its own: try again in a minute (health.aws.amazon.com)";
    default:
      return "correct what AWS names above and run the command again";
  }
}

std::string what_for(Kind kind, const Fault& fault, int status, std::string_view service, const std::string& permission,
                     Clock clock) {
  const std::string code = fault.code.empty() ? "HTTP status " + std::to_string(status) : fault.code;
  const std::string named = " (" + code + ")";
  switch (kind) {
    case Kind::no_capacity:
      return "no capacity" + named;
    case Kind::quota:
      return "the account's limit is reached" + named;
    case Kind::throttled:
      return "AWS asks to call " + std::string(service) + " less often" + named;
    case Kind::denied:
      return denied_what({code, fault.message}, permission, clock);
    default:
      return permission + " failed" + named;
  }
}

/// Auto Scaling has one code for whatever is wrong with a request; only its words tell that the group is not there.
bool is_missing_by_text(const Fault& fault, std::string_view service) {
  return service == "autoscaling" && fault.code == "ValidationError" &&
         fault.message.find("not found") != std::string::npos;
}

}  // namespace

Fault fault_of(const os::HttpResponse& response) {
  const auto start = response.body.find_first_not_of(" \t\r\n\xef\xbb\xbf");
  const bool xml = start != std::string::npos && response.body[start] == '<';
  Fault fault = xml ? xml_fault(response.body) : json_fault(response);
  fault.code = printable(std::string_view(trim(fault.code)).substr(0, 128));
  fault.message = readable(fault.message);
  return fault;
}

Kind kind_of(std::string_view code, int status) {
  if (is_one_of(code, capacity_codes)) return Kind::no_capacity;
  if (is_one_of(code, throttling_codes)) return Kind::throttled;
  if (is_one_of(code, quota_codes) || code.ends_with("LimitExceeded")) return Kind::quota;
  if (is_one_of(code, permission_codes) || is_one_of(code, expired_codes) || is_one_of(code, account_codes) ||
      is_one_of(code, credential_codes)) {
    return Kind::denied;
  }
  if (code.ends_with(".NotFound") || code.ends_with(".NotFoundException") || code.ends_with(".Unknown") ||
      is_one_of(code, missing_codes))
    return Kind::not_found;
  if (code.ends_with(".Duplicate") || code.ends_with("AlreadyExists") || code.ends_with("AlreadyExistsException"))
    return Kind::exists;
  if (code.ends_with(".InUse") || is_one_of(code, conflict_codes)) return Kind::conflict;
  if (code == "UnsupportedOperation" || code == "InvalidAction") return Kind::unsupported;
  if (status == 429) return Kind::throttled;
  if (code.empty() && (status == 401 || status == 403)) return Kind::denied;
  return status >= 500 ? Kind::io : Kind::bad_input;
}

Error error_of(const Fault& fault, int status, std::string_view service, std::string_view action, Clock clock) {
  const Kind kind = is_missing_by_text(fault, service) ? Kind::not_found : kind_of(fault.code, status);
  const std::string permission = std::string(service) + ":" + std::string(action);
  return {kind, what_for(kind, fault, status, service, permission, clock), fault.message,
          advice_for(kind, fault.code, permission, clock), fault.code};
}

bool is_expired(const Error& error) { return error.kind == Kind::denied && is_one_of(error.code, expired_codes); }

}  // namespace ferry::aws
