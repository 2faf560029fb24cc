#include "rehearsal/iam.h"

namespace ferry::rehearsal {

const IamActionEntry* find_iam_action(std::string_view name) {
  using enum Effect;
  static const std::map<std::string_view, IamActionEntry> all = {
      {"AddRoleToInstanceProfile", {add_role_to_instance_profile, writes}},
      {"AttachRolePolicy", {attach_role_policy, writes}},
      {"CreateInstanceProfile", {create_instance_profile, writes}},
      {"CreatePolicy", {create_policy, writes}},
      {"CreatePolicyVersion", {create_policy_version, writes}},
      {"CreateRole", {create_role, writes}},
      {"DeleteInstanceProfile", {delete_instance_profile, writes}},
      {"DeletePolicy", {delete_policy, writes}},
      {"DeletePolicyVersion", {delete_policy_version, writes}},
      {"DeleteRole", {delete_role, writes}},
      {"DeleteRolePermissionsBoundary", {delete_role_permissions_boundary, writes}},
      {"DeleteRolePolicy", {delete_role_policy, writes}},
      {"DetachRolePolicy", {detach_role_policy, writes}},
      {"GetInstanceProfile", {get_instance_profile, reads}},
      {"GetPolicy", {get_policy, reads}},
      {"GetPolicyVersion", {get_policy_version, reads}},
      {"GetRole", {get_role, reads}},
      {"GetRolePolicy", {get_role_policy, reads}},
      {"ListAttachedRolePolicies", {list_attached_role_policies, reads}},
      {"ListInstanceProfileTags", {list_instance_profile_tags, reads}},
      {"ListInstanceProfiles", {list_instance_profiles, reads}},
      {"ListInstanceProfilesForRole", {list_instance_profiles_for_role, reads}},
      {"ListPolicies", {list_policies, reads}},
      {"ListPolicyTags", {list_policy_tags, reads}},
      {"ListPolicyVersions", {list_policy_versions, reads}},
      {"ListRolePolicies", {list_role_policies, reads}},
      {"ListRoleTags", {list_role_tags, reads}},
      {"ListRoles", {list_roles, reads}},
      {"PutRolePermissionsBoundary", {put_role_permissions_boundary, writes}},
      {"PutRolePolicy", {put_role_policy, writes}},
      {"RemoveRoleFromInstanceProfile", {remove_role_from_instance_profile, writes}},
      {"TagInstanceProfile", {tag_instance_profile, writes}},
      {"TagPolicy", {tag_policy, writes}},
      {"TagRole", {tag_role, writes}},
      {"UntagInstanceProfile", {untag_instance_profile, writes}},
      {"UntagPolicy", {untag_policy, writes}},
      {"UntagRole", {untag_role, writes}},
      {"UpdateAssumeRolePolicy", {update_assume_role_policy, writes}},
      {"UpdateRole", {update_role, writes}},
  };
  const auto found = all.find(name);
  return found == all.end() ? nullptr : &found->second;
}

}  // namespace ferry::rehearsal
