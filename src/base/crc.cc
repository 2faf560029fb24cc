#include "base/crc.h"

#include <array>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace ferry {
namespace {

/// Reflected polynomials: the highest power is the lowest bit.
constexpr std::uint64_t polynomial_of(Sum sum) {
  return sum == Sum::crc32 ? 0xedb88320 : sum == Sum::crc32c ? 0x82f63b78 : 0x9a6c9329ac4bc9b5;
}
constexpr int width_of(Sum sum) { return sum == Sum::crc64nvme ? 64 : 32; }
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
  for (int bit = width_of(sum) - 1; bit >= 0; --bit) {
    if ((a >> bit & 1) != 0) out ^= b;
    b = (b >> 1) ^ ((b & 1) != 0 ? polynomial_of(sum) : 0);
  }
  return out;
}

/// `value`: the register, as it is between bytes.
std::uint64_t register_after(Sum sum, std::string_view bytes, std::uint64_t value) {
  const Table& table = shared_table(sum);
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
  return value;
}

#if defined(__x86_64__)

/// x to the power of n, as a polynomial of 64 bits whose highest power is the lowest bit.
std::uint64_t power_of_x(Sum sum, int n) {
  std::uint64_t value = std::uint64_t{1} << (width_of(sum) - 1);
  for (int i = 0; i < n; ++i) value = (value >> 1) ^ ((value & 1) != 0 ? polynomial_of(sum) : 0);
  return value << (64 - width_of(sum));
}

/// Two powers that move sixteen bytes on by so many bits: of the first eight, which stand 64 bits higher, and of the
/// others. The product of two such words is one power of x too high, hence one less.
struct Shift {
  std::uint64_t first, second;
  Shift(Sum sum, int bits) : first(power_of_x(sum, bits + 63)), second(power_of_x(sum, bits - 1)) {}
};
struct Shifts {
  Shift by_128, by_512;
  explicit Shifts(Sum sum) : by_128(sum, 128), by_512(sum, 512) {}
};

const Shifts& shared_shifts(Sum sum) {
  static const std::array<Shifts, 3> all = {Shifts(Sum::crc32), Shifts(Sum::crc32c), Shifts(Sum::crc64nvme)};
  return all[static_cast<std::size_t>(sum)];
}

constexpr std::size_t least_folded = 128;

__attribute__((target("pclmul,sse4.1"))) __m128i moved_on(__m128i lane, __m128i shift, __m128i next) {
  const __m128i first = _mm_clmulepi64_si128(lane, shift, 0x00), second = _mm_clmulepi64_si128(lane, shift, 0x11);
  return _mm_xor_si128(_mm_xor_si128(first, second), next);
}

/// Folds four times sixteen bytes at a time into sixteen that leave the same remainder; these and the rest go by
/// tables.
__attribute__((target("pclmul,sse4.1"))) std::uint64_t folded_register(Sum sum, std::string_view bytes,
                                                                       std::uint64_t value) {
  const Shifts& shifts = shared_shifts(sum);
  const auto wide = [](const Shift& shift) __attribute__((target("pclmul,sse4.1"))) {
    return _mm_set_epi64x(static_cast<long long>(shift.second), static_cast<long long>(shift.first));
  };
  const __m128i by_512 = wide(shifts.by_512), by_128 = wide(shifts.by_128);
  const auto* at = reinterpret_cast<const __m128i*>(bytes.data());
  std::size_t left = bytes.size() / sizeof(__m128i);
  __m128i lanes[4];
  for (auto& lane : lanes) lane = _mm_loadu_si128(at++);
  lanes[0] = _mm_xor_si128(lanes[0], _mm_set_epi64x(0, static_cast<long long>(value)));
  for (left -= 4; left >= 4; left -= 4) {
    for (auto& lane : lanes) lane = moved_on(lane, by_512, _mm_loadu_si128(at++));
  }
  __m128i all = lanes[0];
  for (int i = 1; i < 4; ++i) all = moved_on(all, by_128, lanes[i]);
  for (; left > 0; --left) all = moved_on(all, by_128, _mm_loadu_si128(at++));
  std::array<char, sizeof(__m128i)> rest;
  _mm_storeu_si128(reinterpret_cast<__m128i*>(rest.data()), all);
  const std::uint64_t folded = register_after(sum, {rest.data(), rest.size()}, 0);
  return register_after(sum, bytes.substr(bytes.size() / sizeof(__m128i) * sizeof(__m128i)), folded);
}

bool can_fold() {
  static const bool can = __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
  return can;
}

#endif

}  // namespace

int bits_of(Sum sum) { return width_of(sum); }

std::uint64_t crc_by_tables(Sum sum, std::string_view bytes, std::uint64_t before) {
  return register_after(sum, bytes, before ^ ones_of(sum)) ^ ones_of(sum);
}

std::uint64_t crc(Sum sum, std::string_view bytes, std::uint64_t before) {
#if defined(__x86_64__)
  if (bytes.size() >= least_folded && can_fold())
    return folded_register(sum, bytes, before ^ ones_of(sum)) ^ ones_of(sum);
#endif
  return crc_by_tables(sum, bytes, before);
}

std::uint64_t joined_crc(Sum sum, std::uint64_t first, std::uint64_t second, std::uint64_t second_bytes) {
  // The first is moved on by as many powers of x as the second has bits.
  std::uint64_t power = std::uint64_t{1} << (width_of(sum) - 1 - 8);  // x^8
  std::uint64_t moved = first;
  for (; second_bytes > 0; second_bytes >>= 1) {
    if ((second_bytes & 1) != 0) moved = product(sum, power, moved);
    power = product(sum, power, power);
  }
  return moved ^ second;
}

}  // namespace ferry
