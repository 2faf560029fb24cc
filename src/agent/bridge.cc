#include "agent/bridge.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>

#include "os/fd.h"

namespace ferry::agent {
namespace {

constexpr std::size_t most_held = 128 * 1024;
constexpr int last_words_ms = 2000;

/// Makes a descriptor non-blocking while it lives.
class NonBlocking {
 public:
  explicit NonBlocking(int fd) : fd_(fd), flags_(::fcntl(fd, F_GETFL)) { ::fcntl(fd_, F_SETFL, flags_ | O_NONBLOCK); }
  ~NonBlocking() { ::fcntl(fd_, F_SETFL, flags_); }
  NonBlocking(const NonBlocking&) = delete;
  NonBlocking& operator=(const NonBlocking&) = delete;

 private:
  int fd_, flags_;
};

/// One direction.
struct Flow {
  int from, to;
  std::string held{};
  bool ended = false;

  bool wants_in() const { return !ended && held.size() < most_held; }
  bool wants_out() const { return !held.empty(); }

  void read() {
    std::array<char, 65536> part;
    const ssize_t got = ::read(from, part.data(), part.size());
    if (got > 0) held.append(part.data(), static_cast<std::size_t>(got));
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) ended = true;
  }
  /// False when the receiver is gone.
  bool write() {
    const ssize_t put = ::write(to, held.data(), held.size());
    if (put > 0) held.erase(0, static_cast<std::size_t>(put));
    return put >= 0 || errno == EAGAIN || errno == EINTR;
  }
};

}  // namespace

Status bridge(int in, int out, int socket) {
  os::ignore_sigpipe();
  const NonBlocking first(out), second(in), third(socket);
  Flow up{in, socket}, down{socket, out};
  while (!(up.ended && up.held.empty()) && !(down.ended && down.held.empty())) {
    std::array<pollfd, 4> polls{{{up.wants_in() ? in : -1, POLLIN, 0},
                                 {up.wants_out() ? socket : -1, POLLOUT, 0},
                                 {down.wants_in() ? socket : -1, POLLIN, 0},
                                 // Asked for nothing, a broken pipe still shows as an error.
                                 {out, static_cast<short>(down.wants_out() ? POLLOUT : 0), 0}}};
    if (::poll(polls.data(), polls.size(), -1) < 0 && errno != EINTR) return fail_errno("poll");
    if (polls[0].revents != 0) up.read();
    if (polls[2].revents != 0) down.read();
    if (polls[1].revents != 0 && !up.write()) break;
    if (down.wants_out() && !down.write()) break;
    if (!down.wants_out() && (polls[3].revents & POLLERR) != 0) break;
  }
  // Whoever closes `out` may have said something before.
  for (std::size_t before = up.held.size() + 1; !up.ended && up.wants_in() && before != up.held.size();) {
    before = up.held.size();
    up.read();
  }
  pollfd takes{socket, POLLOUT, 0};
  while (up.wants_out() && ::poll(&takes, 1, last_words_ms) > 0 && up.write()) {
  }
  return {};
}

}  // namespace ferry::agent
