#pragma once
/// \file
/// What a machine is to be, in EC2's parameters: said once, so that the one that RunInstances makes and those that a
/// launch template makes cannot differ. For the calls of this room only.

#include "aws/ec2.h"

namespace ferry::aws {

Params machine_params(const RunInstances& request);
/// All of RunInstances.
Params run_instances_params(const RunInstances& request);
/// LaunchTemplateData: without zone and subnet, which whoever launches from it chooses, and without ClientToken.
Params template_params(const RunInstances& request);

}  // namespace ferry::aws
