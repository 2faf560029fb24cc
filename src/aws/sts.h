#pragma once
/// \file
/// Who the credentials belong to.

#include "aws/client.h"
#include "aws/ec2_xml.h"

namespace ferry::aws {

/// Needs no permission, so it tells good credentials from bad ones.
Result<CallerIdentity> get_caller_identity(Client& client);

}  // namespace ferry::aws
