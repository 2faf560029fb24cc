// IAM's managed policies and their versions.
#include "os/clock.h"
#include "rehearsal/iam_checks.h"

namespace ferry::rehearsal {
namespace {

constexpr std::size_t most_policies = 1500, longest_policy = 6144, most_versions = 5;

/// How many roles have it: attached, and as their boundary.
struct Uses {
  std::int64_t attached = 0, bounding = 0;
};
Uses uses_of(const Iam& iam, const std::string& arn) {
  Uses uses;
  for (const auto& [name, role] : iam.roles) {
    uses.attached += std::count(role.attached.begin(), role.attached.end(), arn);
    uses.bounding += role.boundary == arn ? 1 : 0;
  }
  return uses;
}

Api<std::string> read_policy_document(const Params& params) {
  API_SET(document, iam_required(params, "PolicyDocument"));
  API_TRY(check_identity_document(document));
  if (document_size(document) > longest_policy)
    return over_limit(fmt::format("Cannot exceed quota for PolicySize: {}", longest_policy));
  return document;
}

Api<const IamPolicy*> named_policy(const IamCall& call) {
  API_SET(arn, iam_required(call.params, "PolicyArn"));
  const auto* policy = call.iam().policy(arn);
  if (!policy) return no_such_entity(fmt::format("Policy {} was not found.", arn));
  return policy;
}

/// One that may be changed.
Api<IamPolicy*> own_policy(IamCall& call) {
  API_SET(policy, named_policy(call));
  if (policy->of_aws)
    return refuse(
        "AccessDenied",
        fmt::format("User: arn:aws:iam::{}:user/rehearsal is not authorized to change {}", account_id, policy->arn()),
        403);
  return &call.iam().policies.at(policy->arn());
}

void write_policy(Xml& xml, const Iam& iam, const IamPolicy& policy, bool whole) {
  const auto uses = uses_of(iam, policy.arn());
  xml.text("PolicyName", policy.name).text("PolicyId", policy.id).text("Arn", policy.arn()).text("Path", policy.path);
  xml.text("DefaultVersionId", "v" + std::to_string(policy.in_force))
      .number("AttachmentCount", uses.attached)
      .number("PermissionsBoundaryUsageCount", uses.bounding)
      .flag("IsAttachable", true);
  xml.text("CreateDate", os::iso_time(policy.created_ms)).text("UpdateDate", os::iso_time(policy.updated_ms));
  if (!whole) return;
  xml.some("Description", policy.description);
  write_iam_tags(xml, policy.tags);
}

void write_version(Xml& xml, const IamPolicy& policy, const IamPolicyVersion& version, bool with_document) {
  if (with_document) xml.text("Document", percent_encoded(version.document));
  xml.text("VersionId", version.name())
      .flag("IsDefaultVersion", version.number == policy.in_force)
      .text("CreateDate", os::iso_time(version.created_ms));
}

Api<const IamPolicyVersion*> named_version(const IamCall& call, const IamPolicy& policy) {
  API_SET(name, iam_required(call.params, "VersionId"));
  const auto* version = policy.version(name);
  if (!version)
    return no_such_entity(fmt::format("Policy {} version {} does not exist or is not attachable.", policy.arn(), name));
  return version;
}

}  // namespace

Api<Xml> create_policy(IamCall& call) {
  IamPolicy policy;
  API_SET(name, iam_name(call.params, "PolicyName"));
  API_SET(path, iam_path(call.params));
  API_SET(description, iam_description(call.params));
  API_SET(tags, iam_tags(call.params));
  API_SET(document, read_policy_document(call.params));
  auto& policies = call.iam().policies;
  if (std::any_of(policies.begin(), policies.end(),
                  [&](const auto& it) { return same_iam_name(it.second.name, name); }))
    return entity_exists(fmt::format("A policy called {} already exists. Duplicate names are not allowed.", name));
  if (policies.size() >= most_policies)
    return over_limit(fmt::format("Cannot exceed quota for PoliciesPerAccount: {}", most_policies));
  policy.name = name;
  policy.path = path;
  policy.id = new_iam_id("ANPA", 21);
  policy.description = description;
  policy.versions.push_back({1, call.now_ms, document});
  policy.tags = tags;
  policy.created_ms = policy.updated_ms = call.now_ms;
  Xml xml;
  xml.node("Policy", [&] { write_policy(xml, call.iam(), policy, true); });
  const auto arn = policy.arn();
  policies[arn] = std::move(policy);
  return xml;
}

Api<Xml> get_policy(IamCall& call) {
  API_SET(policy, named_policy(call));
  Xml xml;
  return xml.node("Policy", [&, it = policy] { write_policy(xml, call.iam(), *it, true); });
}

Api<Xml> list_policies(IamCall& call) {
  const auto scope = call.params.get("Scope", "All"), prefix = call.params.get("PathPrefix", "/");
  API_SET(only_attached, call.params.flag("OnlyAttached", false));
  std::vector<const IamPolicy*> found;
  const auto add_all = [&](const std::map<std::string, IamPolicy>& policies) {
    for (const auto& [arn, policy] : policies)
      if (policy.path.starts_with(prefix) && (!only_attached || uses_of(call.iam(), arn).attached > 0))
        found.push_back(&policy);
  };
  if (scope != "Local") add_all(policies_of_aws());
  if (scope != "AWS") add_all(call.iam().policies);
  return iam_page(call.params, "Policies", found,
                  [&](Xml& xml, const IamPolicy* policy) { write_policy(xml, call.iam(), *policy, false); });
}

Api<Xml> delete_policy(IamCall& call) {
  API_SET(policy, own_policy(call));
  const auto uses = uses_of(call.iam(), policy->arn());
  if (uses.attached + uses.bounding > 0)
    return refuse("DeleteConflict", "Cannot delete a policy attached to entities.", 409);
  if (policy->versions.size() > 1)
    return refuse("DeleteConflict",
                  "This policy has more than one version. Before you delete a policy, you must delete the policy's "
                  "versions. The default version is deleted with the policy.",
                  409);
  call.iam().policies.erase(policy->arn());
  return Xml();
}

Api<Xml> create_policy_version(IamCall& call) {
  API_SET(policy, own_policy(call));
  API_SET(document, read_policy_document(call.params));
  API_SET(in_force, call.params.flag("SetAsDefault", false));
  if (policy->versions.size() >= most_versions)
    return over_limit(
        fmt::format("A managed policy can have up to {} versions. Before you create a new version, you must delete an "
                    "existing version.",
                    most_versions));
  policy->versions.push_back({++policy->last_number, call.now_ms, document});
  policy->updated_ms = call.now_ms;
  if (in_force) policy->in_force = policy->last_number;
  Xml xml;
  return xml.node("PolicyVersion", [&, it = policy] { write_version(xml, *it, it->versions.back(), false); });
}

Api<Xml> get_policy_version(IamCall& call) {
  API_SET(policy, named_policy(call));
  API_SET(version, named_version(call, *policy));
  Xml xml;
  return xml.node("PolicyVersion", [&, it = policy, that = version] { write_version(xml, *it, *that, true); });
}

Api<Xml> list_policy_versions(IamCall& call) {
  API_SET(policy, named_policy(call));
  std::vector<IamPolicyVersion> newest_first(policy->versions.rbegin(), policy->versions.rend());
  return iam_page(call.params, "Versions", newest_first, [it = policy](Xml& xml, const IamPolicyVersion& version) {
    write_version(xml, *it, version, false);
  });
}

Api<Xml> delete_policy_version(IamCall& call) {
  API_SET(policy, own_policy(call));
  API_SET(version, named_version(call, *policy));
  const auto number = version->number;
  if (number == policy->in_force)
    return refuse("DeleteConflict", "Cannot delete the default version of a policy.", 409);
  std::erase_if(policy->versions, [&](const IamPolicyVersion& it) { return it.number == number; });
  return Xml();
}

}  // namespace ferry::rehearsal
