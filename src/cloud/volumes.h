#pragma once
/// \file
/// Cloud::volumes() over EC2: a call of an EC2 cloud, in a file of its own.

#include "aws/client.h"
#include "cloud/cloud.h"

namespace ferry::cloud {

Result<std::vector<Volume>> find_volumes(aws::Client& client, const std::string& named);

}  // namespace ferry::cloud
