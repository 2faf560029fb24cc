#pragma once
/// \file
/// What the rehearsal cloud's IAM remembers: roles, instance profiles, managed policies, and the sessions of roles
/// that machines have. Plain values, a part of State (model.h).

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace ferry::rehearsal {

struct IamRole {
  std::string name, path, id, description;
  std::string trust;                           ///< JSON: who may take it
  std::string boundary;                        ///< ARN of the policy that bounds what its policies allow; "": none
  std::map<std::string, std::string> inlined;  ///< policies of its own: name → JSON
  std::vector<std::string> attached;           ///< ARNs of managed policies
  std::map<std::string, std::string> tags;
  std::int64_t created_ms = 0, longest_session_s = 3600;
  std::string arn() const;
};

struct IamProfile {
  std::string name, path, id;
  std::string role;  ///< by name; "": none. One at most
  std::map<std::string, std::string> tags;
  std::int64_t created_ms = 0;
  std::int64_t changed_ms = 0;  ///< when it was made, or got its role
  std::string arn() const;
};

struct IamPolicyVersion {
  std::int64_t number = 1, created_ms = 0;
  std::string document;
  std::string name() const { return "v" + std::to_string(number); }
};

struct IamPolicy {
  std::string name, path, id, description;
  std::vector<IamPolicyVersion> versions;  ///< oldest first; never none
  std::int64_t in_force = 1;               ///< the default version's number
  std::int64_t last_number = 1;            ///< that was ever given
  std::map<std::string, std::string> tags;
  std::int64_t created_ms = 0, updated_ms = 0;
  bool of_aws = false;  ///< one that AWS has for everybody
  std::string arn() const;
  /// Nothing for a version that there is not.
  const IamPolicyVersion* version(std::string_view version_name) const;
  const std::string& document() const;  ///< of the version in force
};

/// What a machine has of its role for a while.
struct RoleSession {
  std::string secret, token, role, role_id, instance;
  std::int64_t made_ms = 0, expires_ms = 0;
};

struct Iam {
  std::map<std::string, IamRole> roles;  ///< by name, as are profiles
  std::map<std::string, IamProfile> profiles;
  std::map<std::string, IamPolicy> policies;    ///< the account's own, by ARN
  std::map<std::string, RoleSession> sessions;  ///< by access key id

  const IamRole* role(std::string_view name) const;
  const IamProfile* profile_with_arn(std::string_view arn) const;
  /// The account's own, or one of those that AWS has for everybody.
  const IamPolicy* policy(std::string_view arn) const;
};

/// Those that AWS has for everybody, by ARN ("arn:aws:iam::aws:policy/AmazonS3FullAccess"): the few that machines'
/// roles usually have.
const std::map<std::string, IamPolicy>& policies_of_aws();

void to_json(Json& json, const Iam& iam);
void from_json(const Json& json, Iam& iam);

}  // namespace ferry::rehearsal
