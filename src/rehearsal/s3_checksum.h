#pragma once
/// \file
/// S3's checksums: CRC-32 (IEEE), CRC-32C (Castagnoli), CRC-64/NVME, SHA-1, SHA-256, and MD5 for ETags.
/// Values are raw bytes, most significant first; headers and XML have them in base64.

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace ferry::rehearsal {

enum class Checksum { crc32, crc32c, crc64nvme, sha1, sha256, md5 };

/// Those that a client may name in x-amz-checksum-….
inline constexpr std::array checksum_kinds = {Checksum::crc32, Checksum::crc32c, Checksum::crc64nvme, Checksum::sha1,
                                              Checksum::sha256};
/// "CRC64NVME", as x-amz-checksum-algorithm has it.
std::string_view name(Checksum kind);
/// "ChecksumCRC64NVME", the element of the XML.
std::string element_of(Checksum kind);
/// "x-amz-checksum-crc64nvme"
std::string header_of(Checksum kind);
/// From its name in any case.
std::optional<Checksum> checksum_named(std::string_view name);
std::size_t bytes_of(Checksum kind);
/// One that is known of a whole from those of its parts.
bool combines(Checksum kind);

/// One checksum of bytes as they come. Not copyable; use from one thread.
class Summing {
 public:
  explicit Summing(Checksum kind);
  ~Summing();
  Summing(Summing&&) noexcept;
  Summing& operator=(Summing&&) noexcept;
  Checksum kind() const { return kind_; }
  void add(std::string_view bytes);
  /// The raw value. Call once, last.
  std::string finish();

 private:
  struct Digest;
  Checksum kind_;
  std::uint64_t crc_ = 0;
  std::unique_ptr<Digest> digest_;
};

std::string checksum(Checksum kind, std::string_view bytes);

/// The bytes that hexadecimal digits in lower case stand for.
std::string raw_of_hex(std::string_view text);

/// The checksum of A followed by B, where B has `second_size` bytes: no byte of them is read again. Only of
/// those that combines() names.
std::string combined(Checksum kind, std::string_view first, std::string_view second, std::uint64_t second_size);

}  // namespace ferry::rehearsal
