#pragma once
/// \file
/// From an AwsContext to AWS's own calls (aws/ec2_catalog.h, pricing.h, quotas.h, permissions.h): for what is
/// asked of AWS and of no other cloud.

#include "aws/client.h"
#include "cloud/cloud.h"

namespace ferry::cloud {

/// In the context's region, or in `region` when it is given. `http` and `clock` must outlive the client.
aws::Client aws_client(const AwsContext& context, os::HttpClient& http, os::Clock& clock,
                       const std::string& region = {});

/// Filters take * and ? as wildcards; this is meant literally.
std::string literal(std::string_view value);

}  // namespace ferry::cloud
