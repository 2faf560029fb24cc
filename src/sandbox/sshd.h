#pragma once
/// \file
/// OpenSSH's sshd inside the instance: one `sshd -i` per connection, key-only, for the login user alone.

#include "sandbox/machine.h"

namespace ferry::sandbox {

/// Full path of the computer's sshd, if it has one.
std::optional<os::Path> find_sshd();

struct HostKey {
  std::string private_key, public_key;  ///< as in OpenSSH's files; empty: generate one
};
/// Writes configuration and host key (a key that is on the disk already stays) and lets sshd check both.
/// Called inside.
ferry::Status prepare_sshd(const Machine& machine, const HostKey& given);

/// What EC2 consoles show of the host key, so that clients can pin it: fingerprint and the key itself.
Result<std::string> console_host_key(const Machine& machine);

/// "SHA256:…" of an OpenSSH public key line. Kind::corrupt if it is none.
Result<std::string> fingerprint(std::string_view public_key_line);

/// Lets sshd answer on `connection`. Its own messages go to /var/log/auth.log inside.
ferry::Status answer_login(const Machine& machine, const os::Fd& connection);

}  // namespace ferry::sandbox
