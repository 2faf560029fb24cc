#pragma once
/// \file
/// The cyclic checksums that S3 keeps of objects: CRC-32 (ISO-HDLC), CRC-32C (iSCSI, RFC 3720) and CRC-64/NVME (NVM
/// Express NVM Command Set 1.0, 5.2.1.3.4). Against accidents, not against attackers. Pure.

#include <cstdint>
#include <string_view>

namespace ferry {

enum class Sum { crc32, crc32c, crc64nvme };

/// How many bits its values have: 32 or 64.
int bits_of(Sum sum);

/// Goes on from `before` (0: of nothing) with more bytes. With the processor's carry-less multiplication where it has
/// one (x86's PCLMULQDQ), as in Gopal et al., "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ
/// Instruction", Intel 2009; otherwise by tables, eight bytes at a time.
std::uint64_t crc(Sum sum, std::string_view bytes, std::uint64_t before = 0);

/// The same, always by tables.
std::uint64_t crc_by_tables(Sum sum, std::string_view bytes, std::uint64_t before = 0);

/// Of two pieces one after the other, from the sum of each; the second has `second_bytes`.
std::uint64_t joined_crc(Sum sum, std::uint64_t first, std::uint64_t second, std::uint64_t second_bytes);

}  // namespace ferry
