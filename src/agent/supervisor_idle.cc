// The part of the supervisor that ends a job which does nothing.

#include <fmt/format.h>

#include "agent/supervisor.h"
#include "base/text.h"

namespace ferry::agent {

std::set<pid_t> Supervisor::spared() const {
  auto out = store_ ? store_->processes() : std::set<pid_t>();
  if (idle_) out.merge(idle_->processes());
  return out;
}

void Supervisor::step_idle() {
  const bool is_over = job_->phase() == LogPhase::run && job_->exit_code();
  if (stop_ || is_over) return;
  const auto now = clock_.steady_ms();
  idle_->step(now, spared(), printed_);
  if (is_ending_idle()) {
    // One that was told may only be saving.
    if (!asked_->is_told && idle_->quiet_since() > asked_->at) take_back_asking("the training goes on");
    return;
  }
  if (asked_ || interruption_ || is_interrupted() || !idle_->is_idle(now)) return;
  // Twice a tenth: it is looked at meanwhile whether it goes on.
  const auto left = asked_before(on_limit_ ? on_limit_->grace_s : 0, 2 * idle_->limit());
  ask_to_save(std::string(idled), left.count());
}

}  // namespace ferry::agent
