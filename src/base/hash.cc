#include "base/hash.h"

#define OPENSSL_SUPPRESS_DEPRECATED  // the SHA256_* calls keep the static agent 4 MB smaller than EVP
#include <openssl/md5.h>
#include <openssl/sha.h>
#include <sys/random.h>

#include <stdexcept>

namespace ferry {

struct Sha256::State {
  SHA256_CTX context;
};

Sha256::Sha256() : state_(std::make_unique<State>()) { SHA256_Init(&state_->context); }
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::add(std::string_view bytes) { SHA256_Update(&state_->context, bytes.data(), bytes.size()); }

std::string Sha256::so_far() const {
  Sha256 copy;
  copy.state_->context = state_->context;
  return copy.finish();
}

std::string Sha256::finish() {
  std::string out(SHA256_DIGEST_LENGTH, '\0');
  SHA256_Final(reinterpret_cast<unsigned char*>(out.data()), &state_->context);
  return out;
}

std::string sha256(std::string_view bytes) {
  Sha256 hash;
  hash.add(bytes);
  return hash.finish();
}

std::string md5(std::string_view bytes) {
  std::string out(MD5_DIGEST_LENGTH, '\0');
  MD5(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), reinterpret_cast<unsigned char*>(out.data()));
  return out;
}

std::string hmac_sha256(std::string_view key, std::string_view bytes) {
  constexpr std::size_t block = 64;
  std::string padded = key.size() > block ? sha256(key) : std::string(key);
  padded.resize(block, '\0');
  std::string inner = padded, outer = padded;
  for (char& c : inner) c = static_cast<char>(c ^ 0x36);
  for (char& c : outer) c = static_cast<char>(c ^ 0x5c);
  Sha256 first, second;
  first.add(inner);
  first.add(bytes);
  second.add(outer);
  second.add(first.finish());
  return second.finish();
}

std::string random_bytes(std::size_t count) {
  std::string out(count, '\0');
  std::size_t have = 0;
  while (have < count) {
    const auto got = ::getrandom(out.data() + have, count - have, 0);
    if (got < 0) throw std::runtime_error("getrandom failed");
    have += static_cast<std::size_t>(got);
  }
  return out;
}

std::string random_name(std::size_t count) {
  constexpr std::string_view letters = "abcdefghjkmnpqrstuvwxyz23456789";
  std::string out;
  while (out.size() < count) {
    for (const char c : random_bytes(count)) {
      const auto byte = static_cast<unsigned char>(c);
      // Bytes past the last whole multiple are skipped, so that every letter is equally likely.
      if (byte < 256 / letters.size() * letters.size() && out.size() < count) out += letters[byte % letters.size()];
    }
  }
  return out;
}

}  // namespace ferry
