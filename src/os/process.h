#pragma once
/// \file
/// Child processes.

#include <sys/types.h>

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "os/fd.h"
#include "os/file.h"

namespace ferry::os {

using Argv = std::vector<std::string>;

/// Where a child's standard stream goes.
enum class Stream { inherit, pipe, null };

struct SpawnOptions {
  Argv argv;                               ///< argv[0] is looked up in PATH unless it has a slash
  std::map<std::string, std::string> env;  ///< added to (or replacing in) the environment
  bool clean_env = false;                  ///< start from an empty environment instead of ours
  Path cwd;                                ///< empty: ours
  Stream in = Stream::null, out = Stream::inherit, err = Stream::inherit;
  int in_fd = -1, out_fd = -1, err_fd = -1;  ///< if >= 0, used instead (not closed here)
  std::vector<int> keep_fds;                 ///< inherited under the same number
  bool new_session = false;                  ///< setsid(): own session and process group
  bool new_group = false;                    ///< own process group, same session
  bool die_with_parent = false;              ///< PR_SET_PDEATHSIG SIGKILL
  bool ignore_ends = false;                  ///< SIGTERM, SIGINT and SIGHUP, from its first moment on
};

/// How a process ended: exit code, or 128 + signal as shells say.
struct Exit {
  int code = 0;
  int signal = 0;  ///< 0 unless a signal ended it
};

/// A running child. The destructor does not kill it; it reaps it if it already ended.
class Process {
 public:
  /// Fails not_found when argv[0] does not exist, denied when it may not be run.
  static Result<Process> spawn(const SpawnOptions& options);
  Process(Process&&) noexcept;
  Process& operator=(Process&&) noexcept;
  ~Process();

  pid_t pid() const { return pid_; }
  Fd in, out, err;  ///< our ends of those streams that are Stream::pipe

  /// Nothing if it still runs after `limit`; negative waits for ever. May be called again after the end.
  std::optional<Exit> wait(Millis limit);
  /// To the process, or to its whole group if it was spawned with new_session or new_group.
  void signal(int number);

 private:
  Process() = default;
  pid_t pid_ = -1;
  bool group_ = false;
  std::optional<Exit> exit_;
};

struct Output {
  Exit exit;
  std::string out, err;
};
/// Our ends of a program's standard streams.
struct StandardStreams {
  Fd &in, &out, &err;
};
/// Feeds `input` and collects both outputs (at most 64 MiB each) until both are closed, or the time is over (false):
/// `end`, of Clock::steady_ms().
Result<bool> exchange(StandardStreams process, std::string_view input, Output& output, std::int64_t end);
/// Runs to the end with `input` on its standard input, collecting both outputs (at most 64 MiB each).
/// A non-zero exit is a value. After `limit` it is killed: Kind::timeout.
Result<Output> run_command(SpawnOptions options, std::string_view input = {}, Millis limit = Millis(60'000));

/// The path of the running program (/proc/self/exe).
Path self_program();
/// Full path of `name` in PATH, if there is one that can be executed.
std::optional<Path> find_program(std::string_view name);
/// Field 22 of /proc/PID/stat (start time in clock ticks): with the pid it names a process for good. 0 if
/// gone.
std::uint64_t process_start_time(pid_t pid);

}  // namespace ferry::os
