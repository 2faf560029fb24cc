#include "sandbox/tunnel.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace ferry::sandbox {

namespace {

/// One direction.
class Flow {
 public:
  Flow(int from, int to, std::optional<std::uint64_t> most) : from_(from), to_(to), left_(most) {}

  void begin_with(std::string bytes) {
    if (left_) bytes.resize(static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), *left_)));
    if (left_) *left_ -= bytes.size();
    waiting_ = std::move(bytes);
  }
  bool wants_to_read() const { return !at_end_ && waiting_.size() < most_waiting && (!left_ || *left_ > 0); }
  bool wants_to_write() const { return !waiting_.empty(); }
  /// Nothing more comes, and all that came is sent.
  bool is_over() const { return at_end_ && waiting_.empty(); }

  /// False when the connection failed.
  bool read() {
    std::array<char, most_waiting> part;
    auto room = most_waiting - waiting_.size();
    if (left_) room = static_cast<std::size_t>(std::min<std::uint64_t>(room, *left_));
    const auto got = ::recv(from_, part.data(), room, 0);
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    at_end_ = got == 0;
    waiting_.append(part.data(), static_cast<std::size_t>(got));
    if (left_) *left_ -= static_cast<std::uint64_t>(got);
    return true;
  }
  bool write() {
    const auto sent = ::send(to_, waiting_.data(), waiting_.size(), MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN || errno == EINTR;
    waiting_.erase(0, static_cast<std::size_t>(sent));
    return true;
  }
  /// Tells the receiver of the end, once.
  void pass_on_end() {
    if (is_over() && !std::exchange(told_, true)) ::shutdown(to_, SHUT_WR);
  }

 private:
  static constexpr std::size_t most_waiting = 65'536;
  int from_, to_;
  std::optional<std::uint64_t> left_;
  std::string waiting_;
  bool at_end_ = false, told_ = false;
};

}  // namespace

void carry(const os::Fd& client, const os::Fd& other, Carried what) {
  if (!os::set_nonblocking(client.get(), true) || !os::set_nonblocking(other.get(), true)) return;
  const bool is_bounded = what.most.has_value();
  Flow up(client.get(), other.get(), what.most), down(other.get(), client.get(), std::nullopt);
  up.begin_with(std::move(what.first));
  while (!down.is_over() || (!is_bounded && !up.is_over())) {
    const auto events = [](const Flow& reads, const Flow& writes) {
      return static_cast<short>((reads.wants_to_read() ? POLLIN : 0) | (writes.wants_to_write() ? POLLOUT : 0));
    };
    std::array<pollfd, 2> polls{{{client.get(), events(up, down), 0}, {other.get(), events(down, up), 0}}};
    // A side from which nothing is wanted would report its end again and again.
    for (auto& one : polls) {
      if (one.events == 0) one.fd = -1;
    }
    const int ready = ::poll(polls.data(), polls.size(), static_cast<int>(what.idle.count()));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return;
    constexpr short readable = POLLIN | POLLHUP | POLLERR;
    if ((polls[0].revents & readable) && up.wants_to_read() && !up.read()) return;
    if ((polls[1].revents & readable) && down.wants_to_read() && !down.read()) return;
    if (up.wants_to_write() && !up.write()) return;
    if (down.wants_to_write() && !down.write()) return;
    up.pass_on_end();
    down.pass_on_end();
  }
}

}  // namespace ferry::sandbox
