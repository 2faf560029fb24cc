// Whatever a sender says, the receiver neither crashes nor writes outside its root. The bytes are what comes
// after the greeting, before compression.
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <thread>

#include "os/file.h"
#include "sync/channel.h"
#include "sync/sync.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ferry;
  const os::TempDir temp("fuzz");
  auto pair = os::make_socketpair();
  if (!pair) return 0;
  std::thread sender([&] {
    const os::Fd end = std::move(pair->read);
    sync::Channel channel(end.get(), end.get(), nullptr);
    if (!channel.greet()) return;
    channel.put({reinterpret_cast<const char*>(data), size});
    (void)channel.flush();
    ::shutdown(end.get(), SHUT_WR);
    while (channel.byte()) {
    }
  });
  {
    const os::Fd end = std::move(pair->write);
    sync::ReceiveOptions options;
    options.mirror = true;
    options.state_file = temp.path() / "state";
    (void)sync::receive_tree(end.get(), end.get(), temp.path() / "root", options);
  }
  sender.join();
  const auto names = os::list_dir(temp.path()).value();
  for (const std::string& name : names) {
    if (name != "root" && name != "state") std::abort();
  }
  return 0;
}
