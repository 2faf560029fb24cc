#include "aws/iam.h"

#include <algorithm>

#include "aws/ec2_xml.h"
#include "aws/services.h"
#include "aws/xml.h"
#include "base/text.h"

namespace ferry::aws {
namespace {

using Tags = std::map<std::string, std::string>;

/// IAM's lists are Name.member.N, other than EC2's.
void add_tags(Params& params, const Tags& tags) {
  int number = 0;
  for (const auto& [key, value] : tags) {
    const std::string tag = "Tags.member." + std::to_string(++number);
    params.add(tag + ".Key", key).add(tag + ".Value", value);
  }
}

Tags tags_in(const pugi::xml_node& parent) {
  Tags tags;
  for (const auto& one : parent.child("Tags").children("member"))
    tags[one.child("Key").text().get()] = one.child("Value").text().get();
  return tags;
}

RoleRecord role_in(const pugi::xml_node& node) {
  return {xml_text(node, "RoleName"),
          xml_text(node, "Path"),
          xml_text(node, "Arn"),
          xml_text(node.child("PermissionsBoundary"), "PermissionsBoundaryArn"),
          tags_in(node),
          parse_iso_time(xml_text(node, "CreateDate"))};
}

InstanceProfileRecord profile_in(const pugi::xml_node& node) {
  InstanceProfileRecord record{
      xml_text(node, "InstanceProfileName"), xml_text(node, "Path"), xml_text(node, "Arn"), {}, tags_in(node)};
  for (const auto& one : node.child("Roles").children("member")) record.roles.push_back(xml_text(one, "RoleName"));
  return record;
}

/// The element ACTION + "Result" of an answer.
Result<pugi::xml_node> result_of(XmlAnswer& answer, std::string_view xml, const std::string& action) {
  TRY("", load_xml(answer, xml, action + "Response"));
  const auto result = answer.root.child((action + "Result").c_str());
  if (!result) return fail(Kind::corrupt, "AWS's answer to " + action + " has no result");
  return result;
}

template <class Record>
Result<Record> named(Record record, const std::string& action) {
  if (record.name.empty()) return fail(Kind::corrupt, "AWS's answer to " + action + " names nothing");
  return record;
}

/// IAM's pages have a Marker where there is more.
template <class Record, class Read>
Result<Page<Record>> page_of(std::string_view xml, const std::string& action, const char* list, const Read& read) {
  XmlAnswer answer;
  TRY_SET(result, "", result_of(answer, xml, action));
  Page<Record> page;
  for (const auto& one : result.child(list).children("member")) {
    auto record = read(one);
    if (!record.name.empty()) page.items.push_back(std::move(record));
  }
  if (xml_text(result, "IsTruncated") == "true") page.next_token = xml_text(result, "Marker");
  return page;
}

Result<std::string> ask(Client& client, const std::string& action, const Params& params) {
  return client.query("iam", action, params, Repeat::freely);
}

/// What gives back or takes away: gone already is as good.
Status settle(Client& client, const std::string& action, const Params& params) {
  const auto done = ask(client, action, params);
  if (!done && done.error().kind != Kind::not_found) return tl::unexpected(done.error());
  return {};
}

bool has_all(const Tags& has, const Tags& wanted) {
  return std::ranges::all_of(wanted, [&](const auto& one) {
    const auto at = has.find(one.first);
    return at != has.end() && at->second == one.second;
  });
}

auto another(const std::string& what, const std::string& why) {
  return fail(Kind::conflict, "IAM has another " + what + " already", why,
              "remove it, if nobody needs it, and run the command again");
}

}  // namespace

Result<RoleRecord> create_role(Client& client, const RoleOrder& order) {
  Params params;
  params.add("RoleName", order.name).add("Path", order.path).add("AssumeRolePolicyDocument", order.trust);
  params.add_given("PermissionsBoundary", order.boundary).add_given("Description", order.description);
  add_tags(params, order.tags);
  const auto xml = ask(client, "CreateRole", params);
  if (xml) return parse_role(*xml, "CreateRole");
  if (xml.error().kind != Kind::exists) return tl::unexpected(xml.error());
  TRY_SET(there, "", get_role(client, order.name));
  if (there.path != order.path) return another("role " + order.name, "it is in " + there.path);
  if (there.boundary != order.boundary) return another("role " + order.name, "its boundary is another one");
  if (!has_all(there.tags, order.tags)) return another("role " + order.name, "it has other tags");
  return there;
}

Result<RoleRecord> get_role(Client& client, const std::string& name) {
  Params params;
  params.add("RoleName", name);
  TRY_SET(xml, "", ask(client, "GetRole", params));
  return parse_role(xml, "GetRole");
}

Result<std::vector<RoleRecord>> list_roles(Client& client, const std::string& path) {
  return every_page<RoleRecord>("ListRoles", [&](const std::string& marker) -> Result<Page<RoleRecord>> {
    Params params;
    params.add("PathPrefix", path).add_given("Marker", marker);
    TRY_SET(xml, "", ask(client, "ListRoles", params));
    return parse_list_roles(xml);
  });
}

Status put_role_policy(Client& client, const std::string& role, const std::string& name, const std::string& document) {
  Params params;
  params.add("RoleName", role).add("PolicyName", name).add("PolicyDocument", document);
  TRY("", ask(client, "PutRolePolicy", params));
  return {};
}

Status delete_role_policy(Client& client, const std::string& role, const std::string& name) {
  Params params;
  params.add("RoleName", role).add("PolicyName", name);
  return settle(client, "DeleteRolePolicy", params);
}

Status delete_role(Client& client, const std::string& name) {
  Params params;
  params.add("RoleName", name);
  return settle(client, "DeleteRole", params);
}

Result<InstanceProfileRecord> create_instance_profile(Client& client, const std::string& name, const std::string& path,
                                                      const std::map<std::string, std::string>& tags) {
  Params params;
  params.add("InstanceProfileName", name).add("Path", path);
  add_tags(params, tags);
  const auto xml = ask(client, "CreateInstanceProfile", params);
  if (xml) return parse_instance_profile(*xml, "CreateInstanceProfile");
  if (xml.error().kind != Kind::exists) return tl::unexpected(xml.error());
  TRY_SET(there, "", get_instance_profile(client, name));
  if (there.path != path) return another("instance profile " + name, "it is in " + there.path);
  if (!has_all(there.tags, tags)) return another("instance profile " + name, "it has other tags");
  return there;
}

Result<InstanceProfileRecord> get_instance_profile(Client& client, const std::string& name) {
  Params params;
  params.add("InstanceProfileName", name);
  TRY_SET(xml, "", ask(client, "GetInstanceProfile", params));
  return parse_instance_profile(xml, "GetInstanceProfile");
}

Result<std::vector<InstanceProfileRecord>> list_instance_profiles(Client& client, const std::string& path) {
  return every_page<InstanceProfileRecord>("ListInstanceProfiles",
                                           [&](const std::string& marker) -> Result<Page<InstanceProfileRecord>> {
                                             Params params;
                                             params.add("PathPrefix", path).add_given("Marker", marker);
                                             TRY_SET(xml, "", ask(client, "ListInstanceProfiles", params));
                                             return parse_list_instance_profiles(xml);
                                           });
}

Status add_role_to_instance_profile(Client& client, const std::string& profile, const std::string& role) {
  Params params;
  params.add("InstanceProfileName", profile).add("RoleName", role);
  const auto added = ask(client, "AddRoleToInstanceProfile", params);
  if (added) return {};
  // One role is all that a profile takes; the one that it has may be this one.
  if (added.error().kind != Kind::quota && added.error().kind != Kind::exists) return tl::unexpected(added.error());
  TRY_SET(there, "", get_instance_profile(client, profile));
  if (there.roles == std::vector{role}) return {};
  if (!there.roles.empty()) return another("role in the instance profile " + profile, there.roles.front());
  return tl::unexpected(added.error());
}

Status remove_role_from_instance_profile(Client& client, const std::string& profile, const std::string& role) {
  Params params;
  params.add("InstanceProfileName", profile).add("RoleName", role);
  return settle(client, "RemoveRoleFromInstanceProfile", params);
}

Status delete_instance_profile(Client& client, const std::string& name) {
  Params params;
  params.add("InstanceProfileName", name);
  return settle(client, "DeleteInstanceProfile", params);
}

Result<PolicyRecord> create_policy(Client& client, const std::string& name, const std::string& path,
                                   const std::string& document, const std::string& description) {
  Params params;
  params.add("PolicyName", name).add("Path", path).add("PolicyDocument", document);
  params.add_given("Description", description);
  TRY_SET(xml, "", ask(client, "CreatePolicy", params));
  return parse_policy(xml, "CreatePolicy");
}

Result<PolicyRecord> get_policy(Client& client, const std::string& arn) {
  Params params;
  params.add("PolicyArn", arn);
  TRY_SET(xml, "", ask(client, "GetPolicy", params));
  return parse_policy(xml, "GetPolicy");
}

Result<std::string> get_policy_version(Client& client, const std::string& arn, const std::string& version) {
  Params params;
  params.add("PolicyArn", arn).add("VersionId", version);
  TRY_SET(xml, "", ask(client, "GetPolicyVersion", params));
  return parse_get_policy_version(xml);
}

Status replace_policy(Client& client, const std::string& arn, const std::string& document) {
  constexpr std::size_t most_versions = 5;
  Params params;
  params.add("PolicyArn", arn);
  TRY_SET(xml, "", ask(client, "ListPolicyVersions", params));
  XmlAnswer answer;
  TRY_SET(result, "", result_of(answer, xml, "ListPolicyVersions"));
  std::vector<std::int64_t> others;
  for (const auto& one : result.child("Versions").children("member")) {
    const std::string version = xml_text(one, "VersionId");  // "v12": they are counted up
    const auto number = version.starts_with('v') ? parse_int(version.substr(1)) : std::nullopt;
    if (number && xml_text(one, "IsDefaultVersion") != "true") others.push_back(*number);
  }
  if (others.size() + 1 >= most_versions) {
    Params oldest = params;
    oldest.add("VersionId", "v" + std::to_string(*std::ranges::min_element(others)));
    TRY("", settle(client, "DeletePolicyVersion", oldest));
  }
  params.add("PolicyDocument", document).add("SetAsDefault", "true");
  TRY("", ask(client, "CreatePolicyVersion", params));
  return {};
}

std::string iam_arn(const std::string& region, const std::string& account, const std::string& kind,
                    const std::string& path, const std::string& name) {
  return "arn:" + partition_of(region) + ":iam::" + account + ":" + kind + path + name;
}

Result<RoleRecord> parse_role(std::string_view xml, const std::string& action) {
  XmlAnswer answer;
  TRY_SET(result, "", result_of(answer, xml, action));
  return named(role_in(result.child("Role")), action);
}

Result<Page<RoleRecord>> parse_list_roles(std::string_view xml) {
  return page_of<RoleRecord>(xml, "ListRoles", "Roles", role_in);
}

Result<InstanceProfileRecord> parse_instance_profile(std::string_view xml, const std::string& action) {
  XmlAnswer answer;
  TRY_SET(result, "", result_of(answer, xml, action));
  return named(profile_in(result.child("InstanceProfile")), action);
}

Result<Page<InstanceProfileRecord>> parse_list_instance_profiles(std::string_view xml) {
  return page_of<InstanceProfileRecord>(xml, "ListInstanceProfiles", "InstanceProfiles", profile_in);
}

Result<PolicyRecord> parse_policy(std::string_view xml, const std::string& action) {
  XmlAnswer answer;
  TRY_SET(result, "", result_of(answer, xml, action));
  const auto node = result.child("Policy");
  return named(PolicyRecord{xml_text(node, "PolicyName"), xml_text(node, "Path"), xml_text(node, "Arn"),
                            xml_text(node, "DefaultVersionId")},
               action);
}

Result<std::string> parse_get_policy_version(std::string_view xml) {
  XmlAnswer answer;
  TRY_SET(result, "", result_of(answer, xml, "GetPolicyVersion"));
  // IAM writes documents as they stand in a URL.
  return percent_decoded(xml_text(result.child("PolicyVersion"), "Document"));
}

}  // namespace ferry::aws
