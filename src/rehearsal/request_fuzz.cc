// What a client sends over a socket, then the form parser and the signature check on whatever came through.
#include <cstddef>

#include "os/http_server_fuzzing.h"
#include "rehearsal/http_message.h"
#include "rehearsal/query.h"
#include "rehearsal/sigv4.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ferry;
  using namespace ferry::rehearsal;
  const auto handler = [](const os::ServedRequest& head, os::BodyReader& body) {
    const auto request = whole_message(head, body);
    if (!request) return refusal(request.error());
    const auto params = Params::parse(request->body);
    (void)params.items("Filter");
    (void)params.list("InstanceId");
    (void)check_signature(*request, {"AKIA", "secret"}, "us-east-1", 0, Millis(1000));
    return served({.status = 200, .content_type = "text/plain", .headers = {}, .body = request->path, .drop = false});
  };
  os::converse_about({reinterpret_cast<const char*>(data), size}, handler);
  return 0;
}
