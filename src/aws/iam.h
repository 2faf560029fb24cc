#pragma once
/// \file
/// Roles, instance profiles and policies of IAM, as far as a machine needs them that stores by itself. IAM is one for
/// all regions; an account's things are known by their names, whatever their path.
///
/// Every call may be repeated: what is there already as it is wanted, or gone already, is a success. What is there in
/// another way is `conflict`, and is left as it is. New things may not be known everywhere for some seconds.

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "aws/client.h"
#include "aws/paging.h"

namespace ferry::aws {

struct RoleRecord {
  std::string name, path, arn;
  std::string boundary;  ///< ARN of the policy that bounds what it may; empty: none
  std::map<std::string, std::string> tags;
  std::int64_t made_ms = 0;  ///< since 1970; 0: IAM does not say
};
struct RoleOrder {
  std::string name;   ///< at most 64 of letters, digits and +=,.@_-
  std::string path;   ///< "/ferry/"
  std::string trust;  ///< who may be it: a policy document
  std::string boundary;
  std::string description;
  std::map<std::string, std::string> tags;
};
/// conflict where a role of that name has another path, another boundary or other tags than these; not_found where the
/// boundary does not exist.
Result<RoleRecord> create_role(Client& client, const RoleOrder& order);
Result<RoleRecord> get_role(Client& client, const std::string& name);
/// Those below the path. Their boundary and their tags are empty: only get_role() tells them.
Result<std::vector<RoleRecord>> list_roles(Client& client, const std::string& path);
/// Replaces the inline policy of that name.
Status put_role_policy(Client& client, const std::string& role, const std::string& name, const std::string& document);
Status delete_role_policy(Client& client, const std::string& role, const std::string& name);
/// conflict while it has policies or is in an instance profile.
Status delete_role(Client& client, const std::string& name);

/// What lends a role to a machine: EC2 knows roles by it.
struct InstanceProfileRecord {
  std::string name, path, arn;
  std::vector<std::string> roles;  ///< at most one
  std::map<std::string, std::string> tags;
};
/// conflict where one of that name has another path or other tags.
Result<InstanceProfileRecord> create_instance_profile(Client& client, const std::string& name, const std::string& path,
                                                      const std::map<std::string, std::string>& tags);
Result<InstanceProfileRecord> get_instance_profile(Client& client, const std::string& name);
/// Those below the path, without their tags.
Result<std::vector<InstanceProfileRecord>> list_instance_profiles(Client& client, const std::string& path);
/// conflict where it holds another role.
Status add_role_to_instance_profile(Client& client, const std::string& profile, const std::string& role);
Status remove_role_from_instance_profile(Client& client, const std::string& profile, const std::string& role);
/// conflict while it holds a role.
Status delete_instance_profile(Client& client, const std::string& name);

struct PolicyRecord {
  std::string name, path, arn;
  std::string default_version;  ///< "v3": the one that counts
};
/// exists where there is one of that name.
Result<PolicyRecord> create_policy(Client& client, const std::string& name, const std::string& path,
                                   const std::string& document, const std::string& description);
Result<PolicyRecord> get_policy(Client& client, const std::string& arn);
/// The document of a version.
Result<std::string> get_policy_version(Client& client, const std::string& arn, const std::string& version);
/// The document becomes the policy's default version. IAM keeps five: where there are as many, the oldest that is not
/// the default goes first.
Status replace_policy(Client& client, const std::string& arn, const std::string& document);

/// "arn:aws:iam::ACCOUNT:policy/ferry/x" for kind "policy", in the partition of the region.
std::string iam_arn(const std::string& region, const std::string& account, const std::string& kind,
                    const std::string& path, const std::string& name);

// The answers, parsed. Bounded, never throw; corrupt for what is not the answer.
Result<RoleRecord> parse_role(std::string_view xml, const std::string& action);
Result<Page<RoleRecord>> parse_list_roles(std::string_view xml);
Result<InstanceProfileRecord> parse_instance_profile(std::string_view xml, const std::string& action);
Result<Page<InstanceProfileRecord>> parse_list_instance_profiles(std::string_view xml);
Result<PolicyRecord> parse_policy(std::string_view xml, const std::string& action);
Result<std::string> parse_get_policy_version(std::string_view xml);

}  // namespace ferry::aws
