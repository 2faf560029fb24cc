// A second ssh for one connection: a real sshd, far away by a relay in the test.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <atomic>
#include <deque>
#include <thread>

#include "base/hash.h"
#include "ssh/testing.h"

namespace ferry::ssh {
namespace {

/// A port of this computer that leads to another one, each way in 100 ms: no more than 2 MiB an ssh in 200 ms.
class LongWay {
 public:
  LongWay(int to, std::size_t most_callers) : to_(to), most_(most_callers), thread_([this] { run(); }) {}
  ~LongWay() {
    stop_ = true;
    thread_.join();
  }
  int port() const { return os::local_port(listener_.get()); }
  std::size_t callers() const { return callers_; }
  /// Bytes of all callers but the first.
  std::size_t by_others() const { return by_others_; }

 private:
  static constexpr std::int64_t one_way_ms = 100;
  static constexpr std::size_t room = 32 << 20;  // on its way
  struct Part {
    std::int64_t due_ms;
    std::string bytes;
  };
  struct Direction {
    int from, to;
    std::deque<Part> parts;
    std::size_t size = 0;
    bool has_ended = false;
  };
  struct Call {
    os::Fd near, far;
    std::array<Direction, 2> ways;
  };

  std::size_t take(Direction& way) {
    std::size_t all = 0;
    std::string part(256 << 10, '\0');
    while (!way.has_ended && way.size < room) {
      const ssize_t got = ::recv(way.from, part.data(), part.size(), MSG_DONTWAIT);
      if (got < 0) break;
      all += static_cast<std::size_t>(got);
      way.has_ended = got == 0;
      way.size += static_cast<std::size_t>(got);
      way.parts.push_back({now() + one_way_ms, part.substr(0, static_cast<std::size_t>(got))});
    }
    return all;
  }
  void give(Direction& way) {
    while (!way.parts.empty() && way.parts.front().due_ms <= now()) {
      auto& bytes = way.parts.front().bytes;
      if (bytes.empty()) (void)::shutdown(way.to, SHUT_WR);
      const ssize_t put = ::send(way.to, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
      if (put < 0 && errno == EAGAIN) return;
      const auto gone = put < 0 ? bytes.size() : static_cast<std::size_t>(put);
      way.size -= gone;
      bytes.erase(0, gone);
      if (bytes.empty()) way.parts.pop_front();
    }
  }
  void run() {
    std::deque<Call> calls;
    while (!stop_) {
      std::vector<pollfd> polls{{listener_.get(), POLLIN, 0}};
      for (const auto& call : calls)
        for (const auto& way : call.ways)
          polls.push_back({way.has_ended || way.size >= room ? -1 : way.from, POLLIN, 0});
      (void)::poll(polls.data(), polls.size(), 2);
      if (polls[0].revents != 0) {
        auto near = *os::accept_one(listener_.get());
        if (++callers_ <= most_) {
          auto far = *os::connect_tcp("127.0.0.1", to_, Millis(10'000));
          const int a = near.get(), b = far.get();
          calls.push_back({std::move(near), std::move(far), {{{a, b, {}}, {b, a, {}}}}});
        }
      }
      for (auto& call : calls) {
        for (auto& way : call.ways) {
          const auto got = take(way);
          if (&call != &calls.front()) by_others_ += got;
          give(way);
        }
      }
    }
  }
  static std::int64_t now() { return os::system_clock().steady_ms(); }

  const int to_;
  const std::size_t most_;
  os::Fd listener_ = *os::listen_tcp("127.0.0.1", 0);
  std::atomic<bool> stop_ = false;
  std::atomic<std::size_t> callers_ = 0, by_others_ = 0;
  std::thread thread_;
};

/// Sends until `is_enough`, and then looks whether all has come.
void send_until(Session& session, const std::function<bool()>& is_enough) {
  auto command = session.start({"sha256sum"}, mux::Lane::work);
  ASSERT_TRUE(command);
  const auto part = random_bytes(1 << 20);
  Sha256 hash;
  while (!is_enough()) {
    ASSERT_TRUE(os::write_all(command->in.get(), part));
    hash.add(part);
  }
  command->in.reset();
  EXPECT_EQ(os::read_to_end(command->out.get())->substr(0, 64), hex(hash.finish()));
  EXPECT_EQ(command->wait(Millis(60'000))->code, 0);
}

using FarSshd = Sshd;

/// Where the computer is too busy for what one ssh can do over that way, no other is opened.
constexpr std::int64_t patience_ms = 60'000;

TEST_F(FarSshd, AnotherSshIsOpenedForAStreamThatFillsOneAndAllArrives) {
  os::ignore_sigpipe();
  const LongWay way(port_, 3);
  target_.port = way.port();
  auto session = Session::open(target_, programs(), Millis(30'000));
  ASSERT_TRUE(session) << describe(session.error());
  const auto end = os::system_clock().steady_ms() + patience_ms;
  send_until(*session, [&] { return way.by_others() > 3'000'000 || os::system_clock().steady_ms() > end; });
  if (way.callers() == 1) GTEST_SKIP() << "this computer is too busy";
  EXPECT_TRUE(session->alive());
  auto after = session->run("cat", "small");
  ASSERT_TRUE(after);
  EXPECT_EQ(after->out, "small");
}

TEST_F(FarSshd, WhereNoOtherSshIsLetInOneGoesOn) {
  os::ignore_sigpipe();
  const LongWay way(port_, 1);
  target_.port = way.port();
  auto session = Session::open(target_, programs(), Millis(30'000));
  ASSERT_TRUE(session) << describe(session.error());
  const auto end = os::system_clock().steady_ms() + patience_ms;
  send_until(*session, [&] { return way.callers() > 1 || os::system_clock().steady_ms() > end; });
  if (way.callers() == 1) GTEST_SKIP() << "this computer is too busy";
  send_until(*session, [&, parts = 0]() mutable { return ++parts > 30; });
  EXPECT_TRUE(session->alive());
  EXPECT_EQ(way.callers(), 2U) << "and it is not tried again";
}

}  // namespace
}  // namespace ferry::ssh
