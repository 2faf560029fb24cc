#pragma once
/// \file
/// The way of rehearsal machines to the internet (sandbox/way_out.h), as the user's own settings have it: proxies,
/// package indexes, what they named. A run notes it once; its machines carry a tag that leads there.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "os/file.h"
#include "sandbox/way_out.h"

namespace ferry::rehearsal {

/// A variable of the user's environment; nothing if unset or empty.
using Variables = std::function<std::optional<std::string>(const char* name)>;

/// What an open way leads to. `pip_files`: texts of the user's pip.conf files, the strongest last; variables are
/// stronger still. `reach`: HOST:PORT each, in addition to the hosts of the package indexes; bad_input for anything
/// else. Pure.
Result<sandbox::WayOut> way_out_of(const Variables& variables, const std::vector<std::string>& pip_files,
                                   const std::vector<std::string>& reach);
/// The same with this process's environment and the files that pip reads.
Result<sandbox::WayOut> persons_way_out(const std::vector<std::string>& reach);

/// Why nothing is reached through an open way, as far as can be known without asking anybody: this computer has no
/// default route, and neither proxy nor index is named. Empty: something may be. `routes`: /proc/net/route and
/// ipv6_route.
std::string why_nowhere(const sandbox::WayOut& way, std::string_view routes, std::string_view ipv6_routes);
std::string why_nowhere(const sandbox::WayOut& way);

/// The tag of an instance that says which way it has, by note_way_out()'s word. Without it: none.
inline constexpr const char* way_out_tag = "ferry:way-out";
/// Notes the way below `dir` (0600: it may hold passwords), and gives the word for it. A closed one: "closed".
Result<std::string> note_way_out(const os::Path& dir, const sandbox::WayOut& way);
/// What was noted under that word; a closed way where nothing was.
sandbox::WayOut noted_way_out(const os::Path& dir, const std::string& word);
/// Where the notes are: gone when the cloud is stopped.
os::Path ways_out(const os::Path& dir);
/// Where environments and caches are that outlive instances (sandbox/kept.h).
os::Path kept_folder(const os::Path& dir);

}  // namespace ferry::rehearsal
