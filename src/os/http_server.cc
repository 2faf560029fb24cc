#include "os/http_server.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>

#include "os/http_conversation.h"
#include "os/socket.h"

namespace ferry::os {
namespace {

constexpr std::size_t piece = 64 << 10;  // of a body, read at once
constexpr Millis breath{50};             // before another try when descriptors or threads have run out

class Server final : public HttpServer {
 public:
  Server(Fd listener, Pipe end, Handler handler, ServerLimits limits)
      : listener_(std::move(listener)),
        port_(local_port(listener_.get())),
        end_(std::move(end)),
        handler_(std::move(handler)),
        limits_(limits),
        acceptor_([this] { accept_all(); }) {}
  ~Server() override {
    {
      const std::lock_guard lock(mutex_);
      ends_ = true;
      changed_.notify_all();
    }
    (void)write_all(end_.write.get(), "x");
    acceptor_.join();
    listener_.reset();
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return connections_ == 0; });
  }
  int port() const override { return port_; }

 private:
  /// Waits until one more may connect; false when the server ends.
  bool has_room() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return ends_ || connections_ < limits_.connections; });
    return !ends_;
  }

  void accept_all() {
    while (has_room()) {
      std::array<pollfd, 2> polls{{{listener_.get(), POLLIN, 0}, {end_.read.get(), POLLIN, 0}}};
      (void)::poll(polls.data(), polls.size(), -1);
      if (polls[1].revents != 0) return;
      Fd connection(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      // Where descriptors or threads ran out, some connections must end first.
      if (!connection || !begin(std::move(connection))) (void)wait_readable(end_.read.get(), breath);
    }
  }

  bool begin(Fd connection) {
    const int on = 1;
    ::setsockopt(connection.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    change_connections(1);
    try {
      std::thread([this, fd = std::move(connection)]() mutable {
        os::converse(std::move(fd), end_.read.get(), handler_, limits_);
        change_connections(-1);
      }).detach();
    } catch (const std::system_error&) {
      change_connections(-1);
      return false;
    }
    return true;
  }

  void change_connections(int by) {
    const std::lock_guard lock(mutex_);
    connections_ += static_cast<unsigned>(by);
    changed_.notify_all();
  }

  Fd listener_;
  int port_;
  Pipe end_;  // can be read once the server ends, by everybody who waits
  Handler handler_;
  ServerLimits limits_;
  std::mutex mutex_;
  std::condition_variable changed_;
  unsigned connections_ = 0;
  bool ends_ = false;
  std::thread acceptor_;
};

}  // namespace

std::string ServedRequest::header(std::string_view name) const {
  for (const auto& [key, value] : headers)
    if (key == name) return value;
  return {};
}

Result<std::string> BodyReader::read_all(std::size_t most) {
  const auto too_long = [&] { return fail(Kind::bad_input, fmt::format("the body is longer than {} bytes", most)); };
  if (length().value_or(0) > most) return too_long();
  std::string all;
  std::vector<char> part(std::min<std::size_t>(piece, static_cast<std::size_t>(length().value_or(piece))));
  while (true) {
    TRY_SET(got, "", read(part));
    if (got == 0) return all;
    if (all.size() + got > most) return too_long();
    all.append(part.data(), got);
  }
}

Result<std::unique_ptr<HttpServer>> HttpServer::serve(Fd listener, Handler handler, ServerLimits limits) {
  TRY("", set_nonblocking(listener.get(), true));
  TRY_SET(end, "", make_pipe());
  return std::make_unique<Server>(std::move(listener), std::move(end), std::move(handler), limits);
}

Result<std::unique_ptr<HttpServer>> HttpServer::start(int port, Handler handler, ServerLimits limits) {
  TRY_SET(listener, "", listen_tcp("127.0.0.1", port));
  return serve(std::move(listener), std::move(handler), limits);
}

void HttpServer::converse(Fd connection, const Handler& handler, const ServerLimits& limits) {
  if (set_nonblocking(connection.get(), true)) os::converse(std::move(connection), -1, handler, limits);
}

}  // namespace ferry::os
