#pragma once
/// \file
/// SHA-256 (FIPS 180-4, by OpenSSL's libcrypto), MD5 and randomness from the kernel.

#include <memory>
#include <string>
#include <string_view>

namespace ferry {

/// Hashes bytes as they come. Not copyable; use from one thread.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  void add(std::string_view bytes);
  /// As finish() would say now; more may be added.
  std::string so_far() const;
  /// The 32 raw bytes. Call once, last.
  std::string finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// 32 raw bytes; show them with hex().
std::string sha256(std::string_view bytes);

/// 16 raw bytes. For what others say in MD5 only: it proves nothing against an attacker.
std::string md5(std::string_view bytes);

/// HMAC-SHA-256 (RFC 2104), 32 raw bytes.
std::string hmac_sha256(std::string_view key, std::string_view bytes);

/// `count` unpredictable bytes from getrandom(2).
std::string random_bytes(std::size_t count);

/// `count` characters of a-z and 0-9 without those easily confused (i, l, o, 0, 1).
std::string random_name(std::size_t count);

}  // namespace ferry
