// What IAM's roles may do: policies of their own, attached ones, and the boundary of both.
#include "rehearsal/iam_checks.h"

namespace ferry::rehearsal {
namespace {

constexpr std::size_t most_inlined_bytes = 10'240, most_attached = 10;

Api<std::string> policy_arn(const Params& params, const std::string& param) {
  API_SET(arn, iam_required(params, param));
  if (arn.size() < 20 || !arn.starts_with("arn:"))
    return refuse("ValidationError", fmt::format("Invalid ARN: {} is not valid.", arn));
  return arn;
}

Api<const IamPolicy*> policy_to_attach(IamCall& call, const std::string& param) {
  API_SET(arn, policy_arn(call.params, param));
  const auto* policy = call.iam().policy(arn);
  if (!policy) return no_such_entity(fmt::format("Policy {} does not exist or is not attachable.", arn));
  return policy;
}

tl::unexpected<ApiError> no_such_role_policy(const std::string& name) {
  return no_such_entity(fmt::format("The role policy with name {} cannot be found.", name));
}

}  // namespace

Api<Xml> put_role_policy(IamCall& call) {
  API_SET(role, named_role(call));
  API_SET(name, iam_name(call.params, "PolicyName"));
  API_SET(document, iam_required(call.params, "PolicyDocument"));
  API_TRY(check_identity_document(document));
  role->inlined[name] = document;
  std::size_t bytes = 0;
  for (const auto& [other, text] : role->inlined) bytes += document_size(text);
  if (bytes > most_inlined_bytes)
    return over_limit(
        fmt::format("Maximum policy size of {} bytes exceeded for role {}", most_inlined_bytes, role->name));
  return Xml();
}

Api<Xml> get_role_policy(IamCall& call) {
  API_SET(role, named_role(call));
  API_SET(name, iam_name(call.params, "PolicyName"));
  const auto found = role->inlined.find(name);
  if (found == role->inlined.end()) return no_such_role_policy(name);
  return Xml()
      .text("RoleName", role->name)
      .text("PolicyName", name)
      .text("PolicyDocument", percent_encoded(found->second));
}

Api<Xml> list_role_policies(IamCall& call) {
  API_SET(role, named_role(call));
  std::vector<std::string> names;
  for (const auto& [name, document] : role->inlined) names.push_back(name);
  return iam_page(call.params, "PolicyNames", names,
                  [](Xml& xml, const std::string& name) { xml.raw(xml_escaped(name)); });
}

Api<Xml> delete_role_policy(IamCall& call) {
  API_SET(role, named_role(call));
  API_SET(name, iam_name(call.params, "PolicyName"));
  if (role->inlined.erase(name) == 0) return no_such_role_policy(name);
  return Xml();
}

Api<Xml> attach_role_policy(IamCall& call) {
  API_SET(role, named_role(call));
  API_SET(policy, policy_to_attach(call, "PolicyArn"));
  const auto arn = policy->arn();
  if (std::find(role->attached.begin(), role->attached.end(), arn) != role->attached.end()) return Xml();
  if (role->attached.size() >= most_attached)
    return over_limit(fmt::format("Cannot exceed quota for PoliciesPerRole: {}", most_attached));
  role->attached.push_back(arn);
  return Xml();
}

Api<Xml> detach_role_policy(IamCall& call) {
  API_SET(role, named_role(call));
  API_SET(arn, policy_arn(call.params, "PolicyArn"));
  if (std::erase(role->attached, arn) == 0) return no_such_entity(fmt::format("Policy {} was not found.", arn));
  return Xml();
}

Api<Xml> list_attached_role_policies(IamCall& call) {
  API_SET(role, named_role(call));
  const auto prefix = call.params.get("PathPrefix", "/");
  std::vector<const IamPolicy*> found;
  for (const auto& arn : role->attached)
    if (const auto* policy = call.iam().policy(arn); policy && policy->path.starts_with(prefix))
      found.push_back(policy);
  return iam_page(call.params, "AttachedPolicies", found, [](Xml& xml, const IamPolicy* policy) {
    xml.text("PolicyName", policy->name).text("PolicyArn", policy->arn());
  });
}

Api<Xml> put_role_permissions_boundary(IamCall& call) {
  API_SET(role, named_role(call));
  API_SET(policy, policy_to_attach(call, "PermissionsBoundary"));
  role->boundary = policy->arn();
  return Xml();
}

Api<Xml> delete_role_permissions_boundary(IamCall& call) {
  API_SET(role, named_role(call));
  if (role->boundary.empty())
    return no_such_entity(fmt::format("Role {} does not have a permissions boundary.", role->name));
  role->boundary.clear();
  return Xml();
}

}  // namespace ferry::rehearsal
