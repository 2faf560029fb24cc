#pragma once
/// \file
/// Which addresses a rehearsal machine may reach without being named: those of the internet. Pure but for
/// own_addresses().

#include <netinet/in.h>
#include <sys/socket.h>

#include <optional>
#include <string>
#include <vector>

namespace ferry::sandbox {

/// An IPv6 address, or an IPv4 one as it is mapped into them.
using Address = in6_addr;

/// Nothing if it is neither of IPv4 nor of IPv6.
std::optional<Address> address_of(const sockaddr& place);
std::string text_of(const Address& address);

/// What the address is, if it is none of the internet's: "this computer itself", "a link-local address", "in a private
/// network", "a multicast address", "no address of a host"; otherwise empty. IPv4 that is wrapped into IPv6 (mapped,
/// compatible, 6to4, NAT64) counts as what it is inside. `own`: of this computer's interfaces, whatever their kind.
std::string_view why_not_public(const Address& address, const std::vector<Address>& own);

/// Of this computer's interfaces, now.
std::vector<Address> own_addresses();

}  // namespace ferry::sandbox
