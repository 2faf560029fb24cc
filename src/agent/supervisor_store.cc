// The part of the supervisor that looks after the run's store, and the end of the machine, which waits for that.

#include <algorithm>

#include "agent/stand_in.h"
#include "agent/supervisor.h"
#include "os/env.h"
#include "sync/outputs.h"

namespace ferry::agent {
namespace {

constexpr std::int64_t store_look_ms = 1'000;
constexpr std::int64_t power_off_retry_ms = 60'000;

}  // namespace

void Supervisor::note_store(const JobSpec& spec) {
  saved_.store = StoreSettings{.spec = spec.store,
                               .run = spec.run,
                               .attempt = spec.attempt,
                               .rank = spec.rank,
                               .workdir = spec.workdir,
                               .sent = options_.dir.string() + "-sync.state",
                               .began_ms = saved_.status.started_ms,
                               .elsewhere = options_.elsewhere.value_or(
                                   sync::usual_elsewhere(os::home_dir(), options_.dir, !options_.may_power_off))};
  saved_.status.store.state = StoreStatus::State::storing;
}

void Supervisor::keep_store() {
  if (!saved_.store || saved_.released || saved_.status.store.state == StoreStatus::State::stored) return;
  const auto program = os::self_program();
  // (The file that runs may have been removed.)
  const os::Path own = os::exists(program) ? program : os::Path("/proc/self/exe");
  store_.emplace(options_.program.empty() ? own : options_.program, options_.dir, *saved_.store, saved_.status.store);
  if (!active()) store_->tell_done(status());
  step_store();
}

void Supervisor::step_store() {
  if (!store_->step(clock_.steady_ms())) return;
  const auto started = store_->processes();
  for (const pid_t pid : started) {
    if (background_) background_->expect(named(pid));
  }
}

void Supervisor::hear_of_store() {
  using State = StoreStatus::State;
  if (!store_->read(clock_.steady_ms())) return;
  StoreStatus& store = saved_.status.store;
  const bool is_news = store.state != store_->status().state || store.problem != store_->status().problem;
  store = store_->status();
  ++version_;
  if (!is_news) return;
  log("store: " + std::string(name(store.state)) + (store.problem.empty() ? "" : ": " + store.problem));
  persist();
  // The job is done, or it could not say so.
  if (store.state == State::stored && may_power_off() && !saved_.released)
    end_at_ = std::min(end_at_, clock_.steady_ms() + options_.farewell.count());
}

void Supervisor::want_no_other() {
  const auto& reason = saved_.status.reason;
  if (!saved_.group || reason == interrupted || reason == "lost") return;
  // Unheard, the group starts a machine that sees in the store that the run is over, and tells it again.
  if (const auto told = want_none(*saved_.group); !told)
    log("the group " + saved_.group->name + " was not told that no other machine is wanted: " + told.error().what);
}

void Supervisor::end_machine() {
  const auto now = clock_.steady_ms();
  // On a user's own machine the store has time until the limit, whatever its trouble is.
  const bool waits = store_ && (store_->is_moving(now) || (!may_power_off() && now < deadline_at_ &&
                                                           store_->status().state == StoreStatus::State::storing));
  if (waits) {
    end_at_ = now + store_look_ms;
    return;
  }
  if (!may_power_off()) {
    over_ = clients_ == 0 || saved_.released;
    end_at_ = clock_.steady_ms() + options_.idle.count();
    return;
  }
  want_no_other();
  log("powering the machine off");
  if (const auto off = power_off(); !off) log(off.error().what + ": " + off.error().why);
  end_at_ = clock_.steady_ms() + power_off_retry_ms;
}

}  // namespace ferry::agent
