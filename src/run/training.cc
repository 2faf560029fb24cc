#include "run/training.h"

#include "run/machine.h"
#include "watch/report.h"

namespace ferry::run {

namespace {
/// The agent pushes its state every two seconds; this long a silence means that the connection is dead.
constexpr Millis silence_limit{30'000};
constexpr Millis step{50};
}  // namespace

Result<Followed> Training::setup(Link& link, const agent::JobSpec& spec) {
  TRY_SET(channel, "", link.agent());
  TRY_SET(started, "start the job", channel.client.start(spec));
  if (started.reason == agent::not_started) return Followed{.status = std::move(started)};
  return watch(channel.client, Until::running);
}

Result<Followed> Training::follow(Link& link) {
  TRY_SET(channel, "", link.agent());
  return watch(channel.client, Until::done);
}

Status Training::take(agent::LogChunk chunk) {
  const bool is_error = chunk.stream == agent::LogStream::err;
  TRY_SET(fresh, "", log_.append(std::move(chunk)));
  if (!fresh.empty()) doors_.progress.output(fresh, is_error);
  return {};
}

void Training::show_live(const agent::JobStatus& status) {
  watch::Live live;
  const auto now = doors_.clock.now_ms();
  live.elapsed = Millis(status.run_started_ms ? std::max<std::int64_t>(0, now - run_.train_start_ms) : 0);
  if (run_.train_start_ms == 0) live.elapsed = Millis(0);
  if (const auto instances = doors_.ledger.instances(run_.name))
    live.spent = watch::total_spent(*instances, now);
  live.cpu_percent = status.cpu_percent;
  doors_.progress.live(live);
}

Result<Followed> Training::watch(agent::Client& client, Until until) {
  TRY("", client.attach(log_.size()));
  Followed now;
  auto heard = doors_.clock.steady_ms();
  while (true) {
    TRY_SET(event, "", client.next(step));
    if (event) {
      heard = doors_.clock.steady_ms();
      heard_ = true;
      if (event->log && until == Until::running && event->log->phase == agent::LogPhase::run) {
        // Setup is over before its state was told. What the training wrote is read again by follow().
        TRY_SET(status, "", client.status());
        now.status = status;
        return now;
      }
      if (event->log) TRY("", take(std::move(*event->log)));
      if (event->state) {
        now.status = *event->state;
        show_live(now.status);
        const bool over = now.status.state == agent::JobState::done && log_.size() >= now.status.log_size;
        if (over || now.status.state == agent::JobState::idle) return now;
        if (until == Until::running && now.status.state == agent::JobState::running) return now;
      }
    } else if (doors_.clock.steady_ms() - heard > silence_limit.count()) {
      return fail(Kind::lost, "the agent fell silent");
    }
    const bool can_detach = until == Until::done;
    if (cancel_sent_) continue;
    now.wish = doors_.check_signals(can_detach);
    if (now.wish == Wish::detach) return now;
    if (now.wish == Wish::cancel) {
      TRY("cancel the job", client.cancel(cancel_grace));
      cancel_sent_ = true;
      doors_.progress.warn("train", "stopping the training, then bringing home what it saved");
    }
  }
}

}  // namespace ferry::run
