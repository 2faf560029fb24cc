#include "agent/supervisor.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "agent/tree.h"
#include "base/text.h"

namespace ferry::agent {
namespace {

constexpr std::int64_t active_beat_ms = 2'000, quiet_beat_ms = 10'000;
/// How long processes that got SIGKILL may take before the job is called done without them.
constexpr std::int64_t unkillable_ms = 5'000;
constexpr std::int64_t look_again_ms = 100;
constexpr std::int64_t save_retry_ms = 10'000;
/// An answer should reach the laptop before the machine goes.
constexpr std::int64_t last_words_ms = 300;
constexpr std::int64_t leave_ms = 1'000;
/// For the store, when the agent is asked to end: systemd gives 90 s.
constexpr std::int64_t store_leave_ms = 60'000;
/// An agent that starts again stays at least so long.
constexpr std::int64_t again_ms = 300'000;
constexpr Millis leave_grace{5'000};
/// Readers of pipes are told to end so long before they are killed, whatever their writers do.
constexpr std::int64_t last_call_ms = 5'000;

/// Of the machine since it was booted.
std::string boot_id() { return std::string(trim(os::read_file("/proc/sys/kernel/random/boot_id").value_or(""))); }

std::string few(std::vector<std::string> names) {
  constexpr std::size_t most = 3;
  const auto count = names.size();
  if (count > most) names.resize(most);
  return join(names, ", ") + (count > most ? fmt::format(" and {} more", count - most) : "");
}

}  // namespace

Supervisor::Supervisor(ServeOptions options, Spool spool)
    : options_(std::move(options)), clock_(os::system_clock()), spool_(std::move(spool)) {
  cpu_.percent();
  beat_at_ = clock_.steady_ms() + active_beat_ms;
  end_at_ = clock_.steady_ms() + Millis(options_.orphan).count();
}

Result<std::unique_ptr<Supervisor>> Supervisor::open(ServeOptions options) {
  become_reaper();
  TRY_SET(saved, "", load(options.dir / "state.json"));
  TRY_SET(spool, "", Spool::open(options.dir / "log"));
  std::unique_ptr<Supervisor> out(new Supervisor(std::move(options), std::move(spool)));
  if (saved) out->take_up(std::move(*saved));
  return out;
}

void Supervisor::take_up(Saved saved) {
  saved_ = std::move(saved);
  JobStatus& status = saved_.status;
  if (status.state == JobState::idle) return;
  if (status.state != JobState::done) {
    kill_marked(saved_.marker);
    status.state = JobState::done;
    status.reason = "lost";
    status.note = saved_.boot.empty() || saved_.boot == boot_id()
                      ? "the agent on the machine was killed, and the training with it"
                      : "the machine was started again, and the training ended with it";
    status.ended_ms = clock_.now_ms();
    log(status.note);
    persist();
  }
  const auto left = std::max<std::int64_t>(0, status.deadline_ms - clock_.now_ms());
  deadline_at_ = clock_.steady_ms() + left;
  plan_end();
  // Whoever started the agent again, perhaps after the machine was stopped for a week, wants something of it.
  const bool is_stored = status.store.state == StoreStatus::State::stored && may_power_off() && !saved_.released;
  const auto longest = clock_.steady_ms() + std::max(again_ms, saved_.retention_s * 1000);
  end_at_ = is_stored ? longest : std::max(end_at_, longest);
  keep_store();
}

JobStatus Supervisor::status() const {
  JobStatus out = saved_.status;
  out.log_size = spool_.size();
  out.dropped = std::max(out.dropped, spool_.dropped());
  return out;
}

JobStatus Supervisor::start(JobSpec spec) {
  if (saved_.status.state != JobState::idle) return status();
  const auto duration_ms = 1000 * (spec.max_duration_s > 0 ? spec.max_duration_s : default_max_duration_s);
  const auto now_ms = clock_.now_ms();
  saved_ = Saved{.run = spec.run,
                 .retention_s = spec.retention_s,
                 .power_off = spec.power_off,
                 .marker = "FERRY_AGENT_JOB=" + std::to_string(now_ms) + "-" + std::to_string(::getpid()),
                 .boot = boot_id(),
                 .group = spec.group};
  saved_.status.started_ms = now_ms;
  saved_.status.deadline_ms = now_ms + duration_ms;
  if (!spec.store.uri.empty()) note_store(spec);
  deadline_at_ = clock_.steady_ms() + duration_ms;
  const auto first = spec.setup.empty() ? LogPhase::run : LogPhase::setup;
  const auto money = spec.money;
  const auto notices = spec.notices;
  on_limit_ = spec.on_limit;
  limited_by_ = spec.limited_by;
  if (spec.idle_s > 0) idle_.emplace(Seconds(spec.idle_s), clock_.steady_ms(), os::find_program("nvidia-smi"));
  job_.emplace(options_.dir, std::move(spec), saved_.marker);
  add_limits(money);
  watch_notices(notices);
  if (const auto begun = begin(first); !begun) {
    job_.reset();
    notices_.reset();
    saved_.status = {};
    saved_.store.reset();
    return refuse(begun.error());
  }
  keep_store();
  return status();
}

JobStatus Supervisor::refuse(const Error& error) {
  if (saved_.status.state != JobState::idle) return status();
  log("start refused: " + error.what);
  never_start(refused_start(error));
  return status();
}

void Supervisor::never_start(JobStatus status) {
  const auto orphan_ms = Millis(options_.orphan).count();
  saved_.status = std::move(status);
  saved_.status.ended_ms = clock_.now_ms();
  saved_.status.deadline_ms = saved_.status.ended_ms + orphan_ms;
  deadline_at_ = clock_.steady_ms() + orphan_ms;
  plan_end();
  persist();
  ++version_;
}

Status Supervisor::begin(LogPhase phase) {
  JobStatus& status = saved_.status;
  exited_at_.reset();
  status.state = phase == LogPhase::setup ? JobState::setup : JobState::running;
  if (phase == LogPhase::run) status.run_started_ms = clock_.now_ms();
  // Noted before it happens: a job may never be started twice. A second phase goes on without.
  if (const auto noted = save(options_.dir / "state.json", saved_);
      !noted && (phase == LogPhase::setup || !status.setup_exit)) {
    return noted;
  }
  if (phase == LogPhase::run) {
    // What setup left there.
    const auto services = status.setup_exit ? descendants() : std::vector<pid_t>();
    std::set<Named> expected;
    for (const pid_t pid : services) expected.insert(named(pid));
    background_.emplace(job_->workdir(), std::move(expected), options_.patience);
  }
  TRY("", job_->launch(phase));
  if (phase == LogPhase::run) job_->forget_spec();
  ++version_;
  beat_at_ = clock_.steady_ms() + active_beat_ms;
  log(phase == LogPhase::setup ? "setup started" : "run started");
  return {};
}

void Supervisor::cancel(Millis grace) {
  if (active()) {
    stop("cancelled", grace);
  } else if (saved_.status.state == JobState::idle) {
    never_start({.state = JobState::done, .reason = "cancelled"});
  }
}

void Supervisor::stop(const std::string& reason, Millis grace) {
  const auto now = clock_.steady_ms();
  const auto kill_at = now + std::max(Millis(0), grace).count();
  if (stop_) {
    stop_->kill_at = std::min(stop_->kill_at, kill_at);
    return;
  }
  log("stopping the job: " + reason);
  // The machine shuts down because it is taken back.
  stop_ = Stop{reason == "stopped" && is_interrupted() ? std::string(interrupted) : reason, now, kill_at};
  job_->terminate();
}

Status Supervisor::release(bool power_off) {
  if (active()) return fail(Kind::conflict, "the job still runs", {}, "cancel it first");
  if (power_off && !may_power_off()) return fail(Kind::denied, "the agent was told not to end this machine");
  saved_.released = true;
  persist();
  if (saved_.status.state == JobState::done || !may_power_off()) plan_end();
  if (power_off) end_at_ = clock_.steady_ms() + last_words_ms;
  if (store_) {
    store_.reset();
    if (saved_.status.store.state != StoreStatus::State::stored)
      saved_.status.store = {.state = StoreStatus::State::failed, .problem = "ferry brought the outputs home instead"};
    persist();
    ++version_;
  }
  return {};
}

void Supervisor::leave() {
  leaving_ = true;
  leave_at_ = clock_.steady_ms() + store_leave_ms;
  if (active()) stop("stopped", leave_grace);
}

void Supervisor::miss_files() {
  log("files of the run's folder were removed; made anew");
  if (spool_.is_removed() && !std::exchange(told_of_folder_, true))
    tell("the folder " + options_.dir.string() + " was removed while ferry needed it; it was made anew");
  if (saved_.status.state != JobState::idle) persist();
}

void Supervisor::touch() {
  if (saved_.status.state == JobState::idle && !saved_.released) {
    const auto limit = may_power_off() ? Millis(options_.orphan) : std::min(Millis(options_.orphan), options_.idle);
    end_at_ = clock_.steady_ms() + limit.count();
  }
}

std::vector<int> Supervisor::sources() const {
  auto out = job_ ? job_->sources() : std::vector<int>{};
  if (store_ && store_->source() >= 0) out.push_back(store_->source());
  if (notices_) out.push_back(notices_->source());
  if (idle_ && idle_->source() >= 0) out.push_back(idle_->source());
  return out;
}

void Supervisor::read(int source) {
  if (store_ && source == store_->source()) return hear_of_store();
  if (notices_ && source == notices_->source()) return hear_notice();
  if (idle_ && source == idle_->source()) return idle_->read(clock_.steady_ms());
  if (!job_) return;
  const auto before = spool_.size();
  job_->read(source, spool_);
  printed_ += spool_.size() - before;
}

void Supervisor::step() {
  if (active()) {
    job_->reap_ended();
    if (idle_) step_idle();
    enforce_limits();
    if (phase_over()) end_phase();
  } else if (clock_.steady_ms() >= end_at_) {
    end_machine();
  }
  if (active() && clock_.steady_ms() >= limits_at_) write_limits();
  if (store_) step_store();
  if (clock_.steady_ms() >= beat_at_) beat();
  if (save_at_ && clock_.steady_ms() >= *save_at_) persist();
}

void Supervisor::enforce_limits() {
  const auto now = clock_.steady_ms();
  // A run whose command has ended is not stopped at its limit: only what it left is.
  const bool is_over = job_->phase() == LogPhase::run && job_->exit_code();
  if (!stop_ && !is_over && is_ending_idle() && now >= asked_->end_at) stop(std::string(idled), options_.term_grace);
  if (!is_over && now >= ask_at()) ask_to_save(limited_by_, deadline_at_ - now);
  if (!stop_ && !is_over && now >= deadline_at_) stop("max_duration", options_.term_grace);
  if (!stop_ && interruption_ && now >= interruption_->term_at)
    stop(std::string(interrupted), Millis(interruption_->kill_at - now));
  if (!stop_ || stop_->killed) return;
  if (now >= stop_->kill_at) return kill_job();
  const auto last_call = std::min(last_call_ms, (stop_->kill_at - stop_->begun_at) / 4);
  job_->terminate_readers(now, now >= stop_->kill_at - last_call);
}

void Supervisor::kill_job() {
  const auto now = clock_.steady_ms();
  std::vector<std::string> names;
  for (const pid_t pid : descendants(spared())) names.push_back(command_line(pid));
  if (!names.empty()) {
    saved_.status.killed = true;
    const auto given = Seconds((stop_->kill_at - stop_->begun_at) / 1000);
    tell(given.count() > 0
             ? fmt::format("{} after SIGTERM were not enough: killed {}", show_duration(given), few(names))
             : "killed without waiting: " + few(names));
  }
  job_->kill_all(spared());
  stop_->killed = true;
  stop_->kill_at = now;
}

bool Supervisor::phase_over() {
  const auto now = clock_.steady_ms();
  const bool given_up = stop_ && stop_->killed && now >= stop_->kill_at + unkillable_ms;
  if (!job_->exit_code()) return given_up;
  if (!exited_at_) exited_at_ = now;
  if (stop_ && !given_up && job_->group_alive()) return false;
  if (!stop_ && job_->phase() == LogPhase::run && !background_over()) return false;
  return job_->drained() || now >= *exited_at_ + options_.drain.count();
}

bool Supervisor::background_over() {
  const auto now = clock_.steady_ms();
  if (now >= deadline_at_ || !background_->waits(now)) return true;
  if (!told_of_background_ && now >= *exited_at_ + options_.drain.count()) {
    told_of_background_ = true;
    tell("the command has ended; waiting for what it left in the background: " + few(background_->left()));
  }
  return false;
}

std::string Supervisor::reason_of_end() const {
  if (stop_) return stop_->reason;
  if (is_interrupted()) return std::string(interrupted);
  if (!asked_ || !asked_->is_told) return "";
  return std::string(is_ending_idle() ? idled : "max_duration");
}

void Supervisor::end_phase() {
  JobStatus& status = saved_.status;
  const int code = job_->exit_code().value_or(128 + 9);
  log((job_->phase() == LogPhase::setup ? "setup ended with " : "run ended with ") + std::to_string(code));
  const auto reason = reason_of_end();
  if (job_->phase() == LogPhase::run) {
    status.run_exit = code;
    return finish(reason);
  }
  status.setup_exit = code;
  if (code != 0 || !reason.empty()) return finish(reason);
  if (const auto begun = begin(LogPhase::run); !begun) {
    status.run_started_ms = 0;
    status.note = refused_start(begun.error()).note;
    finish(std::string(not_started));
  }
}

void Supervisor::finish(const std::string& reason) {
  idle_.reset();
  // After SIGKILL all is told; services that setup started are expected to be there.
  const bool is_told = (stop_ && stop_->killed) || !background_;
  const auto left = is_told ? std::vector<std::string>() : background_->left();
  end_descendants(Millis(1000), spared());
  job_->read_rest(spool_);
  if (!left.empty()) tell("stopped what still ran in the background: " + few(left));
  JobStatus& status = saved_.status;
  status.dropped = spool_.dropped();
  if (status.dropped > 0)
    add_line(fmt::format("the machine's disk is full: {} bytes of output could not be kept", status.dropped));
  job_.reset();
  spool_.retry(clock_.now_ms());
  if (const auto synced = spool_.sync(); !synced) log(synced.error().what);
  for (const char* script : {"setup.sh", "run.sh"}) (void)os::remove_all(options_.dir / script);
  status.state = JobState::done;
  status.reason = reason;
  status.ended_ms = clock_.now_ms();
  status.cpu_percent = 0;
  if (reason == idled) {
    deadline_at_ = std::min(deadline_at_, clock_.steady_ms());
    status.deadline_ms = std::min(status.deadline_ms, status.ended_ms);
  }
  plan_end();
  persist();
  if (store_) store_->tell_done(this->status());
  ++version_;
}

void Supervisor::plan_end() {
  const auto now = clock_.steady_ms();
  const auto linger_ms = saved_.released ? 0 : saved_.retention_s * 1000;
  end_at_ = std::max(deadline_at_, now) + linger_ms;
  if (may_power_off()) return;
  // Nobody waits for an agent whose outputs are safe and who may not end the machine; the result is on disk.
  end_at_ = saved_.released ? now + leave_ms : std::min(end_at_, now + options_.idle.count());
}

void Supervisor::persist() {
  saved_.status.log_size = spool_.size();
  const auto saved = save(options_.dir / "state.json", saved_);
  save_at_.reset();
  if (saved) return;
  log(saved.error().what);
  save_at_ = clock_.steady_ms() + save_retry_ms;
}

void Supervisor::tell(const std::string& text) {
  log(text);
  auto& note = saved_.status.note;
  note += (note.empty() ? "" : "; ") + text;
  add_line(text);
}

void Supervisor::add_line(const std::string& text) {
  const auto phase = job_ ? job_->phase() : LogPhase::run;
  spool_.add(LogStream::err, phase, clock_.now_ms(), (spool_.at_line_start() ? "ferry: " : "\nferry: ") + text + "\n");
}

void Supervisor::beat() {
  if (is_abandoned() && !leaving_) {
    log("the run's folder was removed");
    leave();
  }
  spool_.retry(clock_.now_ms());
  if (active()) saved_.status.cpu_percent = cpu_.percent();
  ++version_;
  beat_at_ = clock_.steady_ms() + (active() ? active_beat_ms : quiet_beat_ms);
}

std::int64_t Supervisor::due() const {
  std::int64_t out = beat_at_;
  if (save_at_) out = std::min(out, *save_at_);
  if (store_) out = std::min(out, store_->due());
  if (!active()) return std::min(out, end_at_);
  out = std::min(out, limits_at_);
  if (!stop_) out = std::min({out, deadline_at_, ask_at()});
  if (!stop_ && idle_) out = std::min({out, idle_->due(), is_ending_idle() ? asked_->end_at : out});
  if (!stop_ && interruption_) out = std::min(out, interruption_->term_at);
  if (stop_) out = std::min({out, clock_.steady_ms() + look_again_ms, stop_->killed ? out : stop_->kill_at});
  if (exited_at_) out = std::min(out, clock_.steady_ms() + look_again_ms);
  return out;
}

bool Supervisor::over() const {
  const bool stores = store_ && store_->has_hope() && !is_abandoned() && clock_.steady_ms() < leave_at_;
  return over_ || (leaving_ && !active() && !stores);
}

void Supervisor::log(const std::string& text) const {
  (void)os::append_file(options_.dir / "agent.log", os::iso_time(clock_.now_ms(), true) + " " + text + "\n", 0600);
}

}  // namespace ferry::agent
