#pragma once
/// \file
/// The same refusal in each service's own words. `service` is what its permissions begin with: "ec2", "sts", "iam",
/// "ssm", "servicequotas", "pricing", "ec2-instance-connect", "s3".

#include <string_view>

#include "rehearsal/api_error.h"
#include "rehearsal/sigv4.h"

namespace ferry::rehearsal {

/// The answer to a signature that is not good.
ApiError bad_signature(std::string_view service, const SignatureCheck& check);
/// The session that the credentials belong to is over.
ApiError expired_credentials(std::string_view service);
/// No policy allows `permission` ("ec2:RunInstances"). `who`: the caller's ARN; "": the cloud's own user.
ApiError not_authorized(std::string_view service, std::string_view permission, std::string_view who = {});
/// Too many requests.
ApiError throttled(std::string_view service);

}  // namespace ferry::rehearsal
