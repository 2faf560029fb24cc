#include "rehearsal/s3_checksum.h"

#include <openssl/evp.h>

#include <array>
#include <stdexcept>

#include "base/text.h"

namespace ferry::rehearsal {
namespace {

/// Reflected polynomials.
constexpr std::uint64_t crc32_polynomial = 0xedb88320, crc32c_polynomial = 0x82f63b78,
                        crc64nvme_polynomial = 0x9a6c9329ac4bc9b5;

constexpr std::uint64_t polynomial_of(Checksum kind) {
  return kind == Checksum::crc32    ? crc32_polynomial
         : kind == Checksum::crc32c ? crc32c_polynomial
                                    : crc64nvme_polynomial;
}
constexpr int width_of(Checksum kind) { return kind == Checksum::crc64nvme ? 64 : 32; }

/// Eight bytes at a time: table[i][b] is what byte b does when i more bytes follow it.
using CrcTables = std::array<std::array<std::uint64_t, 256>, 8>;

constexpr CrcTables crc_tables(std::uint64_t polynomial) {
  CrcTables tables{};
  for (std::uint64_t byte = 0; byte < 256; ++byte) {
    std::uint64_t value = byte;
    for (int bit = 0; bit < 8; ++bit) value = (value & 1) != 0 ? (value >> 1) ^ polynomial : value >> 1;
    tables[0][byte] = value;
  }
  for (std::size_t i = 1; i < tables.size(); ++i)
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const auto before = tables[i - 1][byte];
      tables[i][byte] = (before >> 8) ^ tables[0][before & 0xff];
    }
  return tables;
}

const CrcTables& tables_of(Checksum kind) {
  static const CrcTables crc32 = crc_tables(crc32_polynomial), crc32c = crc_tables(crc32c_polynomial),
                         crc64 = crc_tables(crc64nvme_polynomial);
  return kind == Checksum::crc32 ? crc32 : kind == Checksum::crc32c ? crc32c : crc64;
}

std::uint64_t crc_of_more(Checksum kind, std::uint64_t crc, std::string_view bytes) {
  const auto& tables = tables_of(kind);
  const auto* at = reinterpret_cast<const unsigned char*>(bytes.data());
  std::size_t left = bytes.size();
  for (; left >= 8; left -= 8, at += 8) {
    std::uint64_t word = 0;
    for (int i = 0; i < 8; ++i) word |= std::uint64_t{at[i]} << (8 * i);
    word ^= crc;  // a 32-bit value touches the first four bytes only
    crc = 0;
    for (std::size_t i = 0; i < 8; ++i) crc ^= tables[7 - i][(word >> (8 * i)) & 0xff];
  }
  for (; left > 0; --left, ++at) crc = (crc >> 8) ^ tables[0][(crc ^ *at) & 0xff];
  return crc;
}

std::uint64_t all_ones(Checksum kind) { return width_of(kind) == 64 ? ~std::uint64_t{0} : 0xffffffffu; }

std::string big_endian(std::uint64_t value, std::size_t size) {
  std::string out(size, '\0');
  for (std::size_t i = 0; i < size; ++i) out[size - 1 - i] = static_cast<char>(value >> (8 * i));
  return out;
}

std::uint64_t from_big_endian(std::string_view bytes) {
  std::uint64_t value = 0;
  for (const char c : bytes) value = value << 8 | static_cast<unsigned char>(c);
  return value;
}

/// Multiplies two polynomials modulo the CRC's, in its reflected notation (the highest bit is x^0).
std::uint64_t product(std::uint64_t a, std::uint64_t b, Checksum kind) {
  const std::uint64_t top = std::uint64_t{1} << (width_of(kind) - 1);
  std::uint64_t out = 0;
  for (std::uint64_t bit = top; bit != 0; bit >>= 1) {
    if ((a & bit) != 0) out ^= b;
    b = (b & 1) != 0 ? (b >> 1) ^ polynomial_of(kind) : b >> 1;
  }
  return out;
}

/// x^(8 * bytes) modulo the polynomial.
std::uint64_t power_of_bytes(std::uint64_t bytes, Checksum kind) {
  const std::uint64_t one = std::uint64_t{1} << (width_of(kind) - 1);
  std::uint64_t square = one >> 8, out = one;  // x^8, x^0
  for (; bytes != 0; bytes >>= 1) {
    if ((bytes & 1) != 0) out = product(out, square, kind);
    square = product(square, square, kind);
  }
  return out;
}

}  // namespace

