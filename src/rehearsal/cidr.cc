#include "rehearsal/cidr.h"

#include "base/text.h"

namespace ferry::rehearsal {
namespace {

std::uint32_t mask(int length) { return length == 0 ? 0 : ~std::uint32_t{0} << (32 - length); }

/// Address and length as they are written.
std::optional<Cidr> read(std::string_view text) {
  const auto slash = text.find('/');
  if (slash == text.npos) return std::nullopt;
  const auto length = parse_int(text.substr(slash + 1));
  const auto parts = split(text.substr(0, slash), '.');
  if (!length || *length < 0 || *length > 32 || parts.size() != 4) return std::nullopt;
  Cidr out{0, static_cast<int>(*length)};
  for (const auto& part : parts) {
    const auto value = parse_int(part);
    if (!value || *value < 0 || *value > 255 || part.size() > 3) return std::nullopt;
    out.first = out.first << 8 | static_cast<std::uint32_t>(*value);
  }
  return out;
}

}  // namespace

bool Cidr::contains(const Cidr& other) const { return other.length >= length && (other.first & mask(length)) == first; }

std::string Cidr::text() const { return fmt::format("{}/{}", ipv4_text(first), length); }

std::optional<Cidr> parse_cidr4(std::string_view text) {
  auto cidr = read(text);
  if (cidr) cidr->first &= mask(cidr->length);
  return cidr;
}

bool is_cidr4(std::string_view text) {
  const auto cidr = read(text);
  return cidr && (cidr->first & ~mask(cidr->length)) == 0;
}

std::string ipv4_text(std::uint32_t address) {
  return fmt::format("{}.{}.{}.{}", address >> 24, address >> 16 & 255, address >> 8 & 255, address & 255);
}

}  // namespace ferry::rehearsal
