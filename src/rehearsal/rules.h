#pragma once
/// \file
/// Security group rules in requests: IpPermissions.N, or the older flat parameters.

#include <vector>

#include "rehearsal/model.h"
#include "rehearsal/query.h"
#include "rehearsal/xml.h"

namespace ferry::rehearsal {

/// One rule (without id) for each peer named. InvalidParameterValue, MissingParameter, InvalidGroup.NotFound
/// as EC2 says them.
Api<std::vector<Rule>> read_rules(const Params& params, const State& state, Direction direction);
/// <ipPermissions> or <ipPermissionsEgress>: the rules of one direction, gathered by protocol and ports.
void write_permissions(Xml& xml, std::string_view name, const std::vector<Rule>& rules, Direction direction);
/// The inside of one <item> of securityGroupRuleSet.
void write_rule(Xml& xml, const State& state, const Group& group, const Rule& rule);

}  // namespace ferry::rehearsal
