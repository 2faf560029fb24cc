#include "os/fd.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <span>

namespace ferry::os {

void Fd::reset() noexcept {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

Result<Pipe> make_pipe() {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) < 0) return fail_errno("pipe");
  return Pipe{Fd(fds[0]), Fd(fds[1])};
}

Result<Pipe> make_socketpair() {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0) return fail_errno("socketpair");
  return Pipe{Fd(fds[0]), Fd(fds[1])};
}

namespace {

void wait_for(int fd, short events) {
  pollfd wanted{fd, events, 0};
  ::poll(&wanted, 1, -1);
}

}  // namespace

Status write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t written = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (written < 0 && errno == ENOTSOCK) written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) {
        wait_for(fd, POLLOUT);
        continue;
      }
      return fail_errno("write");
    }
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

Result<std::string> read_some(int fd, std::size_t limit) {
  // Mostly little is there: a string as long as the limit would be cleared for nothing.
  std::array<char, 65536> room;
  std::string more(limit > room.size() ? limit : 0, '\0');
  const auto into = more.empty() ? std::span<char>(room).first(limit) : std::span<char>(more);
  while (true) {
    const ssize_t got = ::read(fd, into.data(), into.size());
    if (got >= 0 && more.empty()) return std::string(into.data(), static_cast<std::size_t>(got));
    if (got >= 0) {
      more.resize(static_cast<std::size_t>(got));
      return more;
    }
    if (errno == EAGAIN) {
      wait_for(fd, POLLIN);
    } else if (errno == EIO) {  // a terminal whose other side went away
      return std::string();
    } else if (errno != EINTR) {
      return fail_errno("read");
    }
  }
}

Result<std::string> read_exactly(int fd, std::size_t size) {
  std::string out;
  while (out.size() < size) {
    TRY_SET(part, "", read_some(fd, std::min<std::size_t>(size - out.size(), 1 << 20)));
    if (part.empty()) return fail(Kind::lost, "the stream ended too early");
    out += part;
  }
  return out;
}

Result<std::string> read_to_end(int fd, std::size_t limit) {
  std::string out;
  while (true) {
    TRY_SET(part, "", read_some(fd));
    if (part.empty()) return out;
    if (out.size() + part.size() > limit) return fail(Kind::bad_input, "more bytes than allowed");
    out += part;
  }
}

bool wait_readable(int fd, Millis limit) { return wait_readable(fd, -1, limit).one; }

Waiting wait_readable(int one, int other, Millis limit) {
  std::array<pollfd, 2> wanted{{{one, POLLIN, 0}, {other, POLLIN, 0}}};
  const auto ms = limit.count() < 0 ? -1 : static_cast<int>(std::min<std::int64_t>(limit.count(), 1 << 30));
  int ready;
  do {
    ready = ::poll(wanted.data(), wanted.size(), ms);
  } while (ready < 0 && errno == EINTR && ms < 0);
  if (ready <= 0) return {};
  return {wanted[0].revents != 0, wanted[1].revents != 0};
}

Status set_nonblocking(int fd, bool on) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK) < 0) return fail_errno("fcntl");
  return {};
}

void ignore_sigpipe() { std::signal(SIGPIPE, SIG_IGN); }

}  // namespace ferry::os
