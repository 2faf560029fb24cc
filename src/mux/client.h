#pragma once
/// \file
/// The laptop's end of a connection: programs on the machine as if they were processes here.

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "base/units.h"
#include "mux/frame.h"
#include "os/fd.h"
#include "os/process.h"

namespace ferry::mux {

class Client;

/// A program on the machine (or one of its ports) with pipes to it. Destroyed, it closes those; the program sees the
/// ends of its own, and is not killed.
class Command {
 public:
  Command(Command&&) noexcept = default;
  Command& operator=(Command&&) noexcept = default;

  os::Fd in, out, err;  ///< our ends: its standard input, output and error

  /// Its end, as os::Process::wait() tells it. When the connection ended before: signal SIGHUP.
  std::optional<os::Exit> wait(Millis limit);
  /// To it and all that it started, unless they made themselves independent. After SIGKILL nothing of it is waited for:
  /// its end is that, whatever the machine says, and the streams end here.
  void signal(int number);

 private:
  friend class Client;
  struct Shared;
  explicit Command(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}
  std::shared_ptr<Shared> shared_;
};

/// Begins another ssh to the machine, by which `ferry-agent mux-join TOKEN` runs there, with pipes for its standard
/// input and output. Called by the connection's thread: it must not wait.
using LinkOpener = std::function<Result<os::Process>(const std::string& token)>;

/// One connection. Any thread may call; a thread of its own moves the bytes.
class Client {
 public:
  /// `in` is read and `out` written; they lead to a mux::serve(). `err` (may be none) is what carries them complaining,
  /// `first` what was read of `in` already. Where one ssh is less than the line (widening.h), `opener` opens more, and
  /// they carry the large streams' data together; without it there is never another. The end of any is the
  /// connection's.
  Client(os::Fd in, os::Fd out, os::Fd err, std::string first, LinkOpener opener = {});
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  /// Never waits: that the machine has no such program shows as exit code 127, with words on its standard error. Fails
  /// lost when the connection is gone, bad_input for a command line that is too long.
  Result<Command> open(const Order& order, Lane lane);
  /// Lets `listener`, a listening socket, lead to a port of the machine's loopback as long as the connection lives.
  Status forward(os::Fd listener, int port);
  /// True until the connection ended.
  bool alive() const;
  /// Why it ended, when it did; what carried it has said `complaint` meanwhile (its last 64 KiB).
  Error why() const;
  std::string complaint() const;
  /// Ends the connection, as the destructor does, and says whether no command and no port was in use any more: then
  /// nothing is lost if what carries the connection is ended at once. Once.
  bool close();

 private:
  class Mover;
  std::unique_ptr<Mover> mover_;
};

}  // namespace ferry::mux
