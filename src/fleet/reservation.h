#pragma once
/// \file
/// Capacity that the account has reserved: what a task becomes when it is to run there.

#include "fleet/machine.h"

namespace ferry::fleet {

/// With `aws.capacity_reservation_id`: the task, confined to the reservation's type and zone; a capacity
/// block is neither spot nor on-demand and is paid already. Fails as Cloud::reservation(); bad_input when
/// none of the task's candidates is of that type, no_capacity when it is all in use.
Result<std::optional<cloud::Reservation>> confine_to_reservation(Context& context, task::Task& task);

/// The lifetime, cut to what is left of a capacity block: EC2 ends its machines half an hour before it is
/// over, and five minutes before that the machine is off, however long setup and bringing the outputs home may take.
/// Fails bad_input when that leaves no time.
Result<TimeLimits> within_block(const cloud::Reservation& block, TimeLimits lifetime, std::int64_t now_ms);

}  // namespace ferry::fleet
