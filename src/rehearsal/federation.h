#pragma once
/// \file
/// STS GetFederationToken: credentials for some hours, confined to the policy that was passed. They are good
/// for S3; the other services of this cloud know the account's own key only. There are no roles here.

#include "rehearsal/model.h"
#include "rehearsal/query.h"
#include "rehearsal/xml.h"

namespace ferry::rehearsal {

/// What is inside GetFederationTokenResult. ValidationError, MalformedPolicyDocument.
Api<Xml> get_federation_token(const Params& params, State& state, std::int64_t now_ms);

}  // namespace ferry::rehearsal
