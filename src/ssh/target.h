#pragma once
/// \file
/// Which machine ssh is to reach and how: what may stand on its command line, and what its complaints mean.

#include <string>

#include "base/error.h"
#include "base/units.h"
#include "os/process.h"

namespace ferry::ssh {

struct Target {
  std::string user, address;
  int port = 22;
  os::Path identity;     ///< private key file
  os::Path known_hosts;  ///< holds one line for `alias`; nothing else is trusted
  std::string alias;     ///< the name the host key is pinned under, whatever address the machine has today
  /// `address` is a host of the user's own ssh config, which decides how to get there, as whom, and which
  /// host keys to trust; everything above but the address is unused.
  bool own_config = false;
  /// Empty: directly. With a space or a %: a ProxyCommand; else a jump host, as ProxyJump takes it. The
  /// user's own ssh config and keys apply there.
  std::string proxy;
};

/// What a proxy command of ours writes to standard error when asking again will not help.
inline constexpr std::string_view proxy_refused = "ferry-proxy-refused";

/// Whether a host's name or address, a user's name or an alias may stand on ssh's command line and in what a
/// shell makes of it (%h of a proxy command): letters, digits and some dots and dashes, none of them first.
bool is_address(std::string_view text);  ///< [A-Za-z0-9.:-]: what a cloud calls an address
bool is_login(std::string_view text);    ///< [A-Za-z0-9._@-]
/// What a user may call a host in their ssh config: nothing that a shell takes for more than itself.
bool is_host(std::string_view text);

/// A file's path as the value of an option of ssh: in quotes where it needs them, and nothing in it is expanded. Fails
/// bad_input for the one thing that ssh gives no way to write.
Result<std::string> option_path(const os::Path& path);

/// The ssh command line for a user at a terminal (`ferry ssh`); `command` may be empty; one
/// word is a line for the remote shell, as with ssh itself, several are a program and its arguments.
/// Fails denied when the target is one that ssh could take for an option.
Result<os::Argv> interactive_argv(const Target& target, const os::Argv& command);

/// The same for a connection without a person at it: never a question, nothing of the person's own that would get in
/// the way (a command, a terminal, a shared connection). `command`: a line for the login shell there, whichever that
/// is.
Result<os::Argv> session_argv(const Target& target, Millis connect_limit, const std::string& command);

/// Who logs in where; of a host of the user's own configuration, what that makes of it.
std::string login_of(const Target& target);

/// Error::code when a host key answers that is not the pinned one.
inline constexpr const char* host_key_code = "another-host-key";
/// Error::code of what failed denied because the machine itself does not take our key.
inline constexpr const char* key_refused_code = "key-refused";

/// Error::code when we were let in, and the login shell there ended before it ran our command: asking again
/// changes nothing, unless the machine is still booting.
inline constexpr const char* login_shell_code = "login-shell";

/// What ssh's complaint on standard error means (it has no other words for it).
Error classify(const Target& target, std::string_view complaint);

}  // namespace ferry::ssh
