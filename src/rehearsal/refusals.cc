#include "rehearsal/refusals.h"

#include <fmt/format.h>

#include "rehearsal/asked.h"
#include "rehearsal/catalog.h"

namespace ferry::rehearsal {
namespace {

ApiError ec2_refusal(const SignatureCheck& check) {
  switch (check.verdict) {
    case SignatureVerdict::missing:
      return {403, "MissingAuthenticationToken",
              "The request must contain either a valid (registered) AWS access key ID or X.509 certificate."};
    case SignatureVerdict::incomplete:
      return {400, "IncompleteSignature", check.detail};
    case SignatureVerdict::expired:
      return {400, "RequestExpired", "Request has expired."};
    default:
      return {401, "AuthFailure", "AWS was not able to validate the provided access credentials"};
  }
}

ApiError sts_refusal(const SignatureCheck& check) {
  switch (check.verdict) {
    case SignatureVerdict::missing:
      return {403, "MissingAuthenticationToken", "Request is missing Authentication Token"};
    case SignatureVerdict::incomplete:
      return {400, "IncompleteSignature", check.detail};
    case SignatureVerdict::unknown_key:
      return {403, "InvalidClientTokenId", check.detail};
    default:
      return {403, "SignatureDoesNotMatch", check.detail};
  }
}

ApiError json_refusal(const SignatureCheck& check) {
  switch (check.verdict) {
    case SignatureVerdict::missing:
      return {400, "MissingAuthenticationTokenException", "Missing Authentication Token"};
    case SignatureVerdict::incomplete:
      return {400, "IncompleteSignatureException", check.detail};
    case SignatureVerdict::unknown_key:
      return {400, "UnrecognizedClientException", check.detail};
    default:
      return {400, "InvalidSignatureException", check.detail};
  }
}

}  // namespace

ApiError bad_signature(std::string_view service, const SignatureCheck& check) {
  return service == "ec2" ? ec2_refusal(check) : speaks_query(service) ? sts_refusal(check) : json_refusal(check);
}

ApiError expired_credentials(std::string_view service) {
  if (service == "ec2") return {400, "RequestExpired", "Request has expired."};
  if (service == "s3") return {400, "ExpiredToken", "The provided token has expired."};
  const std::string what = "The security token included in the request is expired";
  return speaks_query(service) ? ApiError{403, "ExpiredToken", what} : ApiError{400, "ExpiredTokenException", what};
}

ApiError not_authorized(std::string_view service, std::string_view permission, std::string_view who) {
  const auto what = fmt::format(
      "User: {} is not authorized to perform: {} because no identity-based "
      "policy "
      "allows the {} action",
      who.empty() ? fmt::format("arn:aws:iam::{}:user/rehearsal", account_id) : std::string(who), permission,
      permission);
  if (service == "ec2")
    return {403, "UnauthorizedOperation", "You are not authorized to perform this operation. " + what};
  return speaks_query(service) || service == "s3" ? ApiError{403, "AccessDenied", what}
                                                  : ApiError{400, "AccessDeniedException", what};
}

ApiError throttled(std::string_view service) {
  if (service == "ec2") return {503, "RequestLimitExceeded", "Request limit exceeded."};
  if (speaks_query(service)) return {400, "Throttling", "Rate exceeded"};
  if (service == "s3") return {503, "SlowDown", "Please reduce your request rate."};
  return {400, service == "servicequotas" ? "TooManyRequestsException" : "ThrottlingException", "Rate exceeded"};
}

}  // namespace ferry::rehearsal
