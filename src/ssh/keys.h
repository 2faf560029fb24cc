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

/// The public half of a private key's file: "ssh-ed25519 AAAA… comment". Of a key with a passphrase it is
/// read from FILE.pub. Fails not_found without the file, denied when others may read it (ssh refuses such),
/// bad_input when it is no key.
Result<std::string> public_half(const os::Path& file);

/// Whether two public keys are the same one, whatever their comments.
bool same_key(std::string_view one, std::string_view other);

/// A fresh key. While it is made it is a file (0600, ".key-…") of `folder`, and of no other: whoever is killed
/// meanwhile leaves it there, among the run's own secrets.
Result<Key> make_key(const os::Path& folder, const std::string& comment);

/// The key whose private half is `file` (0600) and public half `file`.pub; made if absent.
Result<Key> ensure_key(const os::Path& file, const std::string& comment);

/// One line of a known_hosts file that pins `public_line` to `alias`.
std::string known_hosts_line(const std::string& alias, const std::string& public_line);

}  // namespace ferry::ssh
