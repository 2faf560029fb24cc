#pragma once
/// \file
/// What is packed as one zstd frame (RFC 8878): the agents that ferry carries, and scripts on their way.

#include <cstddef>
#include <string>
#include <string_view>

#include "base/error.h"

namespace ferry::sync {

/// True if the bytes begin as a zstd frame does. No program for Linux does.
bool is_packed(std::string_view bytes);

/// The bytes as one frame.
std::string pack(std::string_view bytes);

/// What the one frame holds. Kind::corrupt for anything else, for a frame that is cut short, and for more than `most`
/// bytes.
Result<std::string> unpack(std::string_view frame, std::size_t most);

}  // namespace ferry::sync
