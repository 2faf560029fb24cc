#include "rehearsal/ssh_key.h"

#include <openssl/evp.h>

#include "base/hash.h"
#include "base/text.h"
#include "os/private_dir.h"
#include "os/process.h"

namespace ferry::rehearsal {
namespace {

/// Takes one length-prefixed field (RFC 4251 string) off the front of `blob`.
std::optional<std::string_view> take_field(std::string_view& blob) {
  if (blob.size() < 4) return std::nullopt;
  std::size_t size = 0;
  for (int i = 0; i < 4; ++i) size = size << 8 | static_cast<unsigned char>(blob[static_cast<std::size_t>(i)]);
  blob.remove_prefix(4);
  if (size > blob.size()) return std::nullopt;
  const auto field = blob.substr(0, size);
  blob.remove_prefix(size);
  return field;
}

std::size_t bits(std::string_view integer) {
  while (!integer.empty() && integer.front() == 0) integer.remove_prefix(1);
  std::size_t count = integer.size() * 8;
  for (auto top = integer.empty() ? 0x80U : static_cast<unsigned char>(integer.front()); top < 0x80; top <<= 1) --count;
  return count;
}

bool well_formed(std::string_view type, std::string_view blob) {
  const auto name = take_field(blob);
  if (!name || *name != type) return false;
  const auto first = take_field(blob);
  if (!first) return false;
  if (type == "ssh-ed25519") return first->size() == 32 && blob.empty();
  const auto modulus = take_field(blob);
  if (!modulus || !blob.empty() || first->empty()) return false;
  const auto size = bits(*modulus);
  return size == 1024 || size == 2048 || size == 3072 || size == 4096;
}

std::string der(unsigned char tag, std::string_view content) {
  std::string length;
  for (std::size_t left = content.size(); left > 0 || length.empty(); left >>= 8)
    length.insert(length.begin(), static_cast<char>(left));
  if (content.size() >= 0x80) length.insert(length.begin(), static_cast<char>(0x80 | length.size()));
  return std::string(1, static_cast<char>(tag)) + length + std::string(content);
}

/// SubjectPublicKeyInfo of an RSA key.
std::string rsa_der(std::string_view blob) {
  (void)take_field(blob);
  const auto exponent = take_field(blob).value_or(""), modulus = take_field(blob).value_or("");
  const std::string key = der(0x30, der(0x02, modulus) + der(0x02, exponent));
  static constexpr char rsa_oid[] = "\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
  return der(0x30, std::string(rsa_oid, sizeof rsa_oid - 1) + der(0x03, std::string(1, '\0') + key));
}

std::string md5_with_colons(std::string_view bytes) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  if (EVP_Digest(bytes.data(), bytes.size(), digest, &size, EVP_md5(), nullptr) != 1) return "";
  std::string out;
  for (unsigned int i = 0; i < size; ++i) out += fmt::format("{}{:02x}", i == 0 ? "" : ":", digest[i]);
  return out;
}

}  // namespace

Result<PublicKey> parse_public_key(std::string_view text) {
  const auto line = trim(text);
  const auto gap = line.find_first_of(" \t");
  if (gap == line.npos || line.find('\n') != line.npos) return fail(Kind::corrupt, "not one line of type and key");
  const auto type = line.substr(0, gap);
  const auto rest = trim(line.substr(gap));
  const auto encoded = rest.substr(0, rest.find_first_of(" \t"));
  if (type != "ssh-rsa" && type != "ssh-ed25519")
    return fail(Kind::corrupt, "only ssh-rsa and ssh-ed25519 keys are taken");
  TRY_SET(blob, "the key", from_base64(encoded));
  if (!well_formed(type, blob)) return fail(Kind::corrupt, "the key's inner structure is wrong");
  return PublicKey{std::string(type.substr(4)), std::string(type) + " " + std::string(encoded), blob};
}

std::string imported_fingerprint(const PublicKey& key) {
  return key.type == "rsa" ? md5_with_colons(rsa_der(key.blob)) : base64(sha256(key.blob));
}

Result<PrivateKey> make_private_key(std::string_view type, const std::string& comment) {
  TRY_SET(dir, "make a key", os::PrivateDir::make("ferry-key"));
  const auto file = dir.path() / "key";
  os::SpawnOptions keygen;
  keygen.argv = {"ssh-keygen", "-q", "-t", std::string(type), "-N", "", "-C", comment, "-f", file.string()};
  if (type == "rsa") keygen.argv.insert(keygen.argv.end(), {"-b", "2048", "-m", "PEM"});
  TRY_SET(done, "ssh-keygen", os::run_command(keygen));
  if (done.exit.code != 0) return fail(Kind::io, "ssh-keygen failed", std::string(trim(done.err)));
  TRY_SET(pem, "", os::read_file(file));
  TRY_SET(line, "", os::read_file(file.string() + ".pub"));
  TRY_SET(public_half, "", parse_public_key(line));
  return PrivateKey{pem, public_half};
}

}  // namespace ferry::rehearsal
