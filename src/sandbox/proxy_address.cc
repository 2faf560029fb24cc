#include "sandbox/proxy_address.h"

#include <arpa/inet.h>
#include <ifaddrs.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace ferry::sandbox {

namespace {

constexpr std::string_view itself = "this computer itself", link_local = "a link-local address",
                           private_network = "in a private network", multicast = "a multicast address",
                           no_host = "no address of a host";

struct Range {
  std::uint32_t first;
  int bits;
  std::string_view what;
};
/// IANA's special-purpose registry, as far as it is not reached through the internet.
constexpr Range special[] = {
    {0x00000000, 8, no_host},          {0x0a000000, 8, private_network},  {0x64400000, 10, private_network},
    {0x7f000000, 8, itself},           {0xa9fe0000, 16, link_local},      {0xac100000, 12, private_network},
    {0xc0000000, 24, private_network}, {0xc0a80000, 16, private_network}, {0xc6120000, 15, private_network},
    {0xe0000000, 4, multicast},        {0xf0000000, 4, no_host},
};

std::string_view judge_ipv4(std::uint32_t address) {
  for (const auto& range : special) {
    if ((address ^ range.first) >> (32 - range.bits) == 0) return range.what;
  }
  return {};
}

std::uint32_t ipv4_at(const Address& address, std::size_t from) {
  std::uint32_t raw = 0;
  std::memcpy(&raw, address.s6_addr + from, sizeof raw);
  return ntohl(raw);
}

bool begins_with(const Address& address, std::initializer_list<int> bytes) {
  return std::equal(bytes.begin(), bytes.end(), address.s6_addr);
}

bool is_mapped(const Address& address) { return begins_with(address, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}); }

bool is_same(const Address& a, const Address& b) { return std::memcmp(&a, &b, sizeof a) == 0; }

}  // namespace

std::optional<Address> address_of(const sockaddr& place) {
  Address out{};
  if (place.sa_family == AF_INET6) {
    std::memcpy(&out, &reinterpret_cast<const sockaddr_in6&>(place).sin6_addr, sizeof out);
    return out;
  }
  if (place.sa_family != AF_INET) return std::nullopt;
  out.s6_addr[10] = out.s6_addr[11] = 0xff;
  std::memcpy(out.s6_addr + 12, &reinterpret_cast<const sockaddr_in&>(place).sin_addr, 4);
  return out;
}

std::string text_of(const Address& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (is_mapped(address)) return ::inet_ntop(AF_INET, address.s6_addr + 12, text.data(), text.size());
  return ::inet_ntop(AF_INET6, &address, text.data(), text.size());
}

std::string_view why_not_public(const Address& address, const std::vector<Address>& own) {
  if (std::ranges::any_of(own, [&](const Address& one) { return is_same(one, address); })) return itself;
  if (is_mapped(address)) return judge_ipv4(ipv4_at(address, 12));
  if (begins_with(address, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})) {
    const auto inner = ipv4_at(address, 12);
    if (inner == 1) return itself;
    const auto what = judge_ipv4(inner);
    return what.empty() ? no_host : what;  // "IPv4-compatible": nothing is routed there any more
  }
  const auto first = address.s6_addr[0], second = address.s6_addr[1];
  if (first == 0xff) return multicast;
  if (first == 0xfe && (second & 0xc0) == 0x80) return link_local;
  if ((first & 0xfe) == 0xfc || (first == 0xfe && (second & 0xc0) == 0xc0)) return private_network;
  if (begins_with(address, {0, 0x64, 0xff, 0x9b})) {  // NAT64; of a network's own choice where it is 64:ff9b:1::
    const bool is_well_known = begins_with(address, {0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0});
    return is_well_known ? judge_ipv4(ipv4_at(address, 12)) : private_network;
  }
  if (begins_with(address, {0x20, 0x02})) return judge_ipv4(ipv4_at(address, 2));  // 6to4
  if (begins_with(address, {0x20, 0x01, 0, 0})) return no_host;                    // Teredo: an IPv4 host in disguise
  // All that is routed through the internet is of 2000::/3 (and of NAT64, above).
  return (first & 0xe0) == 0x20 ? std::string_view() : no_host;
}

std::vector<Address> own_addresses() {
  std::vector<Address> out;
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) < 0) return out;
  for (const auto* one = list; one; one = one->ifa_next) {
    if (!one->ifa_addr) continue;
    if (const auto address = address_of(*one->ifa_addr)) out.push_back(*address);
  }
  ::freeifaddrs(list);
  return out;
}

}  // namespace ferry::sandbox
