// Frames from whoever is at the other end of a connection, by two links, in an engine with streams that read and write
// files.
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
    if (frame.type == Type::hello) TRY("", check_hello(frame.body));
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
  if (bytes.empty()) return 0;
  engine.join(1, Lane::work);
  engine.write_to(1, Type::data, os::Fd(::open("/dev/null", O_WRONLY | O_CLOEXEC)));
  engine.read_from(1, Type::data, os::Fd(::open("/dev/zero", O_RDONLY | O_CLOEXEC)));
  // The first byte says how much came by the other link, before all else, and whether the other end knew of it.
  const auto how = static_cast<unsigned char>(bytes[0]);
  const auto rest = bytes.substr(1), by_other = rest.substr(0, rest.size() * (how >> 1) / 128);
  auto other = *os::make_socketpair();
  os::Fd again(::dup(other.read.get()));
  if (!engine.add_link({std::move(other.read), std::move(again), os::Fd()}, by_other, (how & 1) != 0)) return 0;
  for (std::size_t at = by_other.size(); at < rest.size(); at += 97) {
    if (!engine.feed(rest.substr(at, 97))) break;
    if (!engine.turn(Millis(0), {})) break;
  }
  return 0;
}
