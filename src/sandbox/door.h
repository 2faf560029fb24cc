#pragma once
/// \file
/// Whose connections reach an instance's sshd: sandbox.h's Door, as the host process reads it. Pure.

#include <string>
#include <string_view>

#include "sandbox/sandbox.h"

namespace ferry::sandbox {

std::string text_of(const Door& door);
/// Corrupt if it is not what text_of wrote.
Result<Door> door_from(std::string_view text);
/// True if a connection from `peer` passes the door of the instance whose sshd is at `own`; both IPv4.
bool lets_in(const Door& door, const std::string& peer, const std::string& own);

}  // namespace ferry::sandbox
