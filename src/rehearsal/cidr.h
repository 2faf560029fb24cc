#pragma once
/// \file
/// Blocks of IPv4 addresses.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ferry::rehearsal {

struct Cidr {
  std::uint32_t first = 0;  ///< its lowest address
  int length = 32;          ///< of the prefix
  std::int64_t size() const { return std::int64_t{1} << (32 - length); }
  bool contains(const Cidr& other) const;
  bool overlaps(const Cidr& other) const { return contains(other) || other.contains(*this); }
  /// "10.0.0.0/16"
  std::string text() const;
};
/// "a.b.c.d/n". Bits past n are cleared, as EC2 does. Nothing if it is no such block.
std::optional<Cidr> parse_cidr4(std::string_view text);
/// "a.b.c.d/n" with no bit set past n.
bool is_cidr4(std::string_view text);
/// "10.0.0.4"
std::string ipv4_text(std::uint32_t address);

}  // namespace ferry::rehearsal
