#pragma once
/// \file
/// IAM's actions (Query, version 2010-05-08) on roles, instance profiles and managed policies, as functions from a
/// request to what stands inside its answer. There are no users and groups, and nothing is simulated.
///
/// What IAM itself refuses is refused here: names and paths, documents that do not parse or name no vendor, sizes and
/// counts, what is still in use. Policies are judged (s3_policy.h) where the rehearsal's S3 is asked with a role's
/// credentials; elsewhere they are kept and shown.

#include <string_view>

#include "rehearsal/actions.h"

namespace ferry::rehearsal {

inline constexpr std::string_view iam_version = "2010-05-08";

/// One request at work. `state` is a copy: it replaces the real one, durably, only if the action succeeds.
struct IamCall {
  const Params& params;
  State& state;
  std::int64_t now_ms;
  Iam& iam() const { return state.iam; }
};

struct IamActionEntry {
  Api<Xml> (*run)(IamCall&);  ///< what stands in its …Result; empty: it has none
  Effect effect;
};
/// Nothing for an action that is not offered.
const IamActionEntry* find_iam_action(std::string_view name);

// iam_roles.cc
Api<Xml> create_role(IamCall& call);
Api<Xml> get_role(IamCall& call);
Api<Xml> list_roles(IamCall& call);
Api<Xml> update_role(IamCall& call);
Api<Xml> update_assume_role_policy(IamCall& call);
Api<Xml> delete_role(IamCall& call);
// iam_role_policies.cc
Api<Xml> put_role_policy(IamCall& call);
Api<Xml> get_role_policy(IamCall& call);
Api<Xml> list_role_policies(IamCall& call);
Api<Xml> delete_role_policy(IamCall& call);
Api<Xml> attach_role_policy(IamCall& call);
Api<Xml> detach_role_policy(IamCall& call);
Api<Xml> list_attached_role_policies(IamCall& call);
Api<Xml> put_role_permissions_boundary(IamCall& call);
Api<Xml> delete_role_permissions_boundary(IamCall& call);
// iam_policies.cc
Api<Xml> create_policy(IamCall& call);
Api<Xml> get_policy(IamCall& call);
Api<Xml> list_policies(IamCall& call);
Api<Xml> delete_policy(IamCall& call);
Api<Xml> create_policy_version(IamCall& call);
Api<Xml> get_policy_version(IamCall& call);
Api<Xml> list_policy_versions(IamCall& call);
Api<Xml> delete_policy_version(IamCall& call);
// iam_profiles.cc
Api<Xml> create_instance_profile(IamCall& call);
Api<Xml> get_instance_profile(IamCall& call);
Api<Xml> list_instance_profiles(IamCall& call);
Api<Xml> list_instance_profiles_for_role(IamCall& call);
Api<Xml> add_role_to_instance_profile(IamCall& call);
Api<Xml> remove_role_from_instance_profile(IamCall& call);
Api<Xml> delete_instance_profile(IamCall& call);
// iam_tags.cc
Api<Xml> tag_role(IamCall& call);
Api<Xml> untag_role(IamCall& call);
Api<Xml> list_role_tags(IamCall& call);
Api<Xml> tag_instance_profile(IamCall& call);
Api<Xml> untag_instance_profile(IamCall& call);
Api<Xml> list_instance_profile_tags(IamCall& call);
Api<Xml> tag_policy(IamCall& call);
Api<Xml> untag_policy(IamCall& call);
Api<Xml> list_policy_tags(IamCall& call);

/// The members of <Role>, without its tags and its boundary unless `whole`.
void write_role(Xml& xml, const IamRole& role, bool whole);
/// NoSuchEntity, ValidationError: RoleName.
Api<IamRole*> named_role(IamCall& call);

}  // namespace ferry::rehearsal
