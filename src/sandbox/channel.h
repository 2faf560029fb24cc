#pragma once
/// \file
/// The wire between the host process and the first process inside: short texts, and with them at most one
/// descriptor.

#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "os/fd.h"

namespace ferry::sandbox {

struct Message {
  std::string text;
  os::Fd passed;  ///< empty unless one came along
};

/// One end of it. Messages keep their bounds; each is at most 4 KiB.
class Channel {
 public:
  static Result<std::pair<Channel, Channel>> make();
  int fd() const { return fd_.get(); }
  /// False when the other end is gone. Never waits long: a peer that does not read loses the message.
  bool send(std::string_view text, int passed_fd = -1);
  /// Waits for a message. Nothing when the other end is gone.
  std::optional<Message> receive();
  void close() { fd_.reset(); }

 private:
  explicit Channel(os::Fd fd) : fd_(std::move(fd)) {}
  os::Fd fd_;
};

}  // namespace ferry::sandbox
