#include "sandbox/listener.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>

#include "base/hash.h"
#include "os/socket.h"

namespace ferry::sandbox {

namespace {

std::uint32_t random_address() {
  std::uint32_t host = 0;
  std::memcpy(&host, random_bytes(sizeof host).data(), sizeof host);
  // 127.64.0.0/10, never ending in 0 or 255.
  return 0x7f400000U | (host & 0x003fff00U) | (host % 254 + 1);
}

/// A bound socket; an empty one with errno set where that address and port cannot be had.
os::Fd try_bind(std::uint32_t address, int port) {
  os::Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in where{};
  where.sin_family = AF_INET;
  where.sin_addr.s_addr = htonl(address);
  where.sin_port = htons(static_cast<std::uint16_t>(port));
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&where), sizeof where) < 0) return os::Fd();
  // Only now, so that what another instance holds but does not listen on yet counts as taken. Without it, no
  // second start() while connections of the first live.
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  return fd;
}

std::string text_of(std::uint32_t address) {
  const in_addr raw{htonl(address)};
  std::array<char, INET_ADDRSTRLEN> text{};
  return ::inet_ntop(AF_INET, &raw, text.data(), text.size());
}

}  // namespace

Result<Listener> Listener::bind(const std::string& wanted) {
  in_addr given{};
  if (!wanted.empty() && ::inet_pton(AF_INET, wanted.c_str(), &given) != 1)
    return fail(Kind::bad_input, "not an IPv4 address: " + wanted);
  const int tries = wanted.empty() ? 8 : 1;  // someone who listens on 0.0.0.0 holds a port on every address
  for (const int port : {22, 2222, 0}) {
    for (int i = 0; i < tries; ++i) {
      const std::uint32_t address = wanted.empty() ? random_address() : ntohl(given.s_addr);
      Listener made;
      made.fd_ = try_bind(address, port);
      if (made.fd_) {
        made.address_ = text_of(address);
        made.port_ = os::local_port(made.fd_.get());
        return made;
      }
      if (errno == EACCES) break;
    }
  }
  return fail_errno("take the loopback address " + (wanted.empty() ? "of an instance" : wanted));
}

ferry::Status Listener::start() {
  if (::listen(fd_.get(), 128) < 0) return fail_errno("listen on " + address_);
  return {};
}

ferry::Status Listener::pause() {
  // On Linux this ends listening and keeps the address.
  if (::shutdown(fd_.get(), SHUT_RDWR) < 0 && errno != ENOTCONN) return fail_errno("stop listening on " + address_);
  return {};
}

}  // namespace ferry::sandbox
