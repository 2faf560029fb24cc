#pragma once
/// \file
/// What each end of a connection says first.

#include <string>
#include <string_view>

#include "base/error.h"

namespace ferry::mux {

/// {"mux": the newest version of the protocol that this end speaks, "oldest": the oldest, "ferry": its own version}
std::string our_hello();

/// The version that both speak from now on. Fails unsupported where the two ends have none in common, with what to do,
/// corrupt for what is no hello.
Result<int> check_hello(std::string_view body);

}  // namespace ferry::mux
