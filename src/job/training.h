#pragma once
/// \file
/// Following a job on the instance: its log to the laptop's copy and the screen, its state to the caller.

#include "job/connection.h"
#include "job/local_log.h"
#include "job/preparation.h"

namespace ferry::job {

/// How the following ended.
struct Followed {
  agent::JobStatus status;
  fleet::Interrupt interrupt =
      fleet::Interrupt::go_on;  ///< detach: the job goes on; cancel: it was asked to stop and `status` is its end
};

class Training {
 public:
  /// All must outlive this. `cancelled`: the job is asked to stop as soon as it can be, and never started.
  Training(fleet::Context& context, const ledger::Run& run, LocalLog& log, bool cancelled)
      : context_(context), run_(run), log_(log), cancelled_(cancelled) {}

  /// Starts the job (Does nothing if it was started before) and waits until setup is over, or detaches. A value whose
  /// state is done means that setup failed. After an error, see nothing_ran().
  /// `before` (may be none): what the machine does first, in the same flight; where that fails, so does this, and
  /// nothing is started. After a broken connection the same again goes on with it.
  Result<Followed> setup(Connection& connection, const agent::JobSpec& spec, const Preparation* before = nullptr);
  /// Follows until the job is over and every byte of its log is here. A lost connection is `lost`: open a new
  /// link and call again. Fails `conflict` when the job does not end although it was asked to, `cancelled`
  /// when the user lets go.
  Result<Followed> follow(Connection& connection);
  /// Whether the agent told anything since this was asked last.
  bool heard() { return std::exchange(heard_, false); }
  /// The agent answered that it started the job.
  bool was_started() const { return started_; }
  /// Nothing of the job can ever have run: the agent answered that it will not start it, or was never asked
  /// to.
  bool nothing_ran() const { return refused_ || !asked_to_start_; }
  /// Called when the machine says that the cloud takes it back, or may soon. May be empty.
  std::function<void()> noticed;
  /// The connection was lost and is there again: told once the job turns out to have lived on.
  void is_connected_again() { tell_again_ = true; }

 private:
  enum class Until { running, done };
  Result<agent::JobStatus> start(Connection& connection, AgentChannel& channel, const agent::JobSpec& spec,
                                 const Preparation* before);
  Result<Followed> watch(agent::Client& client, Until until);
  Status ask_to_stop(agent::Client& client);
  void take(agent::LogChunk chunk);
  void take(const agent::JobStatus& status);
  void tell(const agent::Notice& notice);

  fleet::Context& context_;
  const ledger::Run& run_;
  LocalLog& log_;
  bool cancelled_ = false;
  std::int64_t asked_to_stop_ms_ = 0;  // steady; 0: was not
  bool asked_to_start_ = false, started_ = false, refused_ = false;
  bool heard_ = false, tell_again_ = false, log_is_broken_ = false;
  std::optional<agent::Notice::Kind> told_notice_;
};

/// Hands over the machine's log from `from` on, in order, up to what the machine has by now. Fails lost when it
/// does not send it, cancelled when the user lets go, and as `take` does.
Status read_log(fleet::Context& context, Connection& connection, std::uint64_t from,
                const std::function<Status(agent::LogChunk)>& take);

/// Asks a training that still runs to stop, and waits until it has saved what it can: at most cancel_grace and
/// cancel_patience. Does nothing where none runs. Returns how it stands then. Fails lost or conflict when it goes on,
/// cancelled when the user lets go.
Result<agent::JobStatus> stop_training(fleet::Context& context, Connection& connection);

/// Brings what `log` lacks of the machine's log, without showing it; fails as read_log().
Status complete_log(fleet::Context& context, Connection& connection, LocalLog& log);

/// How long a cancelled training may take to save what it has, after SIGTERM.
inline constexpr Seconds cancel_grace{30};
/// How much longer than that it may say that it is still stopping.
inline constexpr Seconds cancel_patience{120};

}  // namespace ferry::job
