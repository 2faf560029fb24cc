#pragma once
/// \file
/// EC2's launch templates: what RunInstances would be asked for, kept under a name.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "aws/ec2.h"

namespace ferry::aws {

struct LaunchTemplateRecord {
  std::string id, name;
  int latest_version = 0;
  Tags tags;
};
/// One version of one.
struct LaunchTemplateVersion {
  std::string id;
  int version = 0;
};

/// The first version. `machine` without zone, subnet and ClientToken. Fails `exists` where there is one of that name.
Result<LaunchTemplateVersion> create_launch_template(Client& client, const std::string& name,
                                                     const RunInstances& machine, const Tags& tags);
/// One more, of a template that is there. Repeated, it may make two: harmless.
Result<LaunchTemplateVersion> create_launch_template_version(Client& client, const std::string& name,
                                                             const RunInstances& machine);
/// Nothing if there is none of that name.
Result<std::optional<LaunchTemplateRecord>> describe_launch_template(Client& client, const std::string& name);
/// All pages.
Result<std::vector<LaunchTemplateRecord>> describe_launch_templates(Client& client, const std::vector<Filter>& filters);
/// With all its versions. Fails `not_found` where there is none.
Status delete_launch_template(Client& client, const std::string& name);

/// What DescribeLaunchTemplates answers.
Result<Page<LaunchTemplateRecord>> parse_describe_launch_templates(std::string_view xml);

}  // namespace ferry::aws
