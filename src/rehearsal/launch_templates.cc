#include "rehearsal/launch_templates.h"

#include <algorithm>

#include "base/text.h"
#include "os/clock.h"
#include "rehearsal/launch.h"
#include "rehearsal/tagging.h"

namespace ferry::rehearsal {
namespace {

constexpr std::string_view data_prefix = "LaunchTemplateData.";
constexpr std::size_t most_versions = 10'000;

bool is_template_name(std::string_view name) {
  constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789().-/_";
  return name.size() >= 3 && name.size() <= 128 && name.find_first_not_of(letters) == name.npos;
}

[[nodiscard]] tl::unexpected<ApiError> no_such_name(const std::string& name) {
  return refuse("InvalidLaunchTemplateName.NotFoundException",
                fmt::format("The specified launch template, with template name {}, does not exist.", name));
}

[[nodiscard]] tl::unexpected<ApiError> no_such_id(const std::string& id) {
  return refuse("InvalidLaunchTemplateId.NotFound",
                fmt::format("The specified launch template, with template ID {}, does not exist.", id));
}

/// The template that a request names by id or name.
Api<LaunchTemplate*> named_template(Call& call) {
  const auto id = call.params.get("LaunchTemplateId"), name = call.params.get("LaunchTemplateName");
  if (id.empty() == name.empty())
    return refuse(id.empty() ? "MissingParameter" : "InvalidParameterCombination",
                  id.empty() ? "Either a launch template ID or a launch template name must be specified in the request."
                             : "Only one of launch template ID and launch template name may be specified.");
  const auto* found = find_template(call.state, id, name);
  if (!found) return id.empty() ? no_such_name(name) : no_such_id(id);
  return &call.state.launch_templates.at(found->id);
}

/// "NetworkInterface.1.SubnetId", and nothing that could be no element of an answer.
bool is_parameter(const std::string& name) {
  constexpr std::size_t most_parts = 10;
  const auto parts = split(name, '.');
  return parts.size() <= most_parts && std::all_of(parts.begin(), parts.end(), [](const auto& part) {
           return !part.empty() && std::all_of(part.begin(), part.end(), [](char c) {
             return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
           });
         });
}

/// LaunchTemplateData, without that word.
Api<std::map<std::string, std::string>> read_data(const Params& params) {
  std::map<std::string, std::string> data;
  for (const auto& [name, value] : params.all())
    if (name.starts_with(data_prefix)) data[name.substr(data_prefix.size())] = value;
  for (const auto& [name, value] : data)
    if (!is_parameter(name)) return refuse("UnknownParameter", fmt::format("The parameter {} is not recognized", name));
  if (data.empty()) return missing_parameter("LaunchTemplateData");
  if (const auto script = data.find("UserData"); script != data.end()) {
    API_TRY(read_user_data(script->second));
  }
  return data;
}

void write_template(Xml& xml, const State& state, const LaunchTemplate& it) {
  xml.text("launchTemplateId", it.id).text("launchTemplateName", it.name);
  xml.text("createTime", os::iso_time(it.created_ms, true));
  xml.text("createdBy", fmt::format("arn:aws:iam::{}:user/rehearsal", account_id));
  xml.number("defaultVersionNumber", it.usual).number("latestVersionNumber", it.versions.back().number);
  write_tags(xml, state, it.id);
}

/// Flat names as a tree.
struct Tree {
  std::string value;
  std::map<std::string, Tree> members;
};

Tree tree_of(const std::map<std::string, std::string>& data) {
  Tree root;
  for (const auto& [name, value] : data) {
    Tree* at = &root;
    for (const auto& part : split(name, '.')) at = &at->members[part];
    at->value = value;
  }
  return root;
}

/// What a list of requests is called in answers.
std::string list_name(const std::string& name, bool within_interface) {
  if (name == "SecurityGroupId") return within_interface ? "groupSet" : "securityGroupIdSet";
  std::string out = name + "Set";
  out[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(out[0])));
  return out;
}

void write_tree(Xml& xml, const Tree& tree, bool within_interface = false) {
  for (const auto& [name, member] : tree.members) {
    std::string as = name;
    as[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(as[0])));
    if (member.members.empty()) {
      xml.text(as, member.value);
      continue;
    }
    const bool is_list = std::all_of(member.members.begin(), member.members.end(),
                                     [](const auto& it) { return parse_int(it.first).has_value(); });
    if (!is_list) {
      xml.node(as, [&, it = &member] { write_tree(xml, *it); });
      continue;
    }
    xml.list(list_name(name, within_interface), member.members, [&, list = &name](const auto& item) {
      if (item.second.members.empty())
        xml.raw(xml_escaped(item.second.value));
      else
        write_tree(xml, item.second, *list == "NetworkInterface");
    });
  }
}

void write_version(Xml& xml, const LaunchTemplate& it, const TemplateVersion& version) {
  xml.text("launchTemplateId", it.id)
      .text("launchTemplateName", it.name)
      .number("versionNumber", version.number)
      .some("versionDescription", version.description);
  xml.text("createTime", os::iso_time(version.created_ms, true));
  xml.text("createdBy", fmt::format("arn:aws:iam::{}:user/rehearsal", account_id));
  xml.flag("defaultVersion", version.number == it.usual);
  xml.node("launchTemplateData", [&] { write_tree(xml, tree_of(version.data)); });
}

}  // namespace

const LaunchTemplate* find_template(const State& state, const std::string& id, const std::string& name) {
  for (const auto& [known, it] : state.launch_templates)
    if (id.empty() ? it.name == name : known == id) return &it;
  return nullptr;
}

