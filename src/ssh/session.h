#pragma once
/// \file
/// One OpenSSH connection to one machine, shared by everything that ferry does there: one process of ssh, and over it
/// the streams of mux/frame.h, served by ferry's own program on the machine; two more processes at most where one was
/// measured to be less than the line (mux/widening.h). The system's ssh client is used, so the
/// user's own config, jump hosts and agents keep working; the config is read and never edited. The host key is pinned
/// before the first byte.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "mux/client.h"
#include "os/file.h"
#include "os/process.h"
#include "ssh/target.h"

namespace ferry::ssh {

/// The program that serves the streams on a machine, for one kind of processor.
struct Program {
  std::string arch;                            ///< as `uname -m` says it
  std::string name;                            ///< of its file in ~/.ferry/bin; another program has another name
  std::function<Result<std::string>()> bytes;  ///< called when the machine has no such file
};
using Programs = std::vector<Program>;

/// What a machine says of itself when it is connected to.
struct Machine {
  std::string home;     ///< the login user's, absolute
  std::string program;  ///< absolute: that of Programs which it runs
};

class Session {
 public:
  /// One try, at most `limit`, or as long as it takes to send the program. Fails `lost` or `timeout` when nobody
  /// answers (a booting machine: ask again), `denied` when our key is refused or another host key answers than the
  /// pinned one, or when the target is none that ssh may be given; `bad_input` when ssh refuses its configuration, or
  /// the login shell has no HOME (do not ask again), `corrupt` when it does not answer as a shell does, `unsupported`
  /// for a processor without a program, `disk_full`.
  static Result<Session> open(const Target& target, const Programs& programs, Millis limit);
  /// For tests, without ssh: a machine that is this computer, with `home` as its HOME and working folder and `env`
  /// added to its environment. As with ssh, the connection is lost when its process is killed: pid().
  static Result<Session> local(const os::Path& home, const Programs& programs,
                               const std::map<std::string, std::string>& env = {});
  /// Over `socket`, at whose other end somebody else's connection leads to `machine`'s program (held.h), which has said
  /// `first` already.
  static Result<Session> held(const Target& target, Machine machine, os::Fd socket, std::string first);
  Session(Session&&) noexcept = default;
  Session& operator=(Session&&) = delete;
  /// Closes the connection (of one that is held, this process's part of it). If this process is killed instead, the
  /// connection ends too: it hangs on a pipe of ours.
  ~Session();

  const Machine& machine() const { return machine_; }

  /// Runs a line of the POSIX shell (sh) to its end. The remote exit code is a value; a broken connection is `lost`.
  Result<os::Output> run(const std::string& command, std::string_view input = {}, Millis limit = Millis(60'000));
  /// Starts a line of the shell.
  Result<mux::Command> spawn(const std::string& command);
  /// Starts a program.
  Result<mux::Command> start(const os::Argv& argv, mux::Lane lane);
  /// Lets the port `local` of this computer's loopback lead to the machine's `remote`, as long as this connection
  /// lives. Fails conflict when the port is taken here (or may not be had), lost when the connection is gone.
  Status forward(int local, int remote);
  /// True while the connection lives.
  bool alive() const { return client_->alive(); }
  /// Whether it is somebody else's: no login was needed.
  bool is_held() const { return !carrier_; }
  /// Of ssh, whose end is the connection's; -1 of one that is held.
  pid_t pid() const { return carrier_ ? carrier_->pid() : -1; }

 private:
  Session(Target target, Machine machine, std::optional<os::Process> carrier, std::unique_ptr<mux::Client> client)
      : target_(std::move(target)),
        machine_(std::move(machine)),
        carrier_(std::move(carrier)),
        client_(std::move(client)) {}
  /// `spawn` begins an ssh, or what is in its place, with a line for the login shell there.
  using Spawn = std::function<Result<os::Process>(const std::string& line, os::Stream err)>;
  static Result<Session> begin(const Target& target, const Programs& programs, Millis limit, Spawn spawn);
  Error lost() const;

  Target target_;
  Machine machine_;
  std::optional<os::Process> carrier_;  // nothing: it is held
  std::unique_ptr<mux::Client> client_;
};

/// Whether a command ended (nothing: it did not in time) without the other end's exit code: the connection broke, or a
/// signal ended it there.
inline bool is_cut_off(const std::optional<os::Exit>& ended) { return !ended || ended->signal != 0; }

}  // namespace ferry::ssh
