#pragma once
/// \file
/// One OpenSSH connection to one machine, kept open and shared by every command (ControlMaster). The system's
/// ssh client is used, so the user's own config, jump hosts and agents keep working; the config is read and
/// never edited. The host key is pinned before the first byte.

#include <map>
#include <optional>
#include <string>

#include "base/error.h"
#include "os/clock.h"
#include "os/private_dir.h"
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

class Session {
 public:
  /// One try, at most `limit`. Fails `lost` or `timeout` when nobody answers (a booting machine: ask again),
  /// `denied` when our key is refused or another host key answers than the pinned one, or when the target is
  /// none that ssh may be given; `bad_input` when ssh refuses its configuration (do not ask again).
  static Result<Session> open(const Target& target, Millis limit);
  /// For tests, without ssh: commands run on this computer by sh, in the folder `home`, which is their
  /// HOME, with `env` added to their environment. As with ssh, the connection is lost when its process is
  /// killed: master_pid().
  static Result<Session> local(const os::Path& home, const std::map<std::string, std::string>& env = {});
  Session(Session&&) noexcept = default;
  Session& operator=(Session&&) = delete;
  /// Closes the connection. If this process is killed instead, the connection ends too: it hangs on a pipe of
  /// ours.
  ~Session();

  /// Runs a shell command line to its end. The remote exit code is a value; a broken connection, or an ssh client that
  /// was killed, is `lost`.
  Result<os::Output> run(const std::string& command, std::string_view input = {}, Millis limit = Millis(60'000));
  /// Starts a shell command line with pipes on its standard input and output; its standard error is collected
  /// in a pipe, too.
  Result<os::Process> spawn(const std::string& command);
  /// Lets the port `local` of this computer's loopback lead to the machine's `remote`, as long as this connection
  /// lives. Fails conflict when the port is taken here (or may not be had), lost when the connection is gone.
  Status forward(int local, int remote);
  /// True while the connection's process lives.
  bool alive();
  pid_t master_pid() const { return master_.pid(); }

 private:
  Session(Target target, os::Argv trust, os::PrivateDir folder, os::Process master)
      : target_(std::move(target)), trust_(std::move(trust)), folder_(std::move(folder)), master_(std::move(master)) {}
  os::SpawnOptions channel(const std::string& command);

  os::SpawnOptions local_;  // what starts a command on this computer; no argv: ssh does
  Target target_;
  os::Argv trust_;         // options of every command
  os::PrivateDir folder_;  // holds the control socket
  os::Process master_;
};

/// Whether a command of Session::spawn() ended (nothing: it did not in time) without the other end's exit code: the
/// connection broke, which ssh calls 255, or the ssh client here was killed.
inline bool is_cut_off(const std::optional<os::Exit>& ended) {
  return !ended || ended->signal != 0 || ended->code == 255;
}

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
