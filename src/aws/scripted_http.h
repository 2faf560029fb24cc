#pragma once
/// \file
/// An HTTP door for tests: answers from a script and remembers what was asked.

#include <deque>
#include <string>
#include <vector>

#include "base/text.h"
#include "os/http.h"

namespace ferry::aws {

class ScriptedHttp final : public os::HttpClient {
 public:
  std::deque<Result<os::HttpResponse>> replies;
  std::vector<os::HttpRequest> asked;

  Result<os::HttpResponse> send(const os::HttpRequest& request) override {
    asked.push_back(request);
    if (replies.empty()) return fail(Kind::bug, "unscripted request: " + request.url + " " + request.body);
    auto reply = std::move(replies.front());
    replies.pop_front();
    return reply;
  }

  void reply(int status, std::string body, std::vector<std::pair<std::string, std::string>> headers = {}) {
    replies.push_back(os::HttpResponse{status, std::move(headers), std::move(body)});
  }
  void reply_fault(int status, const std::string& code, const std::string& message = "because",
                   std::vector<std::pair<std::string, std::string>> headers = {}) {
    reply(status,
          "<?xml version=\"1.0\"?><Response><Errors><Error><Code>" + code + "</Code><Message>" + message +
              "</Message></Error></Errors><RequestID>r-1</RequestID></Response>",
          std::move(headers));
  }
  void reply_error(Kind kind) { replies.push_back(fail(kind, "scripted transport error")); }
};

/// The value of a request's header, by its lower-case name.
inline std::string header_of(const os::HttpRequest& request, std::string_view name) {
  for (const auto& [key, value] : request.headers) {
    if (lower(key) == name) return value;
  }
  return {};
}

}  // namespace ferry::aws
