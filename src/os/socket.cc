#include "os/socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/hash.h"
#include "os/file.h"

namespace ferry::os {

namespace {

struct UnixAddress {
  sockaddr_un address{};
  Fd folder;  // held open while the address is used
};

/// unix(7): a socket's path has at most 107 bytes. A longer one is reached through its folder, held open.
Result<UnixAddress> unix_address(const Path& path) {
  UnixAddress made;
  made.address.sun_family = AF_UNIX;
  std::string text = path.native();
  if (text.size() >= sizeof made.address.sun_path) {
    TRY_SET(folder, "", open_file(path.parent_path(), O_PATH | O_DIRECTORY));
    made.folder = std::move(folder);
    text = fmt::format("/proc/self/fd/{}/{}", made.folder.get(), path.filename().native());
  }
  if (text.size() >= sizeof made.address.sun_path)
    return fail(Kind::bad_input, "name too long for a socket: " + path.string());
  text.copy(made.address.sun_path, sizeof made.address.sun_path - 1);
  return made;
}

Result<sockaddr_in> tcp_address(const std::string& text, int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  if (::inet_pton(AF_INET, text.c_str(), &address.sin_addr) != 1) {
    return fail(Kind::bad_input, "not an IPv4 address: " + text);
  }
  return address;
}

template <class Address>
sockaddr* generic(Address& address) {
  return reinterpret_cast<sockaddr*>(&address);
}

}  // namespace

Result<Fd> listen_unix(const Path& path) {
  // Bound under another name and renamed once its mode is right, so that no one can connect in between.
  const Path temp = path.parent_path() / ("." + random_name(4));
  TRY_SET(at, "", unix_address(temp));
  if (auto reachable = unix_address(path); !reachable) return tl::unexpected<Error>(std::move(reachable).error());
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno("socket");
  ::unlink(temp.c_str());
  if (::bind(fd.get(), generic(at.address), sizeof at.address) < 0) return fail_errno("bind " + path.string());
  if (::chmod(temp.c_str(), 0600) < 0 || ::listen(fd.get(), 64) < 0 || ::rename(temp.c_str(), path.c_str()) < 0) {
    auto failed = fail_errno("listen on " + path.string());
    ::unlink(temp.c_str());
    return failed;
  }
  return fd;
}

Result<Fd> connect_unix(const Path& path, Millis limit) {
  TRY_SET(at, "", unix_address(path));
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno("socket");
  if (limit.count() >= 0) {
    // A listener whose queue is full would be waited for (unix(7) has no SYN that times out).
    const auto most = std::max<std::int64_t>(1, limit.count());
    const timeval patience{most / 1000, (most % 1000) * 1000};
    (void)::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  }
  if (::connect(fd.get(), generic(at.address), sizeof at.address) < 0) {
    if (errno == EAGAIN || errno == EINPROGRESS) return fail(Kind::timeout, "nobody takes calls at " + path.string());
    return fail_errno("connect to " + path.string());
  }
  return fd;
}

std::optional<uid_t> peer_user(int fd) {
  ucred who{};
  socklen_t size = sizeof who;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) < 0 || size != sizeof who) return std::nullopt;
  return who.uid;
}

Result<Fd> accept_one(int listener, Millis limit) {
  if (!wait_readable(listener, limit)) return fail(Kind::timeout, "nobody connected");
  while (true) {
    const int fd = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd >= 0) return Fd(fd);
    if (errno != EINTR && errno != ECONNABORTED) return fail_errno("accept");
  }
}

Result<Fd> listen_tcp(const std::string& address_text, int port) {
  TRY_SET(address, "", tcp_address(address_text, port));
  Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno("socket");
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(fd.get(), generic(address), sizeof address) < 0 || ::listen(fd.get(), 128) < 0) {
    const std::string doing = fmt::format("listen on {}:{}", address_text, port);
    if (errno == EADDRINUSE) return fail(Kind::exists, doing, std::strerror(EADDRINUSE));
    return fail_errno(doing);
  }
  return fd;
}

int local_port(int fd) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  if (::getsockname(fd, generic(address), &size) < 0) return 0;
  return ntohs(address.sin_port);
}

Result<Fd> connect_tcp(const std::string& address_text, int port, Millis limit) {
  TRY_SET(address, "", tcp_address(address_text, port));
  Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return fail_errno("socket");
  const auto shown = fmt::format("connect to {}:{}", address_text, port);
  if (::connect(fd.get(), generic(address), sizeof address) < 0) {
    if (errno != EINPROGRESS) return fail_errno(shown);
    pollfd wanted{fd.get(), POLLOUT, 0};
    if (::poll(&wanted, 1, static_cast<int>(limit.count())) <= 0) return fail(Kind::timeout, shown + ": no answer");
    int code = 0;
    socklen_t size = sizeof code;
    ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &code, &size);
    if (code) return fail_errno(shown, code);
  }
  const int on = 1;
  ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  TRY("", set_nonblocking(fd.get(), false));
  return fd;
}

}  // namespace ferry::os
