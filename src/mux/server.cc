#include "mux/server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <map>

#include "mux/engine.h"
#include "mux/hello.h"
#include "mux/join.h"
#include "os/clock.h"
#include "os/process.h"
#include "os/signals.h"

namespace ferry::mux {

namespace {

constexpr int refused_code = 255, not_run_code = 127;

/// A socket that is being connected to a port of this machine, by IPv4 or else IPv6. Fails lost when nobody listens.
Result<os::Fd> connect_here(int port) {
  sockaddr_in four{};
  four.sin_family = AF_INET;
  four.sin_port = htons(static_cast<std::uint16_t>(port));
  four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  sockaddr_in6 six{};
  six.sin6_family = AF_INET6;
  six.sin6_port = four.sin_port;
  six.sin6_addr = in6addr_loopback;
  const auto tried = [](int family, const void* address, socklen_t size) {
    os::Fd socket(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const int on = 1;
    if (socket) (void)::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (socket && ::connect(socket.get(), static_cast<const sockaddr*>(address), size) < 0 && errno != EINPROGRESS)
      socket.reset();
    return socket;
  };
  if (auto socket = tried(AF_INET, &four, sizeof four)) return socket;
  if (auto socket = tried(AF_INET6, &six, sizeof six)) return socket;
  return fail(Kind::lost, fmt::format("nobody listens at port {} of the machine", port));
}

class Server {
 public:
  Server(int in, int out) : engine_(in, out, [this](const Frame& frame) { return hear(frame); }) {}

  Status run() {
    os::ignore_sigpipe();
    os::SignalQueue children({SIGCHLD});
    engine_.send(0, Type::hello, our_hello());
    std::array<pollfd, 2> also{{{children.fd(), POLLIN, 0}, {-1, POLLIN, 0}}};
    while (true) {
      also[1].fd = joining_ ? joining_->fd() : -1;
      if (const auto turned = engine_.turn(until_nobody_joins(), also); !turned) {
        engine_.flush(Millis(1000));
        if (turned.error().kind == Kind::lost) return {};
        return turned;
      }
      if (also[0].revents != 0) {
        while (children.next()) continue;
      }
      end_streams();
      TRY("", let_join(also[1].revents != 0));
    }
  }

 private:
  struct Program {
    std::optional<os::Process> process;  // none: a port
    std::optional<os::Exit> ended;
  };

  Status hear(const Frame& frame) {
    if (frame.type == Type::hello) {
      TRY("", check_hello(frame.body));
      return {};
    }
    if (frame.type == Type::ping || frame.type == Type::join) {
      std::string answer;
      if (frame.type == Type::join && engine_.links() < most_links) {
        TRY_SET(joining, "", Joining::listen());
        answer = joining.token();
        joining_.emplace(std::move(joining));
      }
      engine_.send(0, frame.type, answer);
      return {};
    }
    if (frame.type == Type::open) return open(frame);
    if (frame.type == Type::kill) {
      const auto at = programs_.find(frame.stream);
      const int number = frame.body.empty() ? 0 : frame.body[0];
      if (number < 1 || number > 64) return fail(Kind::corrupt, "a signal of no known number");
      if (at != programs_.end() && at->second.process) at->second.process->signal(number);
      return {};
    }
    return fail(Kind::corrupt, "the other end tells of an exit that is not its own");
  }

  Millis until_nobody_joins() const {
    if (!joining_) return Millis(-1);
    return Millis(std::max<std::int64_t>(0, joining_->end_ms() - os::system_clock().steady_ms()));
  }

  Status let_join(bool is_called) {
    auto joined = joining_ && is_called ? joining_->take() : std::nullopt;
    if (joined || until_nobody_joins().count() == 0) joining_.reset();
    if (joined) TRY("", engine_.add_link(*std::move(joined), {}, false));
    return {};
  }

  Status open(const Frame& frame) {
    if (frame.stream == 0 || engine_.has(frame.stream)) return fail(Kind::corrupt, "a stream is opened twice");
    TRY_SET(order, "", decode_order(frame.body));
    const auto id = frame.stream;
    engine_.join(id, frame.lane);
    auto begun =
        engine_.size() > most_streams ? fail(Kind::io, "too many streams at once") : begin(id, frame.lane, order);
    if (!begun) {
      engine_.send(id, Type::error, describe(begun.error()) + "\n");
      const bool is_absent = begun.error().kind == Kind::not_found || begun.error().kind == Kind::denied;
      leave(id, {is_absent ? not_run_code : refused_code, 0});
    }
    return {};
  }

  Status begin(std::uint32_t id, Lane lane, const Order& order) {
    if (order.argv.empty()) {
      TRY_SET(socket, "", connect_here(order.port));
      engine_.write_to(id, Type::data, os::Fd(::fcntl(socket.get(), F_DUPFD_CLOEXEC, 3)));
      engine_.read_from(id, Type::data, std::move(socket));
      programs_.try_emplace(id);
      return {};
    }
    os::SpawnOptions options;
    options.argv = order.argv;
    options.in = options.out = options.err = os::Stream::pipe;
    options.new_session = true;
    TRY_SET(process, "", os::Process::spawn(options));
    if (lane != Lane::talk) {
      (void)::fcntl(process.in.get(), F_SETPIPE_SZ, pipe_bytes);
      (void)::fcntl(process.out.get(), F_SETPIPE_SZ, pipe_bytes);
    }
    engine_.write_to(id, Type::data, std::move(process.in));
    engine_.read_from(id, Type::data, std::move(process.out));
    engine_.read_from(id, Type::error, std::move(process.err));
    programs_[id].process = std::move(process);
    return {};
  }

  /// Tells of those that ended, once all that they said is on its way.
  void end_streams() {
    for (auto at = programs_.begin(); at != programs_.end();) {
      auto& [id, program] = *at++;
      if (program.process && !program.ended) {
        program.ended = program.process->wait(Millis(0));
        // What it left running in the background may hold its pipes for ever.
        if (program.ended) engine_.drain(id);
      }
      if ((program.process && !program.ended) || !engine_.has_sent_all(id)) continue;
      leave(id, program.ended.value_or(os::Exit{}));
    }
  }

  void leave(std::uint32_t id, os::Exit ended) {
    engine_.send(id, Type::exit,
                 encode_number(static_cast<std::uint32_t>(ended.code)) +
                     encode_number(static_cast<std::uint32_t>(ended.signal)));
    engine_.close(id);
    programs_.erase(id);
  }

  Engine engine_;
  std::map<std::uint32_t, Program> programs_;
  std::optional<Joining> joining_;
};

}  // namespace

Status serve(int in, int out) { return Server(in, out).run(); }

}  // namespace ferry::mux
