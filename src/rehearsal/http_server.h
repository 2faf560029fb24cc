#pragma once
/// \file
/// The rehearsal cloud's own HTTP server: one thread a connection, none while nobody is connected. Written
/// here because it must see the request target untouched, take forms of more than 8 KiB, sleep when idle, and
/// be able to close a connection unanswered.

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "os/fd.h"
#include "rehearsal/http_message.h"

namespace ferry::rehearsal {

class HttpServer {
 public:
  using Handler = std::function<HttpReply(const HttpRequest&)>;
  /// Listens on 127.0.0.1 and serves in threads of its own until the object goes. `port` 0: the kernel picks.
  /// `handler` is called from many threads at once; what it throws becomes a 500.
  static Result<std::unique_ptr<HttpServer>> start(int port, Handler handler);
  ~HttpServer();
  int port() const { return port_; }

 private:
  HttpServer(os::Fd listener, int port, Handler handler);
  void accept_loop();
  void converse(os::Fd connection);
  /// False when the connection is to be closed.
  bool answer(int fd, const HttpRequest& request);

  os::Fd listener_;
  int port_;
  Handler handler_;
  std::atomic<bool> stopping_{false};
  std::mutex mutex_;
  std::condition_variable changed_;
  int connections_ = 0;
  std::thread acceptor_;
};

}  // namespace ferry::rehearsal
