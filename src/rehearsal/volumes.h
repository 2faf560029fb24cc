#pragma once
/// \file
/// Volumes that live by themselves: what state they are in, by the times in the model.

#include <string_view>

#include "rehearsal/model.h"

namespace ferry::rehearsal {

/// How long a volume is creating, attaching, detaching: long enough to be seen, and waited for.
inline constexpr std::int64_t volume_change_ms = 250;

/// "creating", "available", "in-use".
std::string_view volume_state(const Volume& volume, std::int64_t now_ms);
/// "attaching", "attached", "detaching"; "": it is attached to none.
std::string_view attachment_state(const Volume& volume, std::int64_t now_ms);
/// As it is when it was detached, or its instance is gone.
void forget_attachment(Volume& volume);

}  // namespace ferry::rehearsal
