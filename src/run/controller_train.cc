// The part of a run in which something runs on the machine that only it has: starting the job, following it
// to its end, and finding it again when the connection is lost.
#include "base/text.h"
#include "fleet/polling.h"
#include "job/data.h"
#include "job/why_failed.h"
#include "os/env.h"
#include "run/ending.h"
#include "run/run_controller.h"

namespace ferry::run {

using ledger::Outcome;
using ledger::Phase;

namespace {

/// Beyond max_duration, before an agent that does not answer is taken for one that cannot stop the training.
constexpr Seconds beyond_max_duration{300};
/// Bytes of shell text in a job that is sent before anybody takes it: a stream lets 4 MiB wait.
constexpr std::size_t most_sent_ahead = std::size_t{1} << 20;

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

bool RunController::prepares_along(const task::Task& task) const {
  // Of a machine that is rented, what the environment takes is part of the time that it was rented for.
  return node_.location.provider == "ssh" && task.data.empty() && !late_ &&
         task.setup.size() + task.run.size() < most_sent_ahead;
}

Status RunController::prepare() {
  const auto& [request, ready] = *beginning_;
  TRY_SET(volumes, "", bring_volumes(request.task));
  TRY_SET(mounted, "", mount_buckets(request.task));
  mounted.volumes = std::move(volumes);
  auto plan = job::plan_environment(*node_.connection, request.task, ready.requirements_file, ready.installers,
                                    std::move(mounted));
  auto& steps = plan.made.steps;
  if (trial_.taking) steps.insert(steps.begin(), *trial_.taking);
  trial_.environment = plan.made;
  if (prepares_along(request.task)) {
    trial_.planned = std::move(plan);
    return {};
  }
  TRY_SET(made, "", job::prepare_environment(context_, *node_.connection, std::move(plan)));
  trial_.environment = std::move(made);
  return bring_data(request.task);
}

Status RunController::note_environment() {
  run_.task["environment"] = trial_.environment.facts;
  return context_.ledger.update(run_);
}

job::Preparation RunController::preparation(const char* next) {
  const auto& step = trial_.planned->step();
  return {.command = step.command,
          .input = step.input,
          .newest = [this](std::string_view line) { context_.progress.update(short_line(line, 200)); },
          .ended = [this, next](const os::Output& said) -> Status {
            TRY_SET(made, "", job::made_environment(context_, *node_.connection, *trial_.planned, said));
            trial_.environment = std::move(made);
            context_.progress.begin("setup", next);
            return note_environment();
          }};
}

Status RunController::setup() {
  const auto& request = beginning_->request;
  // Before the phase begins: until then nothing of the training is on the machine, and it can just be given
  // back.
  auto prepared = prepare();
  if (prepared) prepared = await_late();
  late_.reset();
  TRY("", prepared);
  if (!trial_.planned) TRY("", note_environment());
  TRY("", enter(Phase::setup));
  const bool nothing = trim(request.task.setup).empty();
  const char* starting = nothing ? "starting" : "running setup";
  std::optional<job::Preparation> before;
  if (trial_.planned) before = preparation(starting);
  context_.progress.begin("setup", before ? "looking at the environment" : starting);
  job::Training training(context_, run_, *trial_.log, false);
  if (!request.detach) node_.ports = request.task.all_candidates()[0].ports;
  node_.open_tunnels();
  TRY_SET(store, "", store_spec());
  auto spec = job_spec(request.task);
  spec.store = std::move(store);
  spec.store.outputs = request.task.outputs;
  spec.store.checkpoints = request.task.checkpoints;
  TRY("", keep_in_time(spec));
  arm_stand_in(spec);
  const auto start = [&] { return training.setup(*node_.connection, spec, before ? &*before : nullptr); };
  auto begun = start();
  while (!begun && (begun.error().kind == Kind::lost || begun.error().kind == Kind::timeout)) {
    // Until the agent has confirmed the start, nobody else could make it: secrets are in this process only.
    const auto interruption = training.was_started() ? job::MayInterrupt::detach : job::MayInterrupt::nothing;
    auto again = connect_again("setup", training, std::move(begun).error(), interruption);
    if (!again && detaching_) return {};
    if (!again) begun = tl::unexpected(std::move(again).error());
    if (!again) break;
    begun = start();  // a job that was started is not started again
  }
  trial_.nothing_ran = training.nothing_ran();
  TRY_SET(started, "", std::move(begun));
  trial_.was_started = true;
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
  if (!trial_.environment.summary.empty()) told = trial_.environment.summary + (nothing ? "" : " · done");
  context_.progress.done("setup", told, {{"environment", trial_.environment.facts}});
  return {};
}

Result<job::Mounted> RunController::mount_buckets(const task::Task& task) {
  constexpr int most_breaks = 5;  // what is mounted stays
  for (int breaks = 0;; ++breaks) {
    auto mounted = job::mount_buckets(context_, *node_.connection, task, node_.location);
    if (mounted || mounted.error().kind != Kind::lost || breaks == most_breaks) return mounted;
    TRY("", reopen());
  }
}

Status RunController::bring_data(const task::Task& task) {
  constexpr int most_breaks = 5;  // what was copied is not copied again
  for (int breaks = 0;; ++breaks) {
    agent::StoreSpec store;
    if (!run_.store.empty()) {
      TRY_SET(spec, "", store_spec());
      store = std::move(spec);
    }
    auto brought = job::bring_data(context_, *node_.connection, task, node_.location, store, trial_.environment);
    if (brought || brought.error().kind != Kind::lost || breaks == most_breaks) return brought;
    TRY("", reopen());
  }
}

Status RunController::keep_in_time(agent::JobSpec& spec) const {
  if (node_.instance.launched_ms == 0 || node_.instance.provider == "ssh") return {};
  constexpr std::int64_t least_s = 60;
  const auto passed_s = (context_.clock.now_ms() - node_.instance.launched_ms) / 1000;
  const auto left_s = (node_.lifetime.until_power_off() - node_.lifetime.retention()).count() - passed_s;
  if (spec.max_duration_s <= left_s) return {};
  const auto took = show_duration(Seconds(passed_s));
  if (left_s < least_s)
    return fail(Kind::timeout, "no time is left to train in",
                fmt::format("what came before it took {} of the machine's time", took),
                "a longer --max-duration pays for that, too");
  context_.progress.warn(
      "setup", fmt::format("what came before took its time ({} since the machine began): the training has {} "
                           "of {} left, for the machine ends itself as it was told when it was rented",
                           took, show_duration(Seconds(left_s)), show_duration(Seconds(spec.max_duration_s))));
  spec.max_duration_s = left_s;
  return {};
}

Status RunController::record_end(const agent::JobStatus& status) {
  heed_extension();
  const auto ending = ending_of(status, node_.lifetime.max_duration);
  trial_.was_cut = status.reason == "max_duration";
  if (status.reason == agent::idled) run_.task[was_idle] = true;
  if (status.reason == agent::interrupted) run_.task[was_interrupted] = true;
  run_.outcome = ending.outcome;
  run_.exit_code = ending.exit_code;
  run_.error = ending.error;
  if (run_.error.empty() && (ending.exit_code == 126 || ending.exit_code == 127))
    run_.error = job::why_failed(*ending.exit_code, end_of_log(run_dir_.log(trial_.n)));
  run_.train_end_ms = context_.clock.now_ms();
  trial_.ended = status;
  // What the agent has to say besides, of what became of the output or of what was left running.
  if (const auto note = printable(status.note); !note.empty() && ending.error.find(note) == std::string::npos)
    context_.progress.warn("train", note);
  if (status.dropped > 0) {
    const auto cure = node_.instance.provider == "ssh"
                          ? "make room there"
                          : "a larger one is rented with disk_size, as in  resources: {disk_size: 200}";
    context_.progress.warn("train", fmt::format("the machine's disk is full: {} bytes of what the training printed are "
                                                "lost, and what it saved may be; {}",
                                                status.dropped, cure));
  }
  return context_.ledger.update(run_);
}

Status RunController::connect_again(const char* phase, job::Training& training, Error lost,
                                    job::MayInterrupt interruption) {
  auto opened = node_.connect_again(phase, training, std::move(lost), interruption);
  if (!opened && context_.interrupt == fleet::Interrupt::detach && interruption == job::MayInterrupt::detach)
    detaching_ = true;
  return opened;
}

Result<job::Followed> RunController::follow_and_pull(job::Training& training) {
  const auto least = run_.store.empty() ? job::pull_every() : std::nullopt;  // with a store, what is saved is safe
  if (least) pull_.emplace(*node_.connection, run_, run_dir_, *least, trial_.pulled);
  training.noticed = [this] {
    if (pull_) pull_->hurry();
  };
  auto followed = training.follow(*node_.connection);
  if (followed && followed->status.state == agent::JobState::done && pull_) pull_->finish(context_);
  pull_.reset();
  return followed;
}

Status RunController::follow_job() {
  job::Training training(context_, run_, *trial_.log, int_at(run_.task, cancel_asked) > 0);
  while (true) {
    auto followed = follow_and_pull(training);
    if (followed) {
      if (followed->interrupt == fleet::Interrupt::detach) {
        detaching_ = true;
        return {};
      }
      if (followed->status.state == agent::JobState::idle) {
        if (is_stand_in_beginning()) {
          context_.sleep(Millis(2000), true);
          continue;
        }
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
    if (node_.is_unheard(followed.error())) {
      if (const auto ended = end_unheard()) return record_end(*ended);
    }
    heed_extension();
    if (auto again = connect_again("train", training, std::move(followed).error(), job::MayInterrupt::detach); !again)
      return detaching_ ? Status() : again;
  }
}

Result<bool> RunController::was_forgotten() {
  if (!trial_.was_started) return false;
  // What the ledger says of it may only be a guess.
  TRY_SET(there, "", node_.connection->session().run("[ -e " + shell_quoted(node_.connection->paths().workdir) + " ]"));
  return there.exit.code == 0;
}

std::optional<agent::JobStatus> RunController::end_unheard() {
  auto noted = node_.connection->noted_job();
  if (noted && noted->state == agent::JobState::done) return *std::move(noted);
  heed_extension();
  context_.check_signals(true);
  const bool is_cancelled = context_.interrupt == fleet::Interrupt::cancel || int_at(run_.task, cancel_asked) > 0;
  const auto limit = Millis(node_.lifetime.max_duration + beyond_max_duration).count();
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
  trial_.was_started = trial_.was_started || run_.phase >= Phase::training;
  TRY("", enter(Phase::training));
  if (run_.train_start_ms == 0) {
    run_.train_start_ms = context_.clock.now_ms();
    TRY("", context_.ledger.update(run_));
    store_history();
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
  node_.is_patient = true;
  if (const auto leased = take_lease(); !leased) {
    context_.progress.error(leased.error());
    return ferry_failed;
  }
  if (const auto caught = catch_up_with_others(); !caught) {
    context_.progress.error(caught.error());
    return ferry_failed;
  }
  if (auto kept = kept_beginning(run_, lacking_)) beginning_ = std::move(*kept);
  if (const auto caught = catch_up_with_stand_ins(); !caught && run_.phase < Phase::releasing)
    context_.progress.warn("train", describe(caught.error()));
  tell_phase();  // which the ferry before may not have come to
  const auto taken = take_stock();
  if (taken && beginning_ && goes_on_later(context_, run_)) {
    if (!lacking_.empty()) return leave_waiting(lacks(run_.name, lacking_));
    auto begun = take_up_waiting();
    return go_on(begun ? attempt() : begun);
  }
  return go_on(taken ? follow_attempt() : taken);
}

Status RunController::follow_attempt() {
  TRY_SET(instances, "", context_.ledger.instances(run_.name));
  for (const auto& one : instances) {
    if (one.state == ledger::Rent::live) node_.instance = one;
  }
  // That nothing on it is needed any more was decided before.
  if (run_.phase >= Phase::releasing) return {};
  auto log = job::LocalLog::open(run_dir_.log(trial_.n));
  if (!log) context_.progress.warn("train", "the log cannot be kept here: " + log.error().what);
  trial_.log.emplace(log ? std::move(*log) : job::LocalLog::without_file());
  if (node_.instance.id.empty()) return fail(Kind::not_found, "the ledger knows no instance of " + run_.name);
  node_.location = fleet::location_of(node_.instance);
  TRY_SET(cloud, "", fleet::open_cloud(context_, node_.location));
  node_.cloud = std::move(cloud);
  if (is_durable(run_)) return {};
  context_.is_ending = run_.phase > Phase::training;
  // Of a machine that another computer rented there is no key here: nobody asks for another one where it is gone.
  if (!os::exists(run_dir_.identity()) && node_.look(run_.name) == Standing::gone)
    return fail(Kind::not_found, "the machine that another computer rented is gone");
  TRY("", node_.reopen(job::MayInterrupt::detach));
  if (run_.phase > Phase::training) return {};
  if (node_.location.provider == "ssh" && !run_.task.contains("environment")) {
    // The ferry before us had no time to note what the machine said as it started the job.
    trial_.environment.facts = job::noted_facts(*node_.connection);
    TRY("", note_environment());
  }
  return train();
}

}  // namespace ferry::run
