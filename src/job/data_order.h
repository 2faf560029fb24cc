#pragma once
/// \file
/// Orders about data sets that the machine's agent carries out (agent/data_order.h). Internal to this room.

#include <functional>
#include <string>

#include "agent/data_order.h"
#include "fleet/machine.h"
#include "job/connection.h"

namespace ferry::job {

/// Sets where S3 is as the machine reaches it, and whether its role is new. For at least one item.
Status complete_order(fleet::Context& context, const task::Task& task, const fleet::CloudLocation& location,
                      agent::DataOrder& order);

/// Has it carried out: `hear` gets each event but a failure, which is answered, with advice. `doing`: "copy the data".
/// Fails lost when the connection broke; cancelled.
Status carry_out(fleet::Context& context, Connection& connection, const agent::DataOrder& order,
                 const std::string& doing, const std::function<Status(const agent::DataEvent&)>& hear);

/// The address for people, without what may be a signature.
std::string shown_address(const std::string& url);

}  // namespace ferry::job
