#pragma once
/// \file
/// What makes a machine dearer than its price. Inside this room only.

#include "plan/plan.h"

namespace ferry::plan {

/// The most that an hour of CPU credits can cost a machine of this type; zero for all that are not burstable.
Usd credits(const InstanceType& type);

}  // namespace ferry::plan
