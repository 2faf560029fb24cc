#include "s3/crc.h"

#include <array>

#include "base/text.h"

namespace ferry::s3 {
namespace {

/// Reflected polynomials: the highest power is the lowest bit.
constexpr std::uint64_t polynomial_of(Sum sum) {
  return sum == Sum::crc32 ? 0xedb88320 : sum == Sum::crc32c ? 0x82f63b78 : 0x9a6c9329ac4bc9b5;
}
constexpr int bits_of(Sum sum) { return sum == Sum::crc64nvme ? 64 : 32; }
constexpr std::uint64_t ones_of(Sum sum) { return sum == Sum::crc64nvme ? ~std::uint64_t{0} : 0xffffffff; }

/// table[i][b]: what the byte b becomes when i more bytes follow it.
using Table = std::array<std::array<std::uint64_t, 256>, 8>;

Table table_of(Sum sum) {
  Table table{};
  for (std::uint64_t byte = 0; byte < 256; ++byte) {
    std::uint64_t value = byte;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? polynomial_of(sum) : 0);
    table[0][byte] = value;
  }
  for (std::size_t i = 1; i < table.size(); ++i) {
    for (std::size_t byte = 0; byte < 256; ++byte)
      table[i][byte] = (table[i - 1][byte] >> 8) ^ table[0][table[i - 1][byte] & 0xff];
  }
  return table;
}

const Table& shared_table(Sum sum) {
  static const std::array<Table, 3> all = {table_of(Sum::crc32), table_of(Sum::crc32c), table_of(Sum::crc64nvme)};
  return all[static_cast<std::size_t>(sum)];
}

/// Of two polynomials, modulo that of the sum.
std::uint64_t product(Sum sum, std::uint64_t a, std::uint64_t b) {
  std::uint64_t out = 0;
  for (int bit = bits_of(sum) - 1; bit >= 0; --bit) {
    if ((a >> bit & 1) != 0) out ^= b;
    b = (b >> 1) ^ ((b & 1) != 0 ? polynomial_of(sum) : 0);
  }
  return out;
}

}  // namespace

std::uint64_t crc(Sum sum, std::string_view bytes, std::uint64_t before) {
  const Table& table = shared_table(sum);
  std::uint64_t value = before ^ ones_of(sum);
  const auto* at = reinterpret_cast<const unsigned char*>(bytes.data());
  std::size_t left = bytes.size();
  for (; left >= 8; left -= 8, at += 8) {
    std::uint64_t word = 0;
    for (int i = 7; i >= 0; --i) word = word << 8 | at[i];
    word ^= value;
    value = 0;
    for (std::size_t i = 0; i < 8; ++i) value ^= table[7 - i][word >> (8 * i) & 0xff];
  }
  for (; left > 0; --left, ++at) value = value >> 8 ^ table[0][(value ^ *at) & 0xff];
  return value ^ ones_of(sum);
}

std::uint64_t joined_crc(Sum sum, std::uint64_t first, std::uint64_t second, std::uint64_t second_bytes) {
  // The first is moved on by as many powers of x as the second has bits.
  std::uint64_t power = std::uint64_t{1} << (bits_of(sum) - 1 - 8);  // x^8
  std::uint64_t moved = first;
  for (; second_bytes > 0; second_bytes >>= 1) {
    if ((second_bytes & 1) != 0) moved = product(sum, power, moved);
    power = product(sum, power, power);
  }
  return moved ^ second;
}

std::optional<SumSaid> sum_said(const os::HttpResponse& answer) {
  if (const auto type = answer.header("x-amz-checksum-type"); !type.empty() && type != "FULL_OBJECT")
    return std::nullopt;
  constexpr std::array<std::pair<const char*, Sum>, 3> headers = {{{"x-amz-checksum-crc64nvme", Sum::crc64nvme},
                                                                   {"x-amz-checksum-crc32c", Sum::crc32c},
                                                                   {"x-amz-checksum-crc32", Sum::crc32}}};
  for (const auto& [header, sum] : headers) {
    const auto raw = from_base64(answer.header(header));
    if (!raw || raw->size() * 8 != static_cast<std::size_t>(bits_of(sum))) continue;
    SumSaid said{sum, 0};
    for (const char byte : *raw) said.value = said.value << 8 | static_cast<unsigned char>(byte);
    return said;
  }
  return std::nullopt;
}

}  // namespace ferry::s3
