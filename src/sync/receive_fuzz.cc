// Whatever a sender says, the receiver neither crashes nor writes outside its root. The bytes are what comes
// after the greeting, before compression. They are prepared in memory, and so is the folder: nothing waits.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "os/file.h"
#include "sync/channel.h"
#include "sync/sync.h"

namespace {

using namespace ferry;

/// As blocks (sync/blocks.h) that are not packed.
std::string framed(const std::uint8_t* data, std::size_t size) {
  std::string out;
  while (size > 0) {
    const auto length = std::min(size, sync::largest_block);
    for (auto rest = length * 4; rest > 0; rest >>= 7)
      out += static_cast<char>((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
    out.append(reinterpret_cast<const char*>(data), length);
    data += length;
    size -= length;
  }
  return out;
}

/// Everything a sender says, as a file that is read to its end.
int conversation(const std::uint8_t* data, std::size_t size) {
  static const int file = ::memfd_create("sender", MFD_CLOEXEC);
  const auto bytes = std::string(sync::greeting) + sync::protocol_version + framed(data, size);
  if (::ftruncate(file, 0) < 0 || ::lseek(file, 0, SEEK_SET) < 0 || !os::write_all(file, bytes) ||
      ::lseek(file, 0, SEEK_SET) < 0)
    std::abort();
  return file;
}

/// In memory, where there is such a place.
const os::Path& playground() {
  static const os::TempDir* temp = [] {
    if (::access("/dev/shm", W_OK) == 0) ::setenv("TMPDIR", "/dev/shm", 1);
    static const os::TempDir made("fuzz");
    return &made;
  }();
  return temp->path();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const int deaf = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  sync::ReceiveOptions options;
  options.mirror = true;
  options.state_file = playground() / "state";
  options.without_mode = size > 0 && data[0] % 2 == 0 ? std::optional<std::uint32_t>(077) : std::nullopt;
  (void)sync::receive_tree(conversation(data, size), deaf, playground() / "root", options);
  const auto names = os::list_dir(playground()).value();
  for (const std::string& name : names) {
    if (name != "root" && name != "state" && name != "state.parts" && name != "state.list") std::abort();
    (void)os::remove_all(playground() / name);
  }
  return 0;
}
