// The part of a run in which something runs on the machine that only it has: starting the job, following it
// to its end, and finding it again when the connection is lost.
#include "base/text.h"
#include "fleet/polling.h"
#include "job/why_failed.h"
#include "os/env.h"
#include "run/ending.h"
#include "run/run_controller.h"

namespace ferry::run {

using ledger::Outcome;
using ledger::Phase;

namespace {

/// How long a broken connection is tried again before the user gets the prompt back, and a follower goes
/// on.
Seconds lost_limit() {
  if (const auto text = os::env("FERRY_LOST_LIMIT")) {
    if (const auto limit = parse_duration(*text)) return *limit;
  }
  return Seconds(180);
}

/// A follower's tries after that come more and more seldom.
constexpr Millis first_rest{2'000}, longest_rest{30'000};
/// Beyond its own end the machine is only there if its timer failed, and the cloud out of reach, too.
constexpr Seconds beyond_its_end{3600};
/// Connections in a row over which the agent said nothing.
constexpr int most_fruitless = 10;
/// Of which so many are well themselves: then what it noted counts, or what is wanted of it. Each takes ten
/// to thirty seconds.
constexpr int most_unheard = 3;
/// Beyond max_duration, before an agent that does not answer is taken for one that cannot stop the training.
constexpr Seconds beyond_max_duration{300};

/// The last few kilobytes of what the job wrote.
std::string end_of_log(const os::Path& file) {
  constexpr std::size_t most = 8192;
  std::string end;
  job::LogReader reader(file);
  (void)reader.read([&](const agent::LogChunk& chunk) {
    end += chunk.bytes;
    if (end.size() > 2 * most) end.erase(0, end.size() - most);
    return Status();
  });
  return end;
}

}  // namespace

Status RunController::setup(const RunRequest& request, const job::Preflight& ready) {
  // Before the phase begins: until then nothing of the training is on the machine, and it can just be given
  // back.
  TRY_SET(environment, "",
          job::prepare_environment(context_, *connection_, request.task, ready.requirements_file, ready.installers));
  environment_ = std::move(environment);
  run_.task["environment"] = environment_.facts;
  TRY("", context_.ledger.update(run_));
  TRY("", enter(Phase::setup));
  const bool nothing = trim(request.task.setup).empty();
  context_.progress.begin("setup", nothing ? "starting" : "running setup");
  job::Training training(context_, run_, *log_, false);
  if (!request.detach) ports_ = request.task.all_candidates()[0].ports;
  open_tunnels();
  TRY_SET(store, "", store_spec());
  auto spec = job_spec(request.task);
  spec.store = std::move(store);
  spec.store.outputs = request.task.outputs;
  spec.store.checkpoints = request.task.checkpoints;
  auto begun = training.setup(*connection_, spec);
  while (!begun && (begun.error().kind == Kind::lost || begun.error().kind == Kind::timeout)) {
    // Until the agent has confirmed the start, nobody else could make it: secrets are in this process only.
    const auto interruption = training.was_started() ? job::MayInterrupt::detach : job::MayInterrupt::nothing;
    auto again = connect_again("setup", training, std::move(begun).error(), interruption);
    if (!again && detaching_) return {};
    if (!again) begun = tl::unexpected(std::move(again).error());
    if (!again) break;
    begun = training.setup(*connection_, spec);  // a job that was started is not started again
  }
  nothing_ran_ = training.nothing_ran();
  TRY_SET(started, "", std::move(begun));
  if (started.interrupt == fleet::Interrupt::detach) {
    detaching_ = true;
    return {};
  }
  if (started.status.state == agent::JobState::done && !started.status.run_started_ms) {
    TRY("", record_end(started.status));
    const Json data = {{"exit_code", run_.exit_code ? Json(*run_.exit_code) : Json()}};
    const auto code = started.status.setup_exit.value_or(0);
    context_.progress.failed("setup", run_.error.empty() ? fmt::format("exit {}", code) : run_.error, data);
    return {};
  }
  std::string told = nothing ? "nothing to do" : "done";
  if (!environment_.summary.empty()) told = environment_.summary + (nothing ? "" : " · done");
  context_.progress.done("setup", told, {{"environment", environment_.facts}});
  return {};
}

void RunController::open_tunnels() {
  constexpr int most_tries = 20, last_port = 65'535;
  const bool is_here = instance_.address.starts_with("127.");  // a rehearsal: the same port may be this computer's
  for (const int port : ports_) {
    const auto known = tunnels_.find(port);
    const int first = known != tunnels_.end() ? known->second : is_here ? port + 1 : port;
    Status opened;
    int local = first;
    for (; local < std::min(first + most_tries, last_port + 1); ++local) {
      opened = connection_->session().forward(local, port);
      if (opened || opened.error().kind != Kind::conflict) break;
    }
    if (!opened || local > last_port) {
      context_.progress.warn("setup", fmt::format("no tunnel leads to port {} of the machine: {}", port,
                                                  opened ? "none is free here" : opened.error().what));
    } else if (known == tunnels_.end() || known->second != local) {
      tunnels_[port] = local;
      context_.progress.note(fmt::format("port {} of the machine is http://localhost:{} while ferry is attached{}",
                                         port, local, local == port || is_here ? "" : " (that port is taken here)"));
    }
  }
}

Status RunController::record_end(const agent::JobStatus& status) {
  const auto ending = ending_of(status, lifetime_.max_duration);
  was_cut_ = status.reason == "max_duration";
  run_.outcome = ending.outcome;
  run_.exit_code = ending.exit_code;
  run_.error = ending.error;
  if (run_.error.empty() && (ending.exit_code == 126 || ending.exit_code == 127))
    run_.error = job::why_failed(*ending.exit_code, end_of_log(run_dir_.log()));
  run_.train_end_ms = context_.clock.now_ms();
  log_size_ = status.log_size;
  // What the agent has to say besides, of what became of the output or of what was left running.
  if (const auto note = printable(status.note); !note.empty() && ending.error.find(note) == std::string::npos)
    context_.progress.warn("train", note);
  if (status.dropped > 0) {
    const auto cure = instance_.provider == "ssh"
                          ? "make room there"
                          : "a larger one is rented with disk_size, as in  resources: {disk_size: 200}";
    context_.progress.warn("train", fmt::format("the machine's disk is full: {} bytes of what the training printed are "
                                                "lost, and what it saved may be; {}",
                                                status.dropped, cure));
  }
  return context_.ledger.update(run_);
}

Status RunController::reopen_connection(job::MayInterrupt interruption) {
  connection_.reset();
  const auto open = [&](Seconds limit) -> Status {
    TRY_SET(connection, "", job::Connection::open(context_, *cloud_, run_dir_, instance_, limit, interruption));
    connection_.emplace(std::move(connection));
    instance_ = connection_->instance();
    open_tunnels();
    return {};
  };
  auto opened = open(lost_limit());
  if (!is_background_) return opened;
  const auto its_end = instance_.launched_ms + Millis(lifetime_.until_power_off() + beyond_its_end).count();
  bool told = false;
  for (auto rest = first_rest; !opened; rest = std::min(rest * 2, longest_rest)) {
    const auto kind = opened.error().kind;
    const bool may_come_back = kind == Kind::lost || kind == Kind::timeout ||
                               (kind == Kind::not_found && look_at_machine() == Standing::there);
    if (!may_come_back || context_.interrupt != fleet::Interrupt::go_on || context_.clock.now_ms() > its_end)
      return opened;
    if (!std::exchange(told, true)) {
      context_.progress.warn("connect", fmt::format("{}; the cloud does not say that it is gone, so ferry goes "
                                                    "on trying, every {} in the end",
                                                    opened.error().what, show_duration(longest_rest)));
    }
    // Whoever wants something of this run meanwhile, wants one more serious try.
    opened = open(context_.sleep(rest, true) ? Seconds(0) : lost_limit());
  }
  if (told) context_.progress.note(fmt::format("{} answers again", instance_.id));
  return opened;
}

Status RunController::connect_again(const char* phase, job::Training& training, Error lost,
                                    job::MayInterrupt interruption) {
  context_.check_signals(interruption != job::MayInterrupt::any);
  if (context_.letting_go) return fail(Kind::cancelled, "stopped waiting for the connection", lost.what);
  fruitless_ = training.heard() ? 0 : fruitless_ + 1;
  if (fruitless_ >= most_fruitless && !is_background_)
    return fail(Kind::lost, "the agent on the machine does not answer", lost.what);
  if (fruitless_ == 0) repeats_.clear();
  const auto why = lost.why.empty() ? lost.what : lost.why;
  const auto told = repeats_.tell(lost.code == job::no_agent_code
                                      ? "the agent on the machine does not answer (" + why + "); asking again"
                                      : "connection lost (" + why + "); connecting again");
  if (!told.empty()) context_.progress.warn(phase, told);
  if (fruitless_ > 0) context_.sleep(std::min(Millis(500) * fruitless_, longest_rest), true);
  auto opened = reopen_connection(interruption);
  if (!opened && context_.interrupt == fleet::Interrupt::detach && interruption == job::MayInterrupt::detach)
    detaching_ = true;
  if (opened) training.is_connected_again();
  return opened;
}

Result<job::Followed> RunController::follow_and_pull(job::Training& training) {
  const auto least = run_.store.empty() ? job::pull_every() : std::nullopt;  // with a store, what is saved is safe
  if (least) pull_.emplace(*connection_, run_, run_dir_, *least, pulled_);
  auto followed = training.follow(*connection_);
  if (followed && followed->status.state == agent::JobState::done && pull_) pull_->finish(context_);
  pull_.reset();
  return followed;
}

Status RunController::follow_job() {
  job::Training training(context_, run_, *log_, int_at(run_.task, cancel_asked) > 0);
  while (true) {
    auto followed = follow_and_pull(training);
    if (followed) {
      if (followed->interrupt == fleet::Interrupt::detach) {
        detaching_ = true;
        return {};
      }
      if (followed->status.state == agent::JobState::idle) {
        TRY_SET(forgotten, "", was_forgotten());
        run_.outcome = forgotten ? Outcome::lost : Outcome::not_started;
        run_.error = forgotten ? "the agent on the machine knows nothing of the training any more"
                               : "ferry died before the training was started";
        return context_.ledger.update(run_);
      }
      return record_end(followed->status);
    }
    const auto kind = followed.error().kind;
    if (kind != Kind::lost && kind != Kind::timeout) return tl::unexpected<Error>(std::move(followed).error());
    unheard_ = followed.error().code == job::no_agent_code ? unheard_ + 1 : 0;
    if (unheard_ >= most_unheard) {
      if (const auto ended = end_unheard()) return record_end(*ended);
    }
    if (auto again = connect_again("train", training, std::move(followed).error(), job::MayInterrupt::detach); !again)
      return detaching_ ? Status() : again;
  }
}

Result<bool> RunController::was_forgotten() {
  if (!was_started_) return false;
  // What the ledger says of it may only be a guess.
  TRY_SET(there, "", connection_->session().run("[ -e " + shell_quoted(connection_->paths().workdir) + " ]"));
  return there.exit.code == 0;
}

std::optional<agent::JobStatus> RunController::end_unheard() {
  auto noted = connection_->noted_job();
  if (noted && noted->state == agent::JobState::done) return *std::move(noted);
  context_.check_signals(true);
  const bool is_cancelled = context_.interrupt == fleet::Interrupt::cancel || int_at(run_.task, cancel_asked) > 0;
  const auto limit = Millis(lifetime_.max_duration + beyond_max_duration).count();
  if (!is_cancelled && context_.clock.now_ms() - run_.train_start_ms < limit) return std::nullopt;
  context_.progress.warn("train",
                         "the training cannot be asked to stop, for the agent on the machine does not answer: "
                         "what it has written by now is brought home");
  agent::JobStatus ended;
  ended.state = agent::JobState::done;
  ended.reason = is_cancelled ? "cancelled" : "max_duration";
  return ended;
}

Status RunController::train() {
  // A ferry before us noted the phase only when it knew.
  was_started_ = !is_background_ || run_.phase >= Phase::training;
  TRY("", enter(Phase::training));
  if (run_.train_start_ms == 0) {
    run_.train_start_ms = context_.clock.now_ms();
    TRY("", context_.ledger.update(run_));
  }
  context_.progress.begin("train", "training");
  TRY("", follow_job());
  if (detaching_) return {};
  if (run_.outcome == Outcome::not_started) {  // then nothing was trained, at no time
    run_.train_start_ms = run_.train_end_ms = 0;
    TRY("", context_.ledger.update(run_));
  }
  const auto took = Millis(run_.train_end_ms - run_.train_start_ms);
  std::string text;
  if (run_.exit_code) text = fmt::format("exit {} after {}", *run_.exit_code, show_duration(took));
  if (!run_.error.empty()) text += (text.empty() ? "" : " · ") + run_.error;
  const Json data = {{"exit_code", run_.exit_code ? Json(*run_.exit_code) : Json()}, {"ms", took.count()}};
  awaits_outputs(run_) ? context_.progress.done("train", text, data) : context_.progress.failed("train", text, data);
  return {};
}

int RunController::from_training() {
  is_background_ = true;
  if (const auto leased = take_lease(); !leased) {
    context_.progress.error(leased.error());
    return ferry_failed;
  }
  const auto done = [&]() -> Status {
    TRY_SET(instances, "", context_.ledger.instances(run_.name));
    for (const auto& one : instances) {
      if (one.state == ledger::Rent::live) instance_ = one;
    }
    // That nothing on it is needed any more was decided before.
    if (run_.phase >= Phase::releasing) return {};
    auto log = job::LocalLog::open(run_dir_.log());
    if (!log) context_.progress.warn("train", "the log cannot be kept here: " + log.error().what);
    log_.emplace(log ? std::move(*log) : job::LocalLog::without_file());
    if (instance_.id.empty()) return fail(Kind::not_found, "the ledger knows no instance of " + run_.name);
    location_ = fleet::location_of(instance_);
    TRY_SET(cloud, "", fleet::open_cloud(context_, location_));
    cloud_ = std::move(cloud);
    if (is_durable(run_)) return {};
    context_.is_ending = run_.phase > Phase::training;
    TRY("", reopen_connection(job::MayInterrupt::detach));
    if (run_.phase > Phase::training) return {};
    return train();
  }();
  return finish(done);
}

}  // namespace ferry::run
