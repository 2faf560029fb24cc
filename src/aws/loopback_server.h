#pragma once
/// \file
/// For tests: an HTTP server on a loopback port the kernel picks, whose answers a function gives.

#include <poll.h>

#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/text.h"
#include "os/http.h"
#include "os/socket.h"

namespace ferry::aws {

/// Serves one connection at a time, and remembers what was asked. The function runs on the server's thread.
class LoopbackServer {
 public:
  using Answer = std::function<os::HttpResponse(const os::HttpRequest&)>;
  explicit LoopbackServer(Answer answer)
      : answer_(std::move(answer)),
        listener_(std::move(*os::listen_tcp("127.0.0.1", 0))),
        end_(std::move(*os::make_pipe())),
        thread_([this] { serve(); }) {}
  ~LoopbackServer() {
    end_.write.reset();
    thread_.join();
  }
  LoopbackServer(const LoopbackServer&) = delete;
  LoopbackServer& operator=(const LoopbackServer&) = delete;

  std::string url() const { return "http://127.0.0.1:" + std::to_string(os::local_port(listener_.get())); }
  /// Requests so far; `url` is the path and query.
  std::vector<os::HttpRequest> asked() {
    const std::lock_guard lock(mutex_);
    return asked_;
  }
  int connections() {
    const std::lock_guard lock(mutex_);
    return connections_;
  }

 private:
  /// False when the test is over.
  bool readable(int fd) const {
    std::array<pollfd, 2> polls{{{fd, POLLIN, 0}, {end_.read.get(), POLLIN, 0}}};
    return ::poll(polls.data(), polls.size(), -1) > 0 && polls[1].revents == 0;
  }

  void serve() {
    while (readable(listener_.get())) {
      auto connection = os::accept_one(listener_.get());
      if (!connection) return;
      {
        const std::lock_guard lock(mutex_);
        ++connections_;
      }
      std::string bytes;
      while (auto request = next_request(connection->get(), bytes)) {
        {
          const std::lock_guard lock(mutex_);
          asked_.push_back(*request);
        }
        const auto answer = answer_(*request);
        std::string text = "HTTP/1.1 " + std::to_string(answer.status) +
                           " Status\r\nContent-Length: " + std::to_string(answer.body.size()) + "\r\n";
        for (const auto& [name, value] : answer.headers) text += name + ": " + value + "\r\n";
        (void)os::write_all(connection->get(), text + "\r\n" + answer.body);
      }
    }
  }

  std::optional<os::HttpRequest> next_request(int fd, std::string& bytes) const {
    os::HttpRequest request;
    std::size_t head = std::string::npos, size = 0;
    while (head == std::string::npos || bytes.size() < head + 4 + size) {
      if (!readable(fd)) return std::nullopt;
      const auto more = os::read_some(fd);
      if (!more || more->empty()) return std::nullopt;
      bytes += *more;
      if (head != std::string::npos || (head = bytes.find("\r\n\r\n")) == std::string::npos) continue;
      const auto lines = split(bytes.substr(0, head), '\n');
      const auto words = split(lines[0], ' ');
      request.method = words[0];
      request.url = words[1];
      for (std::size_t i = 1; i < lines.size(); ++i) {
        const auto colon = lines[i].find(':');
        request.headers.emplace_back(lower(lines[i].substr(0, colon)),
                                     std::string(trim(lines[i].substr(colon + 1))));
        if (request.headers.back().first == "content-length") {
          size = static_cast<std::size_t>(parse_int(request.headers.back().second).value_or(0));
        }
      }
    }
    request.body = bytes.substr(head + 4, size);
    bytes.erase(0, head + 4 + size);
    return request;
  }

  Answer answer_;
  os::Fd listener_;
  os::Pipe end_;
  std::mutex mutex_;
  std::vector<os::HttpRequest> asked_;
  int connections_ = 0;
  std::thread thread_;
};

}  // namespace ferry::aws
