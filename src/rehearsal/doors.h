#pragma once
/// \file
/// Whom the security groups let in to port 22 of the machines.

#include "rehearsal/machines.h"
#include "rehearsal/model.h"
#include "rehearsal/service.h"

namespace ferry::rehearsal {

/// The address that this computer's own connections count as coming from, unless a fault says another.
inline constexpr const char* usual_caller = "127.0.0.1";

/// Pure. `caller` is this computer's address as the cloud sees it. To a machine without a public address it
/// comes by a way of the user's own (a VPN, a jump host), whose address nobody knows here: it passes where
/// the groups let anybody in.
sandbox::Door door_of(const State& state, const Instance& instance, const std::string& caller);

/// Sets the doors of all machines that are not gone, as the state is now; of one alone, where `id` is given.
void set_doors(const Guarded& state, Machines& machines, const std::string& caller, const std::string& id = {});

}  // namespace ferry::rehearsal
