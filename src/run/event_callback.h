#pragma once
/// \file
/// The task's event_callback: a command on this computer for each change of the run's state. Internal to this room.

#include <deque>
#include <optional>

#include "fleet/context.h"
#include "fleet/run_dir.h"
#include "os/process.h"

namespace ferry::run {

/// In Run::task: the command, and which events were told of ("1:STARTED").
inline constexpr const char* callback_command = "event_callback";
inline constexpr const char* told_events = "told_events";

/// How an ended run is called in JOB_STATUS: "SUCCEEDED", "FAILED", "CANCELLED".
std::string_view job_status(ledger::Outcome outcome);

/// Runs the command of one run, one event after the other, beside the run: nothing waits for it, it holds no lock, and
/// what goes wrong with it is a warning. Each event of an attempt is told once, by whichever ferry comes to it first:
/// it is noted in the ledger before the command is started. The command has a minute.
class EventCallback {
 public:
  EventCallback(fleet::Context& context, const fleet::RunDir& run_dir) : context_(context), run_dir_(run_dir) {}
  /// Nothing for a run without a command. `status`: in SkyPilot's words; `state`: in ferry's. Notes it in `run.task`.
  void tell(ledger::Run& run, int attempt, std::string_view status, std::string_view state);
  /// Goes on with what waits. Cheap.
  void tick();
  /// Something runs or waits.
  bool is_busy() const { return running_ || !waiting_.empty(); }
  /// Waits a minute at most, or until the user asks for something, for what was not run yet. To be called when no lock
  /// is held.
  void finish();
  /// Does not wait: what was started ends by itself.
  void let_go();

 private:
  struct Event {
    std::string command, head;
    std::map<std::string, std::string> env;
    os::Path cwd;
  };
  void start();

  fleet::Context& context_;
  const fleet::RunDir& run_dir_;
  std::deque<Event> waiting_;
  std::optional<os::Process> running_;
  std::string now_;  // what runs is told of
};

}  // namespace ferry::run