Params params_of(const TemplateVersion& version, const std::string& subnet_id) {
  Params params;
  bool has_interface = false;
  for (const auto& [name, value] : version.data) {
    params.set(name, value);
    has_interface = has_interface || name.starts_with("NetworkInterface.1.");
  }
  params.set("MinCount", "1");
  params.set("MaxCount", "1");
  params.set(has_interface ? "NetworkInterface.1.SubnetId" : "SubnetId", subnet_id);
  return params;
}

Api<Xml> create_launch_template(Call& call) {
  API_SET(name, call.params.required("LaunchTemplateName"));
  if (!is_template_name(name))
    return refuse("InvalidLaunchTemplateName.MalformedException",
                  "A launch template name must be between 3 and 128 characters, and may contain letters, numbers, and "
                  "the following characters: - ( ) . / _.");
  API_SET(data, read_data(call.params));
  API_SET(tags, read_tag_specifications(call.params, {"launch-template"}));
  const auto token = call.params.get("ClientToken");
  Xml xml;
  if (const auto* known = find_template(call.state, "", name)) {
    if (token.empty() || known->client_token != token || known->versions.front().data != data)
      return refuse("InvalidLaunchTemplateName.AlreadyExistsException", "Launch template name already in use.");
    return xml.node("launchTemplate", [&] { write_template(xml, call.state, *known); });
  }
  LaunchTemplate made{
      .id = new_id("lt-"), .name = name, .client_token = token, .created_ms = call.now_ms, .versions = {}};
  made.versions.push_back({1, call.now_ms, call.params.get("VersionDescription"), data});
  set_tags(call.state, made.id, tags["launch-template"]);
  call.state.launch_templates[made.id] = made;
  return xml.node("launchTemplate", [&] { write_template(xml, call.state, made); });
}

Api<Xml> create_launch_template_version(Call& call) {
  API_SET(it, named_template(call));
  API_SET(data, read_data(call.params));
  if (const auto source = call.params.get("SourceVersion"); !source.empty()) {
    const auto* from = it->version(source);
    if (!from) return refuse("InvalidLaunchTemplateId.VersionNotFound", "Could not find launch template version");
    data.insert(from->data.begin(), from->data.end());
  }
  if (it->versions.size() >= most_versions)
    return refuse("VersionLimitExceeded", "The maximum number of launch template versions has been reached.");
  it->versions.push_back({++it->last_number, call.now_ms, call.params.get("VersionDescription"), data});
  Xml xml;
  return xml.node("launchTemplateVersion", [&] { write_version(xml, *it, it->versions.back()); });
}

Api<Xml> describe_launch_templates(Call& call) {
  API_SET(filters, Filters::read(call.params, {"create-time", "launch-template-name"}));
  const auto ids = call.params.list("LaunchTemplateId"), names = call.params.list("LaunchTemplateName");
  for (const auto& id : ids)
    if (!find_template(call.state, id, "")) return no_such_id(id);
  for (const auto& name : names)
    if (!find_template(call.state, "", name)) return no_such_name(name);
  const auto listed = [](const auto& list, const auto& word) {
    return std::find(list.begin(), list.end(), word) != list.end();
  };
  std::vector<std::string> found;
  for (const auto& [id, it] : call.state.launch_templates) {
    Facts facts;
    facts.add("launch-template-name", it.name)
        .add("create-time", os::iso_time(it.created_ms, true))
        .add_tags(tags_of(call.state, id));
    const bool asked = (ids.empty() && names.empty()) || listed(ids, id) || listed(names, it.name);
    if (asked && filters.match(facts)) found.push_back(id);
  }
  API_SET(page, page_of(call.params, std::move(found), 1, 200));
  Xml xml;
  xml.list("launchTemplates", page.keys,
           [&](const std::string& id) { write_template(xml, call.state, call.state.launch_templates.at(id)); });
  return xml.some("nextToken", page.next_token);
}

Api<Xml> describe_launch_template_versions(Call& call) {
  API_SET(it, named_template(call));
  std::vector<const TemplateVersion*> found;
  const auto wanted = call.params.list("LaunchTemplateVersion");
  for (const auto& text : wanted) {
    const auto* version = it->version(text);
    if (!version) return refuse("InvalidLaunchTemplateId.VersionNotFound", "Could not find launch template version");
    found.push_back(version);
  }
  if (wanted.empty())
    for (auto version = it->versions.rbegin(); version != it->versions.rend(); ++version) found.push_back(&*version);
  Xml xml;
  return xml.list("launchTemplateVersionSet", found,
                  [&](const TemplateVersion* version) { write_version(xml, *it, *version); });
}

Api<Xml> modify_launch_template(Call& call) {
  API_SET(it, named_template(call));
  const auto* version = it->version(call.params.get("SetDefaultVersion"));
  if (!version) return refuse("InvalidLaunchTemplateId.VersionNotFound", "Could not find launch template version");
  it->usual = version->number;
  Xml xml;
  return xml.node("launchTemplate", [&] { write_template(xml, call.state, *it); });
}

Api<Xml> delete_launch_template(Call& call) {
  API_SET(it, named_template(call));
  Xml xml;
  xml.node("launchTemplate", [&] { write_template(xml, call.state, *it); });
  const auto id = it->id;
  call.state.tags.erase(id);
  call.state.launch_templates.erase(id);
  return xml;
}

}  // namespace ferry::rehearsal
