#pragma once
/// \file
/// OpenSSH public keys as EC2 takes them, and new private keys.

#include <string>
#include <string_view>

#include "base/error.h"

namespace ferry::rehearsal {

struct PublicKey {
  std::string type;  ///< rsa or ed25519
  std::string line;  ///< "ssh-ed25519 AAAA…", without comment
  std::string blob;  ///< the decoded second word
};

/// One line "ssh-rsa AAAA… comment" or "ssh-ed25519 …" whose inner structure is right; RSA of 1024, 2048 or
/// 4096 bits. Corrupt otherwise.
Result<PublicKey> parse_public_key(std::string_view text);

/// As EC2 shows it for an imported key: MD5 of the DER form for RSA ("1f:51:…"), base64 SHA-256 of the blob
/// for ED25519.
std::string imported_fingerprint(const PublicKey& key);

struct PrivateKey {
  std::string private_pem;
  PublicKey public_half;
};
/// Made by the system's ssh-keygen; nothing of it stays on disk.
Result<PrivateKey> make_private_key(std::string_view type, const std::string& comment);

}  // namespace ferry::rehearsal
