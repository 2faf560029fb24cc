#pragma once
/// \file
/// EC2's launch templates: parameters of RunInstances under a name, in versions.

#include "rehearsal/actions.h"

namespace ferry::rehearsal {

Api<Xml> create_launch_template(Call& call);
Api<Xml> create_launch_template_version(Call& call);
Api<Xml> describe_launch_templates(Call& call);
Api<Xml> describe_launch_template_versions(Call& call);
Api<Xml> modify_launch_template(Call& call);
Api<Xml> delete_launch_template(Call& call);

/// By id, or by name where that is empty; nullptr if there is none.
const LaunchTemplate* find_template(const State& state, const std::string& id, const std::string& name);
/// The parameters of RunInstances that a version stands for: one instance, in `subnet`.
Params params_of(const TemplateVersion& version, const std::string& subnet_id);

}  // namespace ferry::rehearsal
