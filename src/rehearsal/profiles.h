#pragma once
/// \file
/// The instance profile of a machine: which one a request names, and whether EC2 knows it yet.

#include "rehearsal/actions.h"

namespace ferry::rehearsal {

/// What IamInstanceProfile.Name or .Arn names, set in `instance`; nothing where neither is there. InvalidParameterValue
/// for a profile that IAM does not have, or has for less time than the fault late-profile says, or that has no role.
///
/// `tags`: of the new instance. With ferry's own tag for rehearsals (way_out.h) a profile that is not known is made,
/// with a role that may do nothing: whoever rehearses a task names the profile of their real account, whichever that
/// is. Profiles that ferry itself makes ("ferry-…") are never made so.
Api<std::monostate> read_profile(Call& call, const Tags& tags, Instance& instance);

}  // namespace ferry::rehearsal
