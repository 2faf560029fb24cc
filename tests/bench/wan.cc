/// \file
/// A long way between two network namespaces that it makes itself, for kernels without netem: what is sent into a TUN
/// device at one end comes out of the other one after a delay, at a rate, through a buffer that drops what does not
/// fit.
///
///   wan ONE_WAY_MS MBIT_PER_S BUFFER_KIB
///
/// Needs root. The namespaces have no names: they last as long as this program and what runs in them. At first it says,
/// as a line of JSON, which descriptors of its own they are (`nsenter --net=/proc/PID/fd/N`); near is 10.99.0.1, far
/// 10.99.0.2. For each line on standard input it then answers one: "report" what went over since the last "reset", and
/// it ends with its input.
///
///   {"up_bytes":…,"down_bytes":…,"dropped":…,"trips_ms":[…]}
///
/// Bytes are those of IP packets, headers and repetitions too; up is from near to far. trips_ms says when each round
/// trip began, in milliseconds of CLOCK_MONOTONIC: a packet with content from near that follows on something from far
/// that follows on the trip before. Their number is the longest chain of question and answer, so that a stream of
/// packets each way counts no more than there was time for; bare acknowledgements are no content, a handshake is.
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <string>
#include <vector>

namespace {

constexpr int near_side = 0, far_side = 1;
constexpr std::size_t largest_packet = 65536;
constexpr int packets_a_turn = 64;

std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

[[noreturn]] void give_up(const char* doing) {
  std::fprintf(stderr, "wan: %s: %s\n", doing, std::strerror(errno));
  std::exit(1);
}

void set_address(ifreq& request, const char* address) {
  sockaddr_in where{};
  where.sin_family = AF_INET;
  where.sin_addr.s_addr = ::inet_addr(address);
  std::memcpy(&request.ifr_addr, &where, sizeof where);
}

void bring_up(int socket, ifreq& request) {
  if (::ioctl(socket, SIOCGIFFLAGS, &request) != 0) give_up("look at an interface");
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
  if (::ioctl(socket, SIOCSIFFLAGS, &request) != 0) give_up("bring an interface up");
}

struct Side {
  int space = -1, tun = -1;
};

/// A namespace with its end of the way; this process is in it afterwards.
Side make_side(const char* address, const char* peer) {
  if (::unshare(CLONE_NEWNET) != 0) give_up("make a network namespace");
  Side side{::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), ::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC)};
  if (side.space < 0 || side.tun < 0) give_up("open /dev/net/tun");
  ifreq request{};
  std::strcpy(request.ifr_name, "wan0");
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  if (::ioctl(side.tun, TUNSETIFF, &request) != 0) give_up("make a TUN device");
  const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  request = {};
  std::strcpy(request.ifr_name, "wan0");
  set_address(request, address);
  if (::ioctl(socket, SIOCSIFADDR, &request) != 0) give_up("set the address");
  set_address(request, peer);
  if (::ioctl(socket, SIOCSIFDSTADDR, &request) != 0) give_up("set the other end's address");
  request.ifr_qlen = 1000;
  if (::ioctl(socket, SIOCSIFTXQLEN, &request) != 0) give_up("set the queue");
  bring_up(socket, request);
  request = {};
  std::strcpy(request.ifr_name, "lo");
  bring_up(socket, request);
  ::close(socket);
  return side;
}

/// A TCP packet that asks or answers something: it has data or opens a connection.
bool has_content(const std::vector<char>& packet) {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(packet[i]); };
  if (packet.size() < 40 || at(0) >> 4 != 4 || at(9) != IPPROTO_TCP) return false;
  const std::size_t ip = (at(0) & 15u) * 4u;
  if (packet.size() < ip + 20) return false;
  const std::size_t tcp = (at(ip + 12) >> 4) * 4u;
  const bool opens = (at(ip + 13) & 2) != 0;
  return opens || packet.size() > ip + tcp;
}

struct Packet {
  std::int64_t due_ns = 0;
  std::size_t trip = 0;  ///< the one that it belongs to
  bool counts = false;
  std::vector<char> bytes;
};

class Wan {
 public:
  Wan(double one_way_ms, double mbit, double buffer_kib)
      : delay_ns_(static_cast<std::int64_t>(one_way_ms * 1e6)),
        ns_per_byte_(8e3 / mbit),
        buffer_bytes_(buffer_kib * 1024) {
    sides_[near_side] = make_side("10.99.0.1", "10.99.0.2");
    sides_[far_side] = make_side("10.99.0.2", "10.99.0.1");
    std::printf("{\"near\":%d,\"far\":%d}\n", sides_[near_side].space, sides_[far_side].space);
    std::fflush(stdout);
  }

