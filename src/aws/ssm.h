#pragma once
/// \file
/// SSM's public parameters, where AWS and Canonical publish the newest image of a kind.

#include <string>

#include "aws/client.h"

namespace ferry::aws {

/// The value of a parameter. not_found if there is none of that name in this region.
Result<std::string> get_parameter(Client& client, const std::string& name);

}  // namespace ferry::aws
