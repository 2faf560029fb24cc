#pragma once
/// \file
/// Who the credentials belong to, and credentials for a role. The calls go to the region's own endpoint.

#include "aws/client.h"
#include "aws/ec2_xml.h"

namespace ferry::aws {

/// Needs no permission, so it tells good credentials from bad ones.
Result<CallerIdentity> get_caller_identity(Client& client);

struct AssumeRole {
  std::string role_arn, session_name;
  std::string external_id;           ///< empty: none
  std::string mfa_serial, mfa_code;  ///< empty: none. A code is good once, so such a call is not repeated
  int duration_seconds = 0;          ///< 0: AWS's own (an hour)
};
Result<Credentials> assume_role(Client& client, const AssumeRole& request);

struct AssumeRoleWithWebIdentity {
  std::string role_arn, session_name;
  std::string token;  ///< the identity provider's
  int duration_seconds = 0;
};
/// Needs no credentials: use a client without a provider.
Result<Credentials> assume_role_with_web_identity(Client& client, const AssumeRoleWithWebIdentity& request);

}  // namespace ferry::aws
