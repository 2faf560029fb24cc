#pragma once
/// \file
/// The open connection to a run's machine: ssh, the agent's program on it, and the paths there.

#include <optional>

#include "agent/client.h"
#include "fleet/context.h"
#include "fleet/machine.h"
#include "ssh/session.h"

namespace ferry::job {

/// Everything of a run on the machine lies in these two folders of the login user's home.
struct RemotePaths {
  std::string home;     ///< absolute
  std::string agent;    ///< the agent's program
  std::string run_dir;  ///< ~/.ferry/runs/NAME: the agent's own
  std::string workdir;  ///< ~/ferry/NAME, or ~/.ferry/work/NAME on a machine of the user's own: the user's files
};

/// An agent client and the program that carries it.
struct AgentChannel {
  mux::Command process;
  agent::Client client;
};

/// What ends the tries to connect, besides their limit and Context::letting_go.
enum class MayInterrupt {
  any,      ///< nothing runs there yet: cancelling gives up
  detach,   ///< a job may run there: cancelling it needs the connection
  nothing,  ///< nothing: a start is under way that nobody else could finish
};

/// Error::code of what failed lost or timeout because the agent does not answer, though ssh does.
inline constexpr const char* no_agent_code = "no-agent";

class Connection {
 public:
  /// Tries again while the machine boots, until `limit` (0: one try); asks the cloud for a new address in
  /// between. Uploads the agent if it is missing. A private key or known_hosts that was lost or damaged on
  /// this computer is replaced, the key once, by EC2 Instance Connect. Where nothing runs yet whose connection broke
  /// (MayInterrupt::any), one that is held is used (fleet/held_connection.h). Fails at once when the host key or our
  /// key is refused; not_found when the machine is gone, conflict when it is stopped.
  static Result<Connection> open(fleet::Context& context, cloud::Cloud& cloud, const fleet::RunDir& run_dir,
                                 ledger::Instance instance, Seconds limit, MayInterrupt interruption);

  const RemotePaths& paths() const { return paths_; }
  const ledger::Instance& instance() const { return instance_; }
  ssh::Session& session() { return session_; }

  /// One more channel to the agent (which is started if it does not run). Fails lost; with no_agent_code
  /// where ssh works all the same.
  Result<AgentChannel> agent();
  /// The same (or the one that was kept), without waiting for the agent's first word: what is asked next goes at once.
  /// Where that fails: explained().
  Result<AgentChannel> agent_at_once();
  /// One that is there only once `command`, a line of the shell, has ended well with `input` on its standard input:
  /// what is asked meanwhile goes at once, and waits there (agent/preparation.h).
  Result<AgentChannel> agent_after(const std::string& command, std::string_view input);
  /// For whoever needs one next.
  void keep(AgentChannel channel) { kept_.emplace(std::move(channel)); }
  /// The error of a question asked over agent_at_once(): if the agent never answered, as agent() would have failed.
  Error explained(AgentChannel& channel, Error error);
  /// What the agent says of the job; fails as agent().
  Result<agent::JobStatus> job();
  /// What the agent noted of the job on the machine's disk, read without it: as old as the last change. Idle
  /// where there is no such note, or none that can be understood.
  Result<agent::JobStatus> noted_job();
  /// The shell's words for `ferry-agent WORDS…`.
  std::string agent_command(const os::Argv& words) const;
  /// Starts `ferry-agent WORDS…` with pipes. In the background: with the least claim to the processor as well.
  Result<mux::Command> start_agent_program(const os::Argv& words, mux::Lane lane = mux::Lane::work);

 private:
  Connection(ssh::Session session, RemotePaths paths, ledger::Instance instance)
      : session_(std::move(session)), paths_(std::move(paths)), instance_(std::move(instance)) {}
  Result<mux::Command> start_agent(const os::Argv& more = {});
  Error with_code(Error error);
  ssh::Session session_;
  RemotePaths paths_;
  ledger::Instance instance_;
  std::optional<AgentChannel> kept_;
};

/// Writes the run's known_hosts anew, from the host key that the ledger has (Run::task "host_key"), if it is
/// missing or is not what it was. Fails not_found when neither knows the key. Nothing to do for a machine of
/// the user's own. True if it was written.
Result<bool> ensure_known_hosts(fleet::Context& context, const fleet::RunDir& run_dir,
                                const ledger::Instance& instance);

/// Why a file transfer's other end said nothing: its own words from standard error, or the transfer's error.
Error explain(mux::Command& other_end, Error error);

}  // namespace ferry::job
