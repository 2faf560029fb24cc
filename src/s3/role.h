#pragma once
/// \file
/// Who a rented machine is: the role of its instance profile, by its metadata service (IMDSv2), and nothing
/// else. What the training's own environment or files name is the training's.

#include <memory>

#include "aws/provider.h"
#include "os/http.h"

namespace ferry::s3 {

/// Asked five minutes before the credentials end. Fails denied while the machine has no role (yet); lost.
/// AWS_EC2_METADATA_SERVICE_ENDPOINT and AWS_EC2_METADATA_DISABLED are heeded. `http` is used from one thread
/// at a time and must outlive the provider, as the clock.
std::shared_ptr<aws::Provider> role_of_this_machine(os::HttpClient& http, os::Clock& clock);

/// The region that this machine is in, by its metadata service. Fails not_found where there is none.
Result<std::string> region_of_this_machine(os::HttpClient& http);

}  // namespace ferry::s3
