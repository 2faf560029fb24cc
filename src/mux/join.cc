#include "mux/join.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "base/hash.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/socket.h"

namespace ferry::mux {

namespace {

constexpr std::size_t name_size = 16, token_size = 48;
/// A login over a slow link takes seconds.
constexpr Millis join_limit{30'000};

struct Address {
  sockaddr_un address{};
  socklen_t size = 0;
};

/// unix(7): a name that begins with a NUL is in no folder.
Address address_of(std::string_view token) {
  Address made;
  made.address.sun_family = AF_UNIX;
  const auto name = "ferry-mux-" + std::string(token.substr(0, name_size));
  name.copy(made.address.sun_path + 1, sizeof made.address.sun_path - 1);
  made.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  return made;
}

const sockaddr* generic(const Address& at) { return reinterpret_cast<const sockaddr*>(&at.address); }

std::string_view secret_of(std::string_view token) { return token.substr(name_size); }

/// Room for two descriptors.
union Control {
  cmsghdr header;
  std::array<char, CMSG_SPACE(2 * sizeof(int))> bytes;
};

bool is_mine(int socket) { return os::peer_user(socket) == ::geteuid(); }

}  // namespace

bool is_token(std::string_view text) {
  return text.size() == token_size && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::string joined_line(std::string_view token) { return fmt::format("\nferry-link:{}\n", token.substr(0, name_size)); }

Result<Joining> Joining::listen() {
  Joining made;
  made.token_ = hex(random_bytes(token_size / 2));
  made.end_ms_ = os::system_clock().steady_ms() + join_limit.count();
  made.listener_ = os::Fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const auto at = address_of(made.token_);
  if (!made.listener_ || ::bind(made.listener_.get(), generic(at), at.size) < 0 ||
      ::listen(made.listener_.get(), 1) < 0)
    return fail_errno("let another link join");
  return made;
}

std::optional<Joined> Joining::take() {
  if (!caller_) {
    caller_ = os::Fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (caller_ && !is_mine(caller_.get())) caller_.reset();
    return std::nullopt;
  }
  std::array<char, token_size> said{};
  iovec part{said.data(), said.size()};
  Control control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes.data();
  message.msg_controllen = control.bytes.size();
  const auto got = ::recvmsg(caller_.get(), &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return std::nullopt;
  std::array<os::Fd, 2> handed;
  const auto* header = got < 0 ? nullptr : CMSG_FIRSTHDR(&message);
  if (header != nullptr && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
    const auto count = std::min<std::size_t>(handed.size(), (header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    std::array<int, 2> fds{};
    std::memcpy(fds.data(), CMSG_DATA(header), count * sizeof(int));
    for (std::size_t i = 0; i < count; ++i) handed[i] = os::Fd(fds[i]);
  }
  auto caller = std::exchange(caller_, os::Fd());
  const std::string_view secret(said.data(), static_cast<std::size_t>(std::max<ssize_t>(0, got)));
  // Their hashes are compared: how long that takes tells nothing of the secret.
  if (!handed[1] || sha256(secret) != sha256(secret_of(token_))) return std::nullopt;
  if (!os::write_all(handed[1].get(), joined_line(token_))) return std::nullopt;
  return Joined{std::move(handed[0]), std::move(handed[1]), std::move(caller)};
}

Status join(const std::string& token, int in, int out) {
  if (!is_token(token)) return fail(Kind::bad_input, "that is no token of a connection");
  const os::Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  const auto at = address_of(token);
  if (!socket || ::connect(socket.get(), generic(at), at.size) < 0)
    return fail(Kind::lost, "no connection waits for another link", std::strerror(errno));
  if (!is_mine(socket.get())) return fail(Kind::denied, "the connection is another user's");
  const auto secret = secret_of(token);
  iovec part{const_cast<char*>(secret.data()), secret.size()};
  Control control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes.data();
  message.msg_controllen = control.bytes.size();
  auto* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(2 * sizeof(int));
  const std::array<int, 2> fds{in, out};
  std::memcpy(CMSG_DATA(header), fds.data(), sizeof fds);
  if (::sendmsg(socket.get(), &message, MSG_NOSIGNAL) < 0) return fail_errno("hand the link over");
  // They are the server's alone now: their ends are told when it closes them.
  const os::Fd nothing(::open("/dev/null", O_RDWR | O_CLOEXEC));
  for (const int fd : fds)
    if (!nothing || ::dup2(nothing.get(), fd) < 0) ::close(fd);
  char byte = 0;
  while (::recv(socket.get(), &byte, 1, 0) < 0 && errno == EINTR) continue;
  return {};
}

}  // namespace ferry::mux
