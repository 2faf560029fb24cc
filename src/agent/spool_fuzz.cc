#include <sys/mman.h>
#include <unistd.h>

#include "agent/spool.h"

using namespace ferry;
using namespace ferry::agent;

// Any bytes may lie in the file of a log after a crash: it opens, reads to its end, and can be written on.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const os::Fd file(::memfd_create("log", MFD_CLOEXEC));
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  // Sums are hard to guess: the input is also taken as the content of records, followed by itself as a torn
  // end.
  std::string content;
  if (size > 1 && data[0] % 2 == 0 && size <= max_record_bytes) {
    content = encode_record({0, 1, LogStream::out, LogPhase::run, bytes});
    content += encode_record({size, 1, LogStream::err, LogPhase::setup, bytes.substr(size / 2)});
  }
  content += bytes;
  if (!os::write_all(file.get(), content)) return 0;
  auto spool = Spool::open("/proc/self/fd/" + std::to_string(file.get()));
  if (!spool) __builtin_trap();
  spool->add(LogStream::out, LogPhase::run, 2, "more");
  Place place{size > 0 ? data[size - 1] : std::uint64_t{0}, {}};
  std::string out;
  if (!spool->read(place, std::size_t{1} << 20, out)) __builtin_trap();
  if (place.offset < spool->size()) __builtin_trap();
  return 0;
}
