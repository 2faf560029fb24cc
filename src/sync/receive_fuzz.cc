// Whatever a sender says, the receiver neither crashes nor writes outside its root. The bytes are what comes
// after the greeting, before compression. They are prepared in memory, and so is the folder: nothing waits.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <zstd.h>

#include <cstdlib>
#include <string>

#include "os/file.h"
#include "sync/channel.h"
#include "sync/sync.h"

namespace {

using namespace ferry;

/// Everything a sender says, as a file that is read to its end.
int conversation(const std::uint8_t* data, std::size_t size) {
  static const int file = ::memfd_create("sender", MFD_CLOEXEC);
  std::string bytes(sync::greeting);
  bytes += sync::protocol_version;
  const std::size_t head = bytes.size();
  bytes.resize(head + ZSTD_compressBound(size));
  bytes.resize(head + ZSTD_compress(bytes.data() + head, bytes.size() - head, data, size, 1));
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
    if (name != "root" && name != "state") std::abort();
    (void)os::remove_all(playground() / name);
  }
  return 0;
}
