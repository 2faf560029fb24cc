#pragma once
/// \file
/// ed25519 keys, made by the system's ssh-keygen.

#include <string>

#include "base/error.h"
#include "os/file.h"

namespace ferry::ssh {

/// Private half as OpenSSH writes it, public half as one line "ssh-ed25519 AAAA… comment".
struct Key {
  std::string private_text, public_line;
};

/// A fresh key that has never been a file outside a private temporary folder.
Result<Key> make_key(const std::string& comment);

/// The key whose private half is `file` (0600) and public half `file`.pub; made if absent.
Result<Key> ensure_key(const os::Path& file, const std::string& comment);

/// One line of a known_hosts file that pins `public_line` to `alias`.
std::string known_hosts_line(const std::string& alias, const std::string& public_line);

}  // namespace ferry::ssh
