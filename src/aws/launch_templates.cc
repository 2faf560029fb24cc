#include "aws/launch_templates.h"

#include <algorithm>

#include "aws/machine_params.h"
#include "aws/xml.h"

namespace ferry::aws {
namespace {

Params named(const std::string& name) { return Params().add("LaunchTemplateName", name); }

/// `element`: what holds id and version in the answer to `action`.
Result<LaunchTemplateVersion> parse_version(std::string_view xml, const std::string& action, const char* element,
                                            const char* number) {
  XmlAnswer answer;
  TRY("", load_xml(answer, xml, action + "Response"));
  const auto item = answer.root.child(element);
  LaunchTemplateVersion made{xml_text(item, "launchTemplateId"), xml_number(item, number, 0)};
  if (made.id.empty() || made.version <= 0)
    return fail(Kind::corrupt, "AWS's answer to " + action + " names no template");
  return made;
}

Params with_machine(Params params, const RunInstances& machine) {
  const Params data = template_params(machine);
  for (const auto& [name, value] : data.all()) params.add(name, value);
  return params;
}

}  // namespace

Result<LaunchTemplateVersion> create_launch_template(Client& client, const std::string& name,
                                                     const RunInstances& machine, const Tags& tags) {
  auto params = with_machine(named(name), machine);
  params.tags("launch-template", tags);
  TRY_SET(xml, "", client.query("ec2", "CreateLaunchTemplate", params, Repeat::freely));
  return parse_version(xml, "CreateLaunchTemplate", "launchTemplate", "latestVersionNumber");
}

Result<LaunchTemplateVersion> create_launch_template_version(Client& client, const std::string& name,
                                                             const RunInstances& machine) {
  const auto params = with_machine(named(name), machine);
  TRY_SET(xml, "", client.query("ec2", "CreateLaunchTemplateVersion", params, Repeat::freely));
  return parse_version(xml, "CreateLaunchTemplateVersion", "launchTemplateVersion", "versionNumber");
}

Result<Page<LaunchTemplateRecord>> parse_describe_launch_templates(std::string_view xml) {
  XmlAnswer answer;
  TRY("", load_xml(answer, xml, "DescribeLaunchTemplatesResponse"));
  Page<LaunchTemplateRecord> page;
  for (const auto& item : answer.root.child("launchTemplates").children("item")) {
    LaunchTemplateRecord one;
    one.id = xml_text(item, "launchTemplateId");
    one.name = xml_text(item, "launchTemplateName");
    one.latest_version = std::max(0, xml_number(item, "latestVersionNumber", 0));
    one.tags = xml_tags(item);
    if (!one.id.empty()) page.items.push_back(std::move(one));
  }
  page.next_token = xml_text(answer.root, "nextToken");
  return page;
}

Result<std::vector<LaunchTemplateRecord>> describe_launch_templates(Client& client,
                                                                    const std::vector<Filter>& filters) {
  return every_page<LaunchTemplateRecord>(
      "DescribeLaunchTemplates", [&](const std::string& token) -> Result<Page<LaunchTemplateRecord>> {
        Params params;
        for (const auto& filter : filters) params.filter(filter.name, filter.values);
        params.add("MaxResults", 200).add_given("NextToken", token);
        TRY_SET(xml, "", client.query("ec2", "DescribeLaunchTemplates", params, Repeat::freely));
        return parse_describe_launch_templates(xml);
      });
}

Result<std::optional<LaunchTemplateRecord>> describe_launch_template(Client& client, const std::string& name) {
  TRY_SET(all, "", describe_launch_templates(client, {{"launch-template-name", {name}}}));
  for (auto& one : all)
    if (one.name == name) return std::move(one);
  return std::nullopt;
}

Status delete_launch_template(Client& client, const std::string& name) {
  TRY("", client.query("ec2", "DeleteLaunchTemplate", named(name), Repeat::freely));
  return {};
}

}  // namespace ferry::aws
