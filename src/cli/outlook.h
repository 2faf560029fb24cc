#pragma once
/// \file
/// How the outlook of spot machines is shown: ferry plan --spot.

#include "account/spot_outlook.h"
#include "base/json.h"

namespace ferry::cli {

/// On standard output; what could not be had on standard error.
void print_outlook(const account::SpotOutlook& outlook);
Json outlook_json(const account::SpotOutlook& outlook);

}  // namespace ferry::cli
