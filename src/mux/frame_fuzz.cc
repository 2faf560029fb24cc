// Frames from whoever is at the other end of a connection, in an engine with streams that read and write files.
#include <fcntl.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "mux/engine.h"
#include "mux/hello.h"

using namespace ferry;
using namespace ferry::mux;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  auto link = *os::make_socketpair();
  Engine* here = nullptr;
  Engine engine(link.read.get(), link.read.get(), [&](const Frame& frame) -> Status {
    if (frame.type == Type::hello) return check_hello(frame.body);
    if (frame.type == Type::exit) here->close(frame.stream);
    if (frame.type == Type::open && !here->has(frame.stream) && here->size() < 8) {
      TRY("", decode_order(frame.body));
      here->join(frame.stream, frame.lane);
      here->write_to(frame.stream, Type::data, os::Fd(::open("/dev/null", O_WRONLY | O_CLOEXEC)));
      here->read_from(frame.stream, Type::data, os::Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC)));
    }
    return {};
  });
  here = &engine;
  for (std::size_t at = 0; at < bytes.size(); at += 97) {
    if (!engine.feed(bytes.substr(at, 97))) break;
    if (!engine.turn(Millis(0), {})) break;
  }
  return 0;
}
