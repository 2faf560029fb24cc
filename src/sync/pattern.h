#pragma once
/// \file
/// Git's glob matching ("wildmatch"): `*`, `?`, `[a-z]`, `[!x]`, `[[:alpha:]]`, `\` escapes, and `**` between
/// slashes.

#include <string_view>

namespace ferry::sync {

enum class Slash { ordinary, separates };  ///< `separates`: `*`, `?` and `[…]` never match '/'; only `**` does

/// True if the whole of `text` matches. Bytes are compared as they are. A pattern so tangled that it would
/// take more than a million steps matches nothing.
bool matches(std::string_view pattern, std::string_view text, Slash slash);

}  // namespace ferry::sync
