#include "os/http_wire.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>

#include "os/clock.h"
#include "os/fd.h"

namespace ferry::os {
namespace {

constexpr Millis last_words{1'000};  // to send what is left once the server ends
constexpr Millis lingering{5'000};   // to take what a peer still sends that was answered and is left

}  // namespace

bool HttpWire::server_ends() const { return end_ >= 0 && wait_readable(end_, Millis(0)); }

Result<std::size_t> HttpWire::receive(void* to, std::size_t room) {
  while (!server_ends()) {
    const ssize_t got = ::recv(fd_, to, room, 0);
    if (got >= 0) return earned(static_cast<std::size_t>(got));
    if (errno == EAGAIN) {
      TRY("", wait(POLLIN));
    } else if (errno != EINTR) {
      return fail(Kind::lost, "the connection broke", std::strerror(errno));
    }
  }
  return fail(Kind::lost, "the server ends");
}

Status HttpWire::send(std::string_view bytes, bool more) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | (more ? MSG_MORE : 0));
    if (sent >= 0) {
      bytes.remove_prefix(earned(static_cast<std::size_t>(sent)));
    } else if (errno == EAGAIN) {
      TRY("", wait(POLLOUT));
    } else if (errno != EINTR) {
      return fail(Kind::lost, "the connection broke", std::strerror(errno));
    }
  }
  return {};
}

void HttpWire::leave() {
  if (::shutdown(fd_, SHUT_WR) < 0) return;
  std::array<char, 4096> rest;
  end_within(std::min(lingering, silence_));
  while (system_clock().steady_ms() < last_ms_ && receive(rest.data(), rest.size()).value_or(0) > 0) {
  }
}

std::size_t HttpWire::earned(std::size_t bytes) {
  left_ = std::min(silence_, left_ + Millis(static_cast<std::int64_t>(bytes)));
  return bytes;
}

void HttpWire::end_within(Millis limit) { last_ms_ = std::min(last_ms_, system_clock().steady_ms() + limit.count()); }

Status HttpWire::wait(short events) {
  const auto began = system_clock().steady_ms();
  const auto limit = std::min(left_.count(), last_ms_ - began);
  if (limit <= 0) return fail(Kind::timeout, "nothing came or went, or too slowly");
  // Of the server's end there is nothing more to be heard once it was noticed.
  std::array<pollfd, 2> polls{{{fd_, events, 0}, {last_ms_ == never ? end_ : -1, POLLIN, 0}}};
  (void)::poll(polls.data(), polls.size(), static_cast<int>(std::min<std::int64_t>(limit, 1 << 30)));
  left_ -= Millis(system_clock().steady_ms() - began);
  if (polls[1].revents != 0) end_within(last_words);
  return {};
}

}  // namespace ferry::os
