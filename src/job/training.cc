#include "job/training.h"

#include "fleet/machine.h"
#include "watch/report.h"

namespace ferry::job {

namespace {
/// The agent pushes its state every two seconds, ten when the job is done; this long a silence means that the
/// connection is dead.
constexpr Millis silence_limit{30'000};
/// The user waits for a cancellation; an agent that lives answers at once.
constexpr Millis cancel_answer_limit{10'000};
constexpr Millis step{50};
}  // namespace

Result<agent::JobStatus> Training::start(Connection& connection, AgentChannel& channel, const agent::JobSpec& spec,
                                         const Preparation* before) {
  const auto asked = channel.client.begin_start(spec, log_.size());
  if (asked && before) {
    auto told = await_preparation(context_, channel, *before);
    // Unless the machine said that it was not, it may have been started: by now, or over a connection before this one.
    asked_to_start_ = told ? told->exit.code == 0 : asked_to_start_ || told.error().kind != Kind::cancelled;
    TRY_SET(ended, "", std::move(told));
    auto heard = before->ended(ended);
    if (!asked_to_start_) TRY("", std::move(heard));
  }
  asked_to_start_ = true;
  auto begun = asked ? channel.client.await_start(*asked) : tl::unexpected<Error>(asked.error());
  refused_ = begun ? begun->reason == agent::not_started : agent::is_answer(begun.error());
  if (!asked && refused_) return agent::refused_start(asked.error());
  if (!begun) return fail("start the job", connection.explained(channel, std::move(begun).error()));
  return begun;
}

Result<Followed> Training::setup(Connection& connection, const agent::JobSpec& spec, const Preparation* before) {
  const bool starts = !cancelled_ && context_.interrupt != fleet::Interrupt::cancel;
  TRY_SET(channel, "",
          starts && before ? connection.agent_after(before->command, before->input) : connection.agent_at_once());
  if (starts) {
    TRY_SET(status, "", start(connection, channel, spec, before));
    if (refused_) return Followed{.status = std::move(status)};
    started_ = true;
    if (status.state == agent::JobState::running) {
      // There was no setup. What the training says meanwhile, follow() hears over the same channel.
      heard_ = true;
      connection.keep(std::move(channel));
      return Followed{.status = std::move(status)};
    }
  }
  auto followed = watch(channel.client, Until::running);
  if (!followed) return tl::unexpected<Error>(connection.explained(channel, std::move(followed).error()));
  if (followed->status.state == agent::JobState::running) connection.keep(std::move(channel));
  return followed;
}

Result<Followed> Training::follow(Connection& connection) {
  TRY_SET(channel, "", connection.agent_at_once());
  auto followed = watch(channel.client, Until::done);
  if (!followed) return tl::unexpected<Error>(connection.explained(channel, std::move(followed).error()));
  return followed;
}

void Training::take(agent::LogChunk chunk) {
  const bool is_error = chunk.stream == agent::LogStream::err;
  // What cannot be stored here is no reason to look away from the training.
  auto fresh = log_is_broken_ ? Result<std::string>(log_.only_count(chunk)) : log_.append(chunk);
  if (!fresh) {
    log_is_broken_ = true;
    context_.progress.warn("train",
                           fmt::format("the log cannot be kept here for now: {}{}; it is completed "
                                       "from the machine before that is released",
                                       fresh.error().what, fresh.error().why.empty() ? "" : ": " + fresh.error().why));
    fresh = log_.only_count(std::move(chunk));
  }
  if (!fresh->empty()) context_.progress.output(*fresh, is_error);
}

void Training::take(const agent::JobStatus& status) {
  watch::Live live;
  const auto now = context_.clock.now_ms();
  live.elapsed = Millis(status.run_started_ms ? std::max<std::int64_t>(0, now - run_.train_start_ms) : 0);
  if (run_.train_start_ms == 0) live.elapsed = Millis(0);
  if (const auto instances = context_.ledger.instances(run_.name)) live.spent = watch::total_spent(*instances, now);
  live.cpu_percent = status.cpu_percent;
  context_.progress.live(live);
  const bool lived_on = status.state != agent::JobState::idle && status.reason != "lost";
  if (status.notice && told_notice_ != status.notice->kind) tell(*status.notice);
  if (std::exchange(tell_again_, false) && lived_on) context_.progress.note("connected again; no output is lost");
}

void Training::tell(const agent::Notice& notice) {
  told_notice_ = notice.kind;
  if (noticed) noticed();
  if (notice.kind == agent::Notice::Kind::rebalance)
    return context_.progress.warn("train", "the cloud says that it may soon take the machine back");
  const auto left = Seconds(std::clamp<std::int64_t>((notice.time_ms - context_.clock.now_ms()) / 1000, 0, 600));
  context_.progress.warn("train", fmt::format("the cloud takes the machine back in {}: the training is told to save",
                                              show_duration(left)));
}

Status Training::ask_to_stop(agent::Client& client) {
  const auto usual = std::exchange(client.silence_limit, cancel_answer_limit);
  auto asked = client.cancel(cancel_grace);
  client.silence_limit = usual;
  TRY("cancel the job", std::move(asked));
  if (asked_to_stop_ms_ == 0) {
    asked_to_stop_ms_ = context_.clock.steady_ms();
    context_.progress.warn("train", "stopping the training, then bringing home what it saved");
  }
  return {};
}

Result<Followed> Training::watch(agent::Client& client, Until until) {
  if (client.reached() != log_.size()) TRY("", client.attach(log_.size()));
  Followed now;
  auto heard = context_.clock.steady_ms(), log_heard = heard;
  bool asked_this_one = false;
  while (true) {
    now.interrupt = context_.check_signals(true);
    if (context_.letting_go) return fail(Kind::cancelled, "stopped waiting for the training");
    if (now.interrupt == fleet::Interrupt::detach) return now;
    if (now.interrupt == fleet::Interrupt::cancel) cancelled_ = true;
    if (cancelled_ && !std::exchange(asked_this_one, true)) TRY("", ask_to_stop(client));
    const auto patience = Millis(cancel_grace + cancel_patience).count();
    if (asked_to_stop_ms_ > 0 && context_.clock.steady_ms() - asked_to_stop_ms_ > patience)
      return fail(Kind::conflict, "the training does not end although it was cancelled");

    TRY_SET(event, "", client.next(step));
    const auto time = context_.clock.steady_ms();
    if (!event) {
      if (time - heard > silence_limit.count()) return fail(Kind::lost, "the agent fell silent");
      continue;
    }
    heard = time;
    heard_ = true;
    if (event->log && until == Until::running && event->log->phase == agent::LogPhase::run) {
      // Setup is over before its state was told. What the training wrote is read again by follow().
      TRY_SET(status, "", client.status());
      now.status = status;
      return now;
    }
    if (event->log) {
      log_heard = time;
      take(std::move(*event->log));
    }
    if (!event->state) continue;
    now.status = *event->state;
    take(now.status);
    if (now.status.state == agent::JobState::idle) return now;
    if (until == Until::running && now.status.state == agent::JobState::running) return now;
    if (now.status.state != agent::JobState::done) continue;
    if (log_.size() >= now.status.log_size) return now;
    if (time - log_heard > silence_limit.count()) {
      context_.progress.warn("train", fmt::format("the machine says that the log has {} bytes, but sends only {}",
                                                  now.status.log_size, log_.size()));
      return now;
    }
  }
}

Status read_log(fleet::Context& context, Connection& connection, std::uint64_t from,
                const std::function<Status(agent::LogChunk)>& take) {
  TRY_SET(channel, "", connection.agent());
  TRY_SET(status, "", channel.client.status());
  if (from >= status.log_size) return {};
  TRY("", channel.client.attach(from));
  auto heard = context.clock.steady_ms();
  while (from < status.log_size) {
    TRY_SET(event, "", channel.client.next(step));
    context.check_signals(true);
    if (context.letting_go) return fail(Kind::cancelled, "stopped waiting for the log");
    const auto now = context.clock.steady_ms();
    if (event && event->log) {
      if (event->log->offset > from) return fail(Kind::corrupt, "the agent left out a part of the log");
      from = std::max(from, event->log->offset + event->log->bytes.size());
      TRY("", take(std::move(*event->log)));
      heard = now;
    } else if (now - heard > silence_limit.count()) {
      return fail(Kind::lost, "the agent does not send the rest of the log");
    }
  }
  return {};
}

Result<agent::JobStatus> stop_training(fleet::Context& context, Connection& connection) {
  const auto is_over = [](const agent::JobStatus& status) {
    return status.state == agent::JobState::done || status.state == agent::JobState::idle;
  };
  TRY_SET(channel, "", connection.agent());
  TRY_SET(status, "", channel.client.status());
  if (is_over(status)) return status;
  context.progress.warn("down", "stopping the training, then bringing home what it saved");
  TRY("stop the training", channel.client.cancel(cancel_grace));
  TRY("", channel.client.attach(status.log_size));
  const auto patience = Millis(cancel_grace + cancel_patience).count();
  const auto asked = context.clock.steady_ms();
  auto heard = asked;
  while (true) {
    context.check_signals(true);
    if (context.letting_go) return fail(Kind::cancelled, "stopped waiting for the training");
    TRY_SET(event, "", channel.client.next(step));
    const auto now = context.clock.steady_ms();
    if (event) heard = now;
    if (event && event->state && is_over(*event->state)) return *std::move(event->state);
    if (now - heard > silence_limit.count()) return fail(Kind::lost, "the agent fell silent");
    if (now - asked > patience) return fail(Kind::conflict, "the training does not end although it was told to");
  }
}

Status complete_log(fleet::Context& context, Connection& connection, LocalLog& log) {
  return read_log(context, connection, log.size(), [&](agent::LogChunk chunk) -> Status {
    TRY("", log.append(std::move(chunk)));
    return {};
  });
}

}  // namespace ferry::job
