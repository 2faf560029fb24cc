#pragma once
/// \file
/// Capacity reservations: machines that are kept for the account, and capacity blocks, which are reservations
/// paid ahead for a fixed time.

#include "rehearsal/api_error.h"
#include "rehearsal/model.h"
#include "rehearsal/xml.h"

namespace ferry::rehearsal {

/// A preference: rather no instance than one that runs in no open reservation.
inline constexpr std::string_view only_reserved = "capacity-reservations-only";
/// ReservationCapacityExceeded
[[nodiscard]] tl::unexpected<ApiError> reservation_full();
/// "scheduled" (not begun), "active", "expired" or "cancelled".
std::string_view state_of(const CapacityReservation& reservation, std::int64_t now_ms);
/// How many more instances may run in it.
std::int64_t available(const State& state, const CapacityReservation& reservation);
/// An active one with room for `count` that takes any instance of this type, zone and tenancy; null if there
/// is none.
const CapacityReservation* open_reservation(const State& state, const Instance& instance, std::string_view zone,
                                            std::int64_t count, std::int64_t now_ms);
/// <capacityReservation>
void write_capacity_reservation(Xml& xml, const State& state, const CapacityReservation& reservation,
                                std::int64_t now_ms);
/// Whether capacity blocks of a type are sold.
bool sold_in_blocks(std::string_view type_name);

}  // namespace ferry::rehearsal
