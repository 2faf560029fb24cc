// IAM's roles.
#include "os/clock.h"
#include "rehearsal/iam_checks.h"

namespace ferry::rehearsal {
namespace {

constexpr std::size_t most_roles = 1000, longest_role_name = 64, longest_trust = 2048;

Api<std::string> read_trust(const Params& params, const std::string& param) {
  API_SET(trust, iam_required(params, param));
  API_TRY(check_trust_document(trust));
  if (document_size(trust) > longest_trust)
    return over_limit(fmt::format("Cannot exceed quota for ACLSizePerRole: {}", longest_trust));
  return trust;
}

Api<std::int64_t> read_longest_session(const Params& params, std::int64_t otherwise) {
  API_SET(seconds, params.number("MaxSessionDuration", otherwise));
  if (seconds < 3600 || seconds > 43'200)
    return iam_invalid("MaxSessionDuration", std::to_string(seconds), "have value between 3600 and 43200");
  return seconds;
}

}  // namespace

Api<IamRole*> named_role(IamCall& call) {
  API_SET(name, iam_name(call.params, "RoleName", longest_role_name));
  const auto found = call.iam().roles.find(name);
  if (found == call.iam().roles.end())
    return no_such_entity(fmt::format("The role with name {} cannot be found.", name));
  return &found->second;
}

void write_role(Xml& xml, const IamRole& role, bool whole) {
  xml.text("Path", role.path).text("RoleName", role.name).text("RoleId", role.id).text("Arn", role.arn());
  xml.text("CreateDate", os::iso_time(role.created_ms))
      .text("AssumeRolePolicyDocument", percent_encoded(role.trust))
      .some("Description", role.description)
      .number("MaxSessionDuration", role.longest_session_s);
  if (!whole) return;
  if (!role.boundary.empty())
    xml.node("PermissionsBoundary", [&] {
      xml.text("PermissionsBoundaryType", "PermissionsBoundaryPolicy").text("PermissionsBoundaryArn", role.boundary);
    });
  write_iam_tags(xml, role.tags);
}

Api<Xml> create_role(IamCall& call) {
  IamRole role;
  API_SET(name, iam_name(call.params, "RoleName", longest_role_name));
  API_SET(path, iam_path(call.params));
  API_SET(description, iam_description(call.params));
  API_SET(tags, iam_tags(call.params));
  API_SET(longest, read_longest_session(call.params, role.longest_session_s));
  auto& roles = call.iam().roles;
  if (std::any_of(roles.begin(), roles.end(), [&](const auto& entry) { return same_iam_name(entry.first, name); }))
    return entity_exists(fmt::format("Role with name {} already exists.", name));
  if (roles.size() >= most_roles)
    return over_limit(fmt::format("Cannot exceed quota for RolesPerAccount: {}", most_roles));
  API_SET(trust, read_trust(call.params, "AssumeRolePolicyDocument"));
  const auto boundary = call.params.get("PermissionsBoundary");
  if (!boundary.empty() && !call.iam().policy(boundary))
    return no_such_entity(fmt::format("Scope ARN: {} does not exist or is not attachable.", boundary));
  role.name = name;
  role.path = path;
  role.id = new_iam_id("AROA", 21);
  role.description = description;
  role.trust = trust;
  role.boundary = boundary;
  role.tags = tags;
  role.created_ms = call.now_ms;
  role.longest_session_s = longest;
  Xml xml;
  xml.node("Role", [&] { write_role(xml, role, true); });
  roles[name] = std::move(role);
  return xml;
}

Api<Xml> get_role(IamCall& call) {
  API_SET(role, named_role(call));
  Xml xml;
  xml.node("Role", [&] {
    write_role(xml, *role, true);
    xml.raw("<RoleLastUsed/>");
  });
  return xml;
}

Api<Xml> list_roles(IamCall& call) {
  const auto prefix = call.params.get("PathPrefix", "/");
  std::vector<const IamRole*> found;
  for (const auto& [name, role] : call.iam().roles)
    if (role.path.starts_with(prefix)) found.push_back(&role);
  return iam_page(call.params, "Roles", found, [](Xml& xml, const IamRole* role) { write_role(xml, *role, false); });
}

Api<Xml> update_role(IamCall& call) {
  API_SET(role, named_role(call));
  API_SET(description, iam_description(call.params));
  API_SET(longest, read_longest_session(call.params, role->longest_session_s));
  if (call.params.has("Description")) role->description = description;
  role->longest_session_s = longest;
  return Xml().raw("\n");  // an empty result, but one
}

Api<Xml> update_assume_role_policy(IamCall& call) {
  API_SET(role, named_role(call));
  API_SET(trust, read_trust(call.params, "PolicyDocument"));
  role->trust = trust;
  return Xml();
}

Api<Xml> delete_role(IamCall& call) {
  API_SET(role, named_role(call));
  const auto& profiles = call.iam().profiles;
  if (std::any_of(profiles.begin(), profiles.end(), [&](const auto& it) { return it.second.role == role->name; }))
    return delete_conflict("remove roles from instance profile first");
  if (!role->inlined.empty()) return delete_conflict("delete policies first");
  if (!role->attached.empty()) return delete_conflict("detach all policies first");
  std::erase_if(call.iam().sessions, [&](const auto& it) { return it.second.role_id == role->id; });
  call.iam().roles.erase(std::string(role->name));
  return Xml();
}

}  // namespace ferry::rehearsal
