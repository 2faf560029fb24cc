#include "rehearsal/http_server.h"

#include "os/clock.h"
#include "os/socket.h"

namespace ferry::rehearsal {
namespace {

constexpr int most_connections = 256;
constexpr Millis idle_limit{60'000};     // a kept-alive connection without a request
constexpr Millis request_limit{30'000};  // from a request's first byte to its last
constexpr Millis stop_check{250};        // how soon open connections notice the end

}  // namespace

Result<std::unique_ptr<HttpServer>> HttpServer::start(int port, Handler handler) {
  TRY_SET(listener, "", os::listen_tcp("127.0.0.1", port));
  const int bound = os::local_port(listener.get());
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(listener), bound, std::move(handler)));
}

HttpServer::HttpServer(os::Fd listener, int port, Handler handler)
    : listener_(std::move(listener)), port_(port), handler_(std::move(handler)) {
  acceptor_ = std::thread([this] { accept_loop(); });
}

HttpServer::~HttpServer() {
  stopping_ = true;
  (void)os::connect_tcp("127.0.0.1", port_, Millis(1000));  // wakes the acceptor
  acceptor_.join();
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return connections_ == 0; });
}

void HttpServer::accept_loop() {
  while (!stopping_) {
    auto connection = os::accept_one(listener_.get());
    if (stopping_) return;
    if (!connection) {  // out of descriptors, most likely: let some connections end
      os::system_clock().sleep(Millis(50));
      continue;
    }
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return connections_ < most_connections; });
    ++connections_;
    lock.unlock();
    std::thread([this, fd = std::move(*connection)]() mutable {
      converse(std::move(fd));
      const std::lock_guard guard(mutex_);
      --connections_;
      changed_.notify_all();
    }).detach();
  }
}

void HttpServer::converse(os::Fd connection) {
  auto& clock = os::system_clock();
  RequestParser parser;
  auto deadline = clock.steady_ms() + idle_limit.count();
  auto step = RequestParser::Step::more;
  while (!stopping_) {
    if (step == RequestParser::Step::complete) {
      if (!answer(connection.get(), parser.take())) return;
      deadline = clock.steady_ms() + idle_limit.count();
      step = parser.feed("");
      continue;
    }
    if (step == RequestParser::Step::bad) {
      HttpReply reply{.status = parser.error_status(),
                      .content_type = "text/plain",
                      .headers = {},
                      .body = "",
                      .drop = false};
      (void)os::write_all(connection.get(), serialized(reply, false));
      return;
    }
    if (parser.wants_continue()) (void)os::write_all(connection.get(), "HTTP/1.1 100 Continue\r\n\r\n");
    if (clock.steady_ms() >= deadline) return;
    if (!os::wait_readable(connection.get(), stop_check)) continue;
    const bool first = !parser.midway();
    const auto bytes = os::read_some(connection.get());
    if (!bytes || bytes->empty()) return;
    if (first) deadline = clock.steady_ms() + request_limit.count();
    step = parser.feed(*bytes);
  }
}

bool HttpServer::answer(int fd, const HttpRequest& request) {
  HttpReply reply;
  try {
    reply = handler_(request);
  } catch (const std::exception& bug) {
    reply = {.status = 500, .content_type = "text/plain", .headers = {}, .body = bug.what(), .drop = false};
  }
  if (reply.drop) return false;
  if (request.method == "HEAD") reply.body.clear();
  return os::write_all(fd, serialized(reply, request.keep_alive)).has_value() && request.keep_alive;
}

}  // namespace ferry::rehearsal
