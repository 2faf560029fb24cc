#pragma once
/// \file
/// For tests: an HTTP server on a loopback port the kernel picks, whose answers a function gives.

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "os/http.h"
#include "os/http_server.h"

namespace ferry::aws {

/// Serves one connection at a time, and remembers what was asked. The function runs on the server's threads,
/// one after another.
class LoopbackServer {
 public:
  using Answer = std::function<os::HttpResponse(const os::HttpRequest&)>;
  explicit LoopbackServer(Answer answer)
      : answer_(std::move(answer)),
        server_(std::move(*os::HttpServer::start(
            0, [this](const auto& request, auto& body) { return reply(request, body); }, {.connections = 1}))) {}

  std::string url() const { return "http://127.0.0.1:" + std::to_string(server_->port()); }
  /// Requests so far; `url` is the path and query.
  std::vector<os::HttpRequest> asked() {
    const std::lock_guard lock(mutex_);
    return asked_;
  }
  /// That something was asked over.
  int connections() {
    const std::lock_guard lock(mutex_);
    return connections_;
  }

 private:
  os::ServedReply reply(const os::ServedRequest& head, os::BodyReader& body) {
    os::HttpRequest request;
    request.method = head.method;
    request.url = head.target;
    request.headers = head.headers;
    request.body = body.read_all(1 << 20).value_or("");
    {
      const std::lock_guard lock(mutex_);
      thread_local bool is_known = false;  // each connection has a thread of its own
      if (!std::exchange(is_known, true)) ++connections_;
      asked_.push_back(request);
    }
    auto answer = answer_(request);
    os::ServedReply out;
    out.status = answer.status;
    out.headers = std::move(answer.headers);
    out.body = std::move(answer.body);
    return out;
  }

  Answer answer_;
  std::mutex mutex_;
  std::vector<os::HttpRequest> asked_;
  int connections_ = 0;
  std::unique_ptr<os::HttpServer> server_;  // ends first
};

}  // namespace ferry::aws