  void run() {
    while (true) {
      const auto next = deliver();
      std::array<pollfd, 3> polls{{{sides_[0].tun, POLLIN, 0}, {sides_[1].tun, POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}}};
      timespec left{};
      if (next >= 0) {
        const auto wait = std::max<std::int64_t>(0, next - now_ns());
        left = {wait / 1'000'000'000, wait % 1'000'000'000};
      }
      if (::ppoll(polls.data(), polls.size(), next >= 0 ? &left : nullptr, nullptr) < 0 && errno != EINTR) return;
      for (int side = 0; side < 2; ++side) {
        if ((polls[static_cast<std::size_t>(side)].revents & POLLIN) != 0) take(side);
      }
      if (polls[2].revents != 0 && !answer()) return;
    }
  }

 private:
  /// Hands over what has arrived; when the next packet will, or -1.
  std::int64_t deliver() {
    std::int64_t next = -1;
    for (int from = 0; from < 2; ++from) {
      auto& way = ways_[from];
      const auto now = now_ns();
      while (!way.empty() && way.front().due_ns <= now) {
        const auto& packet = way.front();
        if (::write(sides_[1 - from].tun, packet.bytes.data(), packet.bytes.size()) < 0 && errno == EAGAIN) break;
        if (packet.counts) heard_[1 - from] = std::max(heard_[1 - from], packet.trip);
        way.pop_front();
      }
      if (!way.empty() && (next < 0 || way.front().due_ns < next)) next = way.front().due_ns;
    }
    return next;
  }

  void take(int side) {
    for (int i = 0; i < packets_a_turn; ++i) {
      const auto got = ::read(sides_[side].tun, room_.data(), room_.size());
      if (got <= 0) return;
      const auto now = now_ns();
      auto& free_at = free_at_[side];
      free_at = std::max(free_at, now);
      bytes_[side] += static_cast<std::uint64_t>(got);
      if (static_cast<double>(free_at - now) / ns_per_byte_ + static_cast<double>(got) > buffer_bytes_) {
        ++dropped_;
        continue;
      }
      free_at += static_cast<std::int64_t>(static_cast<double>(got) * ns_per_byte_);
      Packet packet{free_at + delay_ns_, 0, false, {room_.data(), room_.data() + got}};
      if (has_content(packet.bytes)) note(side, now, packet);
      ways_[side].push_back(std::move(packet));
    }
  }

  void note(int side, std::int64_t now, Packet& packet) {
    packet.counts = true;
    packet.trip = side == near_side ? heard_[near_side] + 1 : heard_[far_side];
    if (packet.trip <= trips_) return;
    trips_ = packet.trip;
    trips_ms_.push_back(static_cast<double>(now) / 1e6);
  }

  /// False when nobody asks any more.
  bool answer() {
    std::array<char, 256> line;
    const auto got = ::read(STDIN_FILENO, line.data(), line.size());
    if (got <= 0) return false;
    if (std::strncmp(line.data(), "reset", 5) == 0) {
      bytes_ = {};
      dropped_ = 0;
      trips_ms_.clear();
    }
    std::printf("{\"up_bytes\":%llu,\"down_bytes\":%llu,\"dropped\":%llu,\"trips_ms\":[",
                static_cast<unsigned long long>(bytes_[near_side]), static_cast<unsigned long long>(bytes_[far_side]),
                static_cast<unsigned long long>(dropped_));
    for (std::size_t i = 0; i < trips_ms_.size(); ++i) std::printf("%s%.3f", i > 0 ? "," : "", trips_ms_[i]);
    std::printf("]}\n");
    return std::fflush(stdout) == 0;
  }

  const std::int64_t delay_ns_;
  const double ns_per_byte_, buffer_bytes_;
  Side sides_[2];
  std::deque<Packet> ways_[2];
  std::int64_t free_at_[2] = {0, 0};  ///< when the way has sent all that it took
  std::array<std::uint64_t, 2> bytes_{};
  std::uint64_t dropped_ = 0;
  std::size_t heard_[2] = {0, 0}, trips_ = 0;  ///< the newest trip that has come to each side; that has begun
  std::vector<double> trips_ms_;
  std::array<char, largest_packet> room_{};
};

}  // namespace

int main(int count, char** words) {
  if (count != 4) return 2;
  ::prctl(PR_SET_TIMERSLACK, 1);
  Wan(std::atof(words[1]), std::atof(words[2]), std::atof(words[3])).run();
}
