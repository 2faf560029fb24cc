#pragma once
/// \file
/// Cloud::make_stand_in() and kin over EC2's launch templates and Auto Scaling: calls of an EC2 cloud, in a file of
/// their own.

#include "aws/client.h"
#include "aws/ec2.h"
#include "cloud/cloud.h"

namespace ferry::cloud {

/// `machine`: what launch() would ask for.
Status make_stand_in(aws::Client& client, const StandInOrder& order, const aws::RunInstances& machine);
Result<std::optional<StandIn>> stand_in(aws::Client& client, const std::string& name);
Status delete_stand_in(aws::Client& client, const std::string& name);
/// As Cloud::find_made(), of groups and templates; nothing where the policy does not allow to look.
Result<std::vector<Made>> find_made_stand_ins(aws::Client& client, const aws::Filter& tagged);

}  // namespace ferry::cloud
