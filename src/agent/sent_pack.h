#pragma once
/// \file
/// What was sent to a machine, as one file (store::sent_key()): for machines that begin a later attempt.
///
///     ferry sent 1 BYTES\n            how long the list is
///     LIST                            JSON: each entry's path, type, mode, mtime_ns, target or size and sha256
///     CONTENTS                        each content once, in the order in which the list names it first

#include <functional>
#include <string>

#include "base/json.h"
#include "os/file.h"
#include "sync/sync.h"

namespace ferry::agent {

/// A content has at most so many bytes; all together four times that.
inline constexpr std::uint64_t most_packed = std::uint64_t{1} << 30;

/// The list's text. `source`: noted with an entry where it is not empty.
std::string sent_list(const sync::Tree& tree, const std::function<std::string(const sync::Entry&)>& source);
/// Corrupt for what ferry never wrote, and for paths that are not clean.
Result<sync::Entry> sent_entry_from(const Json& json);
/// A member of such an entry whose bytes may be no UTF-8.
std::string bytes_of_sent(const Json& entry, const char* key);

/// Writes `pack`. `file_of`: where an entry's content is now. Fails conflict for one that has become shorter.
Status pack_sent(const sync::Tree& tree, const std::function<os::Path(const sync::Entry&)>& file_of,
                 const os::Path& pack);
/// The contents go to `folder`, each called by its SHA-256, and are what the tree's entries are grafted from. Fails
/// corrupt where a content has another SHA-256 than the list says.
Result<sync::Tree> unpack_sent(const os::Path& pack, const os::Path& folder);

}  // namespace ferry::agent
