#pragma once
/// \file
/// The instance's own loopback address.

#include <string>

#include "base/error.h"
#include "os/fd.h"

namespace ferry::sandbox {

/// A TCP address that is ours but does not answer before start().
class Listener {
 public:
  /// Takes `address`, or if it is empty a random one of 127.64.0.0/10. Port 22 where this process may bind it
  /// and nobody has it, else 2222, else any: two instances may have the same address.
  static Result<Listener> bind(const std::string& address);
  int fd() const { return fd_.get(); }
  const std::string& address() const { return address_; }
  int port() const { return port_; }
  /// Connections are refused until start() and after pause().
  ferry::Status start();
  ferry::Status pause();

 private:
  os::Fd fd_;
  std::string address_;
  int port_ = 0;
};

}  // namespace ferry::sandbox
