#include "run/ending.h"

#include "base/text.h"
#include "run/run.h"

namespace ferry::run {

using ledger::Outcome;

JobEnding ending_of(const agent::JobStatus& status, Seconds max_duration) {
  const auto own = status.run_exit ? status.run_exit : status.setup_exit;
  const auto stopped = [&](int code) { return own.value_or(0) != 0 ? *own : code; };
  const auto& reason = status.reason;
  if (reason == "cancelled") return {Outcome::cancelled, stopped(exit_cancelled), "cancelled"};
  if (reason == "max_duration") {
    return {Outcome::failed, stopped(exit_cut),
            fmt::format("stopped at max_duration ({})", show_duration(max_duration))};
  }
  if (reason == agent::idled)
    return {Outcome::failed, stopped(exit_cut), "stopped because it did nothing for the time that idle says"};
  if (reason == "lost")
    return {Outcome::lost, std::nullopt, "the agent on the machine was killed, and the training with it"};
  if (reason == "stopped")
    return {Outcome::lost, std::nullopt, "the machine was shutting down, and stopped the training"};
  if (reason == agent::interrupted)
    return {Outcome::lost, std::nullopt, "the cloud took the machine back, and the training was told to save and end"};
  if (reason == agent::not_started) {
    return {Outcome::not_started, std::nullopt,
            "the training did not start" + (status.note.empty() ? "" : ": " + printable(status.note))};
  }
  const bool is_well = status.setup_exit.value_or(0) == 0 && status.run_exit == 0;
  if (reason.empty()) return {is_well ? Outcome::none : Outcome::failed, own, ""};
  return {Outcome::failed, is_well ? std::nullopt : own, printable(reason)};  // a later agent's word
}

bool is_durable(const ledger::Run& run) { return run.outputs_home || run.outputs_stored; }

bool awaits_outputs(const ledger::Run& run) {
  return run.outcome == Outcome::none && run.train_end_ms > 0 && run.exit_code == 0;
}

Outcome final_outcome(const ledger::Run& run, Outcome otherwise) {
  if (run.outcome == Outcome::succeeded && !is_durable(run)) return Outcome::lost;  // of an older ferry
  if (run.outcome != Outcome::none) return run.outcome;
  return awaits_outputs(run) && is_durable(run) ? Outcome::succeeded : otherwise;
}

int exit_code_of(const ledger::Run& run) {
  switch (run.outcome) {
    case Outcome::succeeded:
      return is_durable(run) ? run.exit_code.value_or(ferry_failed) : ferry_failed;
    case Outcome::cancelled:
      return run.exit_code.value_or(0) != 0 ? *run.exit_code : exit_cancelled;
    case Outcome::failed:  // 0 was never a failure's own code
      return run.exit_code.value_or(0) != 0 ? *run.exit_code : ferry_failed;
    case Outcome::not_started:
      return run.task.contains(may_start_later) ? try_later : ferry_failed;
    case Outcome::none:
    case Outcome::lost:
      return ferry_failed;
  }
  return ferry_failed;
}

}  // namespace ferry::run
