// Whatever a client sends, to a handler that reads the body in pieces of changing size, or not at all.
#include <cstddef>

#include "os/http_server_fuzzing.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ferry::os;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  converse_about(bytes, [](const ServedRequest& request, BodyReader& body) {
    ServedReply reply;
    std::array<char, 64> part;
    for (std::size_t room = request.target.size() % part.size(); room > 0; room = (room * 7 + 1) % part.size()) {
      const auto got = body.read(std::span(part).first(room));
      if (!got || *got == 0) break;
      reply.body.append(part.data(), *got);
    }
    // What a client said may come back to it in a header.
    reply.headers = {
        {"X-Method", request.method}, {"X-Target", request.target}, {"X-Agent", request.header("user-agent")}};
    reply.close = request.target.ends_with('!');
    return reply;
  });
  return 0;
}
