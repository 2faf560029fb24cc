#pragma once
/// \file
/// The scripts of a job as running processes. Each script has a session and process group of its own, no
/// standard input, and a pipe for each output.

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/protocol.h"
#include "agent/spool.h"
#include "agent/tree.h"
#include "os/file.h"
#include "os/process.h"

namespace ferry::agent {

/// The processes of one job: those of its setup (background services it started live on) and those of its
/// run. One thread.
class Job {
 public:
  /// `dir`: where scripts too long for a command line are put. `marker`: "NAME=value" to be in every
  /// process's environment.
  Job(os::Path dir, JobSpec spec, std::string marker)
      : dir_(std::move(dir)), spec_(std::move(spec)), marker_(std::move(marker)) {}

  const JobSpec& spec() const { return spec_; }
  /// A variable for what is launched from now on.
  void add_variable(const std::string& name, std::string value) { spec_.env.emplace_back(name, std::move(value)); }
  /// Starts the phase's script: with bash, or sh where there is no bash. Only SIGKILL to the agent takes it
  /// along.
  Status launch(LogPhase phase);
  /// Forgets environment and scripts, secrets among them, once nothing is left to launch.
  void forget_spec();

  LogPhase phase() const { return phase_; }
  const std::string& workdir() const { return spec_.workdir; }
  /// The phase's shell ended with this code (128 + signal).
  std::optional<int> exit_code() const { return exit_code_; }
  /// Reaps whatever ended.
  void reap_ended();
  /// SIGTERM to the phase's process group, but not yet to those of it that read what others of it write: the
  /// writers must be able to say what they saved.
  void terminate();
  /// A signal to those processes of the phase (SIGTERM: of its group, as in terminate()) that handle it, but to none
  /// that another one of them has forked (a data loader's worker has its parent's handlers, and nothing to save).
  /// Returns how many get it.
  std::size_t tell(int number);
  /// SIGTERM to those whose writers have been gone for a moment, or, with `all`, to every one that was left
  /// out, and to what they started meanwhile. Call it now and then after terminate().
  void terminate_readers(std::int64_t now, bool all);
  /// Some of the group were not told to end yet.
  bool has_readers() const { return !readers_.empty(); }
  /// SIGKILL to every process below this one but `without` and what is below those.
  void kill_all(const std::set<pid_t>& without);
  /// Some process of the phase's group is left.
  bool group_alive() const;

  /// The ends of pipes to wait for.
  std::vector<int> sources() const;
  /// Reads once from a pipe that can be read, into the spool.
  void read(int source, Spool& spool);
  /// Reads what is left in all pipes, and closes them.
  void read_rest(Spool& spool);
  /// All of the phase's pipes have ended.
  bool drained() const;

 private:
  struct Source {
    os::Fd fd;
    LogStream stream;
    LogPhase phase;
  };
  std::map<std::string, std::string> environment() const;
  std::set<pid_t> busy_readers(const std::vector<pid_t>& group) const;
  Result<os::Argv> shell_for(const std::string& script) const;

  os::Path dir_;
  JobSpec spec_;
  bool only_outlives_ = false;  // what runs begins so (outlives_its_end)
  std::string marker_;
  LogPhase phase_ = LogPhase::setup;
  std::optional<os::Process> shell_;
  std::optional<int> exit_code_;
  std::map<Named, std::int64_t> readers_;  ///< since when (steady_ms) their writers are gone; 0: they are not
  std::set<Named> told_;                   ///< to end
  std::vector<Source> sources_;
};

}  // namespace ferry::agent