std::string_view name(Checksum kind) {
  switch (kind) {
    case Checksum::crc32:
      return "CRC32";
    case Checksum::crc32c:
      return "CRC32C";
    case Checksum::crc64nvme:
      return "CRC64NVME";
    case Checksum::sha1:
      return "SHA1";
    case Checksum::sha256:
      return "SHA256";
    case Checksum::md5:
      break;
  }
  return "MD5";
}

std::string element_of(Checksum kind) { return "Checksum" + std::string(name(kind)); }
std::string header_of(Checksum kind) { return "x-amz-checksum-" + lower(name(kind)); }

std::optional<Checksum> checksum_named(std::string_view wanted) {
  for (const auto kind : checksum_kinds)
    if (lower(name(kind)) == lower(wanted)) return kind;
  return std::nullopt;
}

std::size_t bytes_of(Checksum kind) {
  switch (kind) {
    case Checksum::crc32:
    case Checksum::crc32c:
      return 4;
    case Checksum::crc64nvme:
      return 8;
    case Checksum::sha1:
      return 20;
    case Checksum::sha256:
      return 32;
    case Checksum::md5:
      break;
  }
  return 16;
}

bool combines(Checksum kind) {
  return kind == Checksum::crc32 || kind == Checksum::crc32c || kind == Checksum::crc64nvme;
}

struct Summing::Digest {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  Digest() = default;
  Digest(const Digest&) = delete;
  Digest& operator=(const Digest&) = delete;
  ~Digest() { EVP_MD_CTX_free(context); }
};

Summing::Summing(Checksum kind) : kind_(kind) {
  if (combines(kind)) {
    crc_ = all_ones(kind);
    return;
  }
  digest_ = std::make_unique<Digest>();
  const auto* type = kind == Checksum::sha1 ? EVP_sha1() : kind == Checksum::sha256 ? EVP_sha256() : EVP_md5();
  if (EVP_DigestInit_ex(digest_->context, type, nullptr) != 1) throw std::runtime_error("OpenSSL refuses a digest");
}
Summing::~Summing() = default;
Summing::Summing(Summing&&) noexcept = default;
Summing& Summing::operator=(Summing&&) noexcept = default;

void Summing::add(std::string_view bytes) {
  if (digest_)
    EVP_DigestUpdate(digest_->context, bytes.data(), bytes.size());
  else
    crc_ = crc_of_more(kind_, crc_, bytes);
}

std::string Summing::finish() {
  if (!digest_) return big_endian(crc_ ^ all_ones(kind_), bytes_of(kind_));
  std::string out(bytes_of(kind_), '\0');
  EVP_DigestFinal_ex(digest_->context, reinterpret_cast<unsigned char*>(out.data()), nullptr);
  return out;
}

std::string checksum(Checksum kind, std::string_view bytes) {
  Summing sum(kind);
  sum.add(bytes);
  return sum.finish();
}

std::string raw_of_hex(std::string_view text) {
  const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  std::string out;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2)
    out += static_cast<char>(digit(text[i]) * 16 + digit(text[i + 1]));
  return out;
}

std::string combined(Checksum kind, std::string_view first, std::string_view second, std::uint64_t second_size) {
  const auto moved = product(from_big_endian(first), power_of_bytes(second_size, kind), kind);
  return big_endian(moved ^ from_big_endian(second), bytes_of(kind));
}

}  // namespace ferry::rehearsal
