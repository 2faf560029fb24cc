// IAM's instance profiles.
#include "os/clock.h"
#include "rehearsal/iam_checks.h"

namespace ferry::rehearsal {
namespace {

constexpr std::size_t most_profiles = 1000;

Api<IamProfile*> named_profile(IamCall& call) {
  API_SET(name, iam_name(call.params, "InstanceProfileName"));
  const auto found = call.iam().profiles.find(name);
  if (found == call.iam().profiles.end())
    return no_such_entity(fmt::format("Instance Profile {} cannot be found.", name));
  return &found->second;
}

void write_profile(Xml& xml, const Iam& iam, const IamProfile& profile) {
  xml.text("Path", profile.path)
      .text("InstanceProfileName", profile.name)
      .text("InstanceProfileId", profile.id)
      .text("Arn", profile.arn())
      .text("CreateDate", os::iso_time(profile.created_ms));
  xml.node("Roles", [&] {
    if (const auto* role = iam.role(profile.role)) xml.node("member", [&] { write_role(xml, *role, false); });
  });
  write_iam_tags(xml, profile.tags);
}

Api<Xml> page_of_profiles(IamCall& call, const std::function<bool(const IamProfile&)>& wanted) {
  std::vector<const IamProfile*> found;
  for (const auto& [name, profile] : call.iam().profiles)
    if (wanted(profile)) found.push_back(&profile);
  return iam_page(call.params, "InstanceProfiles", found,
                  [&](Xml& xml, const IamProfile* profile) { write_profile(xml, call.iam(), *profile); });
}

}  // namespace

Api<Xml> create_instance_profile(IamCall& call) {
  IamProfile profile;
  API_SET(name, iam_name(call.params, "InstanceProfileName"));
  API_SET(path, iam_path(call.params));
  API_SET(tags, iam_tags(call.params));
  auto& profiles = call.iam().profiles;
  if (std::any_of(profiles.begin(), profiles.end(), [&](const auto& it) { return same_iam_name(it.first, name); }))
    return entity_exists(fmt::format("Instance Profile {} already exists.", name));
  if (profiles.size() >= most_profiles)
    return over_limit(fmt::format("Cannot exceed quota for InstanceProfilesPerAccount: {}", most_profiles));
  profile.name = name;
  profile.path = path;
  profile.id = new_iam_id("AIPA", 21);
  profile.tags = tags;
  profile.created_ms = profile.changed_ms = call.now_ms;
  Xml xml;
  xml.node("InstanceProfile", [&] { write_profile(xml, call.iam(), profile); });
  profiles[name] = std::move(profile);
  return xml;
}

Api<Xml> get_instance_profile(IamCall& call) {
  API_SET(profile, named_profile(call));
  Xml xml;
  return xml.node("InstanceProfile", [&, it = profile] { write_profile(xml, call.iam(), *it); });
}

Api<Xml> list_instance_profiles(IamCall& call) {
  const auto prefix = call.params.get("PathPrefix", "/");
  return page_of_profiles(call, [&](const IamProfile& profile) { return profile.path.starts_with(prefix); });
}

Api<Xml> list_instance_profiles_for_role(IamCall& call) {
  API_SET(role, named_role(call));
  return page_of_profiles(call, [it = role](const IamProfile& profile) { return profile.role == it->name; });
}

Api<Xml> add_role_to_instance_profile(IamCall& call) {
  API_SET(profile, named_profile(call));
  API_SET(role, named_role(call));
  if (!profile->role.empty()) return over_limit("Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1");
  profile->role = role->name;
  profile->changed_ms = call.now_ms;
  return Xml();
}

Api<Xml> remove_role_from_instance_profile(IamCall& call) {
  API_SET(profile, named_profile(call));
  API_SET(role, named_role(call));
  if (profile->role != role->name)
    return no_such_entity(fmt::format("Role {} is not in Instance Profile {}.", role->name, profile->name));
  profile->role.clear();
  return Xml();
}

Api<Xml> delete_instance_profile(IamCall& call) {
  API_SET(profile, named_profile(call));
  if (!profile->role.empty()) return delete_conflict("remove roles from instance profile first");
  call.iam().profiles.erase(std::string(profile->name));
  return Xml();
}

}  // namespace ferry::rehearsal
