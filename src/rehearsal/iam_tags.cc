// Tags of what IAM has.
#include "rehearsal/iam_checks.h"

namespace ferry::rehearsal {
namespace {

Api<Tags*> tags_of_role(IamCall& call) {
  API_SET(role, named_role(call));
  return &role->tags;
}

Api<Tags*> tags_of_profile(IamCall& call) {
  API_SET(name, iam_name(call.params, "InstanceProfileName"));
  const auto found = call.iam().profiles.find(name);
  if (found == call.iam().profiles.end())
    return no_such_entity(fmt::format("Instance Profile {} cannot be found.", name));
  return &found->second.tags;
}

Api<Tags*> tags_of_policy(IamCall& call) {
  API_SET(arn, iam_required(call.params, "PolicyArn"));
  const auto found = call.iam().policies.find(arn);
  if (found == call.iam().policies.end()) return no_such_entity(fmt::format("Policy {} was not found.", arn));
  return &found->second.tags;
}

using Find = Api<Tags*> (*)(IamCall&);

Api<Xml> add_tags(IamCall& call, Find find) {
  API_SET(tags, find(call));
  API_SET(more, iam_tags(call.params));
  for (const auto& [key, value] : more) {
    std::erase_if(*tags, [&, it = &key](const auto& old) { return same_iam_name(old.first, *it); });
    (*tags)[key] = value;
  }
  if (tags->size() > most_iam_tags) return over_limit("The number of tags has reached the maximum limit.");
  return Xml();
}

Api<Xml> remove_tags(IamCall& call, Find find) {
  API_SET(tags, find(call));
  for (const auto& key : call.params.list("TagKeys.member"))
    std::erase_if(*tags, [&](const auto& old) { return same_iam_name(old.first, key); });
  return Xml();
}

Api<Xml> list_tags(IamCall& call, Find find) {
  API_SET(tags, find(call));
  const std::vector<std::pair<std::string, std::string>> all(tags->begin(), tags->end());
  return iam_page(call.params, "Tags", all,
                  [](Xml& xml, const auto& tag) { xml.text("Key", tag.first).text("Value", tag.second); });
}

}  // namespace

Api<Xml> tag_role(IamCall& call) { return add_tags(call, tags_of_role); }
Api<Xml> untag_role(IamCall& call) { return remove_tags(call, tags_of_role); }
Api<Xml> list_role_tags(IamCall& call) { return list_tags(call, tags_of_role); }
Api<Xml> tag_instance_profile(IamCall& call) { return add_tags(call, tags_of_profile); }
Api<Xml> untag_instance_profile(IamCall& call) { return remove_tags(call, tags_of_profile); }
Api<Xml> list_instance_profile_tags(IamCall& call) { return list_tags(call, tags_of_profile); }
Api<Xml> tag_policy(IamCall& call) { return add_tags(call, tags_of_policy); }
Api<Xml> untag_policy(IamCall& call) { return remove_tags(call, tags_of_policy); }
Api<Xml> list_policy_tags(IamCall& call) { return list_tags(call, tags_of_policy); }

}  // namespace ferry::rehearsal
