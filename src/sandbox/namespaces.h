#pragma once
/// \file
/// Making the first process of an instance: in namespaces of its own, or (plain mode) an ordinary child that
/// adopts its orphans.

#include <functional>

#include "sandbox/channel.h"
#include "sandbox/sandbox.h"

namespace ferry::sandbox {

struct FirstProcess {
  pid_t pid = 0;  ///< as seen from outside
  Channel channel;
};

/// Forks it and waits until it cannot outlive this process: from then on the kernel kills it with us (in
/// plain mode it is told by SIGTERM). It waits for the word "go" on the channel and then runs `body` with the
/// descriptor that came along; the value is its exit code; without "go" it ends. The child keeps no descriptor but 0,
/// 1, 2 and the channel. In root mode the network is the caller's until `body` enters another. Call with one thread.
Result<FirstProcess> start_first_process(Mode mode, const std::function<int(Channel, os::Fd)>& body);

/// Whether this process may make the namespaces of `mode` and mount in them: tries it all in a child. (A root
/// inside needs more: trial.h.)
ferry::Status try_namespaces(Mode mode);

/// Writes a file of /proc in one go.
ferry::Status write_proc(const std::string& path, const std::string& text);

/// Inside, in a network namespace of its own: brings lo up with 127.0.0.1, 169.254.169.254 and `private_ip`.
ferry::Status raise_network(const std::string& private_ip);

}  // namespace ferry::sandbox
