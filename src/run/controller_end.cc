// How a run ends: outputs home, the machine given back or left, and the exit code. The one place that decides
// about release.
#include "base/text.h"
#include "fleet/held_connection.h"
#include "fleet/labels.h"
#include "job/packages.h"
#include "run/bring_home.h"
#include "run/ending.h"
#include "run/record.h"
#include "run/run_controller.h"
#include "watch/report.h"
#include "watch/transfer.h"

namespace ferry::run {

using ledger::Outcome;
using ledger::Phase;

namespace {

/// A path as the user would write it from here.
std::string shown(const os::Path& path) {
  std::error_code ignored;
  const auto here = std::filesystem::current_path(ignored);
  if (here == here.root_path()) return path.string();  // a follower's; without its slash it would mislead
  const auto relative = path.lexically_relative(here);
  return relative.empty() || *relative.begin() == ".." ? path.string() : relative.string();
}

}  // namespace

sync::Options RunController::fetch_options() {
  sync::Options options;
  options.cancelled = [this] {
    context_.check_signals(true);
    return context_.letting_go;
  };
  options.progress = tell_progress();
  return options;
}

std::function<void(const sync::Progress&)> RunController::tell_progress() {
  return [this, transfer = watch::Transfer()](const sync::Progress& now) mutable {
    context_.progress.update(
        transfer.line({now.bytes_done, now.bytes_total, now.files_done, now.files_total}, context_.clock.steady_ms()));
  };
}

Status RunController::fetch() {
  TRY("", enter(Phase::fetching));
  context_.progress.begin("fetch", "bringing outputs home");
  auto fetched = job::fetch_outputs(context_, *node_.connection, run_dir_, run_, fetch_options(), trial_.ended);
  finish_log();
  if (!fetched) return fail("bring the outputs home", std::move(fetched).error());
  run_.outputs_home = true;
  run_.outcome = final_outcome(run_, run_.outcome);
  TRY("", context_.ledger.update(run_));
  told_of_home(*fetched);
  return {};
}

void RunController::told_of_home(const job::Outputs& outputs) {
  for (const auto& line : job::tell(outputs, run_)) context_.progress.warn("fetch", line);
  for (const auto& entry : outputs.report.entries) {
    if (entry.type == sync::Type::file && !entry.as_sent) fetched_files_.push_back(entry.path);
  }
  const auto& report = outputs.report;
  node_.instance.bytes_out += static_cast<std::int64_t>(report.wire_bytes + std::exchange(trial_.pulled.wire_bytes, 0));
  for (auto noted : context_.ledger.instances(run_.name).value_or(std::vector<ledger::Instance>())) {
    if (noted.token != node_.instance.token) continue;
    noted.bytes_out = node_.instance.bytes_out;  // all else as it is there: it may be released by now
    (void)context_.ledger.record_instance(noted);
  }
  const Json data = {{"files", report.files},
                     {"made", outputs.made()},
                     {"bytes", report.bytes},
                     {"home", run_.output_dir},
                     {"missing", outputs.missing}};
  const auto text = fmt::format("{} {}, {}, sha-256 verified  → {}/", report.files,
                                report.files == 1 ? "file" : "files", show_bytes(report.bytes), shown(run_.output_dir));
  if (outputs.made() > 0) {
    context_.progress.done("fetch", text, data);
  } else {
    const auto none = node_.location.provider == "ssh" ? "no outputs: the run wrote no file below its workdir"
                                                       : "no outputs: the run wrote no file";
    context_.progress.nothing("fetch", report.files == 0 ? none : "nothing of this run; " + text, data);
  }
}

void RunController::finish_log() {
  const auto size = trial_.ended ? std::optional(trial_.ended->log_size) : std::nullopt;
  const auto written = bring_log_home(context_, *node_.connection, run_dir_, run_, size);
  if (!written) context_.progress.warn("fetch", written.error().what + "; later ferry commands try again");
  if (written && written->parent_path() != os::Path(run_.output_dir))
    context_.progress.warn("fetch", "the training has a train.log of its own; ferry's is " + shown(*written));
}

Status RunController::release() {
  TRY_SET(made, "", context_.ledger.resources(run_.name));
  TRY_SET(rented, "", context_.ledger.instances(run_.name));
  const bool nothing_made = made.empty() && rented.empty();
  if (lease_ && !lease_->confirm()) stop_at_once("another computer took it over while this one was not heard of");
  TRY("", enter(Phase::releasing));
  context_.progress.begin("release", node_.instance.id);
  if (node_.connection && !context_.letting_go) {
    let_go_of_volumes();
    // With all outputs home the machine may end itself at once: even if AWS does not listen to us now, the
    // bill stops. On one of the user's own the agent is about to be ended.
    auto channel = node_.instance.provider == "ssh" ? fail(Kind::unsupported, "") : node_.connection->agent_at_once();
    if (channel) (void)channel->client.release(is_durable(run_));
  }
  const bool borrowed = node_.connection && node_.instance.provider == "ssh";
  if (!borrowed) node_.connection.reset();
  auto given_back = fleet::release_all(context_, run_, borrowed ? &node_.connection->session() : nullptr);
  node_.connection.reset();
  TRY("", std::move(given_back));
  bring_stored();
  run_.ended_ms = context_.clock.now_ms();
  TRY("", context_.ledger.update(run_));
  write_record(context_, run_);
  TRY("", enter(Phase::released));
  tell_end();
  forget_sent(run_dir_);
  if (lease_) lease_->give_back();
  lease_.reset();
  TRY_SET(instances, "", context_.ledger.instances(run_.name));
  TRY_SET(resources, "", context_.ledger.resources(run_.name));
  const auto now = context_.clock.now_ms();
  const auto at_most = ledger::at_most(context_.ledger, run_);
  std::string text = watch::release_text(instances, resources, now, at_most);
  if (const auto estimate = int_at(run_.task, "estimate_micros"); estimate > 0)
    text += fmt::format(" (estimated {})", show(Usd{estimate}));
  nothing_made ? context_.progress.pause()
               : context_.progress.done("release", text, watch::release_json(instances, resources, now, at_most));
  note_home();
  if (run_.outcome != Outcome::succeeded && run_.exit_code.value_or(0) != 0) {
    if (const auto line = job::lacking_line(run_dir_.log(trial_.n), run_.workdir); !line.empty())
      context_.progress.note(line);
  }
  if (trial_.was_cut && run_.outputs_home && fetched_files_.empty())
    context_.progress.note(
        "nothing had been saved by then: write a checkpoint to outputs/ after each epoch, and it comes "
        "home whatever happens; or raise max_duration");
  return {};
}

void RunController::note_home() {
  if (run_.outputs_home)
    context_.progress.note(watch::closing_line(run_.name, shown(run_.output_dir), fetched_files_),
                           {{"home", run_.output_dir}});
}

Result<int> RunController::start_follower() {
  node_.connection.reset();
  lease_.reset();  // which is this ledger's, and so the follower's
  TRY("", os::make_dirs(run_dir_.path, 0700));
  auto follower =
      hand_over(context_, run_dir_, run_.name, std::move(*owner_),
                beginning_ ? unkept_values(beginning_->request.task) : std::map<std::string, std::string>());
  owner_.reset();
  return follower;
}

int RunController::detach() {
  const auto told_how = [this] {
    context_.progress.note(fmt::format("follow: ferry logs -f {}     stop: ferry cancel {}", run_.name, run_.name));
    return 0;
  };
  const auto follower = start_follower();
  if (!follower) {
    context_.progress.error(follower.error());
    return ferry_failed;
  }
  if (node_.instance.id.empty()) {
    context_.progress.note(
        fmt::format("{} waits for a machine in the background, and trains when it has one", run_.name),
        {{"run", run_.name}, {"follower_pid", *follower}});
    return told_how();
  }
  const auto end = fleet::ends_by_stop(run_) && !run_.keep
                       ? fmt::format("and is stopped when done: its disk costs {} a month until  ferry down {}",
                                     show(disk_month(node_.instance.disk, node_.instance.region)), run_.name)
                   : run_.keep ? fmt::format("then the machine is kept and costs {}/h, until: ferry down {}",
                                             show_hourly(node_.instance.hourly), run_.name)
                               : "and it is released when done";
  context_.progress.note(
      fmt::format("{} is training on {}, for {} at most; its outputs come home to {}, {}", run_.name, node_.instance.id,
                  show_duration(node_.lifetime.max_duration), run_.output_dir, end),
      {{"run", run_.name}, {"instance_id", node_.instance.id}, {"follower_pid", *follower}});
  return told_how();
}

int RunController::give_up() {
  context_.progress.note(
      fmt::format("{0} is given up: another ferry releases it now, without its outputs, as ferry "
                  "down {0} --no-fetch asks for",
                  run_.name));
  node_.connection.reset();
  owner_.reset();
  return run_.exit_code.value_or(0) != 0 ? *run_.exit_code : exit_cancelled;  // the training's own code stays
}

int RunController::leave(const std::string& why, const Error& problem) {
  if (context_.given_up) return give_up();
  if (context_.interrupt == fleet::Interrupt::cancel && !is_over()) {
    run_.task[cancel_asked] = context_.clock.now_ms();
    (void)context_.ledger.update(run_);
  }
  const bool may_mend = problem.kind == Kind::lost || problem.kind == Kind::timeout ||
                        problem.kind == Kind::cancelled ||
                        problem.kind == Kind::not_found;  // not known for certain to be gone, or it would not be left
  std::string follower;
  if (may_mend && !node_.is_patient) {
    if (const auto started = start_follower())
      follower = " A follower in the background goes on with it.";
    else
      context_.progress.error(started.error());
  }
  const bool ends_itself = node_.instance.provider != "ssh";
  const auto end = ends_itself ? fmt::format(" It ends itself at the latest {} after its start.",
                                             show_duration(node_.lifetime.until_power_off()))
                               : std::string();
  context_.progress.note(
      fmt::format("{} is kept: {}.{}{} Come back to it: ferry {} {}   give it up: ferry down {}", node_.instance.id,
                  why, follower, end, is_over() ? "fetch" : "logs -f", run_.name, run_.name),
      {{"kept", node_.instance.id}});
  return ferry_failed;
}

int RunController::leave_stopped() {
  (void)fleet::record_power(context_, *node_.seen.now, node_.instance);
  context_.progress.note(fleet::stopped_words(node_.instance) + "; " + fleet::stopped_advice(run_.name),
                         {{"kept", node_.instance.id}, {"stopped", true}});
  return ferry_failed;
}

std::string RunController::told_of_pulled() {
  if (trial_.pulled.home.empty()) return {};
  (void)job::record_home(context_, run_.name, trial_.pulled.home);
  const auto told = trial_.pulled.home.size() == 1
                        ? "one file that it had saved is home"
                        : fmt::format("{} files that it had saved are home", trial_.pulled.home.size());
  context_.progress.note(fmt::format("{}: {}/", told, shown(run_.output_dir)), {{"home", run_.output_dir}});
  return "; " + told;
}

void RunController::call_lost(const std::string& why, Step step) {
  if (run_.outcome == Outcome::lost && (trial_.is_called_lost || !run_.task.contains(was_interrupted))) return;
  trial_.is_called_lost = true;
  const auto trained = run_.exit_code ? fmt::format("the training ended (exit {}), but ", *run_.exit_code) : "";
  run_.error = trained + why;
  run_.error += run_.store.empty() ? told_of_pulled() : step == Step::begin_again ? noted_stored() : told_of_stored();
  run_.outcome = Outcome::lost;
  run_.exit_code.reset();
  (void)context_.ledger.update(run_);
}

Status RunController::fetch_stubbornly() {
  // An earlier try brought nothing home, and the user may be at the machine to put that right: what they are at is
  // neither fetched by halves nor taken from under them. The machine's own timer bounds what that costs.
  const bool was_left = node_.is_patient && run_.phase == Phase::fetching;
  auto fetched = Status();
  std::uint64_t visits = 0;
  do {
    visits = visits_so_far(run_dir_);
    while (was_left && context_.interrupt == fleet::Interrupt::go_on && has_visitor(run_dir_) &&
           context_.sleep(Millis(500), true))
      continue;
    fetched = try_to_fetch();
    // What somebody wrote who came and left meanwhile may not have come with it.
  } while (fetched && was_left && (has_visitor(run_dir_) || visits_so_far(run_dir_) != visits) &&
           context_.interrupt == fleet::Interrupt::go_on);
  return fetched;
}

Status RunController::try_to_fetch() {
  constexpr int most_tries = 4;
  constexpr Millis longest_rest{30'000};
  if (!node_.connection) TRY("", node_.reopen(job::MayInterrupt::detach));
  auto fetched = fetch();
  for (int tries = 1; !fetched && (tries < most_tries || node_.is_patient); ++tries) {
    const auto kind = fetched.error().kind;
    if ((kind != Kind::lost && kind != Kind::timeout) || context_.letting_go) break;
    if (const auto told = node_.repeats.tell(fetched.error().what + "; trying again"); !told.empty())
      context_.progress.warn("fetch", told);
    if (tries >= most_tries) context_.sleep(std::min(Millis(1000) * tries, longest_rest), true);
    if (auto again = node_.reopen(job::MayInterrupt::detach); !again) return again;
    fetched = fetch();
  }
  return fetched;
}

bool RunController::may_be_stored() const {
  return !run_.store.empty() && run_.phase >= Phase::setup && run_.phase < Phase::releasing;
}

AttemptEnd RunController::end_of(const Status& done, Standing machine) const {
  using How = AttemptEnd::How;
  using Machine = AttemptEnd::Machine;
  AttemptEnd end;
  const bool has_failed = run_.outcome == Outcome::failed && run_.exit_code && !trial_.was_cut;
  if (done || is_over())
    end.how = run_.task.contains(was_interrupted) ? How::interrupted : has_failed ? How::failed : How::over;
  else if (done.error().kind == Kind::cancelled)
    end.how = How::cancelled;
  else
    end.how = passes(done.error()) ? How::passing : How::trouble;
  if (machine == Standing::stopped) end.machine = Machine::stopped;
  if (machine == Standing::gone) {
    const bool by_the_cloud = node_.seen.now && node_.seen.now->state_reason.starts_with("Server.");
    end.machine = node_.instance.id.empty() ? Machine::none : by_the_cloud ? Machine::taken : Machine::ended;
  }
  // From setup on the machine holds what only it has: unless the agent said that nothing was ever started.
  const bool nothing_ran =
      trial_.nothing_ran || (run_.outcome == Outcome::not_started && trim(text_at(run_.task, "setup")).empty());
  end.holds_outputs = run_.phase >= Phase::setup && run_.phase < Phase::releasing && !is_durable(run_) && !nothing_ran;
  // A ferry that died before it had started the next attempt's job is no reason to give up the run.
  const bool was_not_begun = end.how == How::over && run_.outcome == Outcome::not_started && !end.holds_outputs;
  if (was_not_begun && trial_.n > 1) end.how = How::passing;
  return end;
}

std::string RunController::tell_trouble(const Status& done, const AttemptEnd& end) {
  if (done) return {};
  if (done.error().kind == Kind::cancelled) return done.error().what;
  using Machine = AttemptEnd::Machine;
  const bool is_gone = end.machine != Machine::there && end.machine != Machine::stopped;
  auto problem = done.error();
  // Nothing comes of starting a machine that is given back, nor does its disk cost on.
  if ((!end.holds_outputs || is_gone) && problem.code == fleet::stopped_code)
    problem = {Kind::conflict, node_.instance.id + " was stopped from outside", {}, {}, {}};
  if (end.machine != Machine::there && !node_.instance.id.empty() && problem.why.empty())
    problem.why = node_.seen.words;
  context_.progress.error(problem);
  return problem.what;
}

void RunController::note_outcome(const Status& done, const AttemptEnd& end, Step step, const std::string& why) {
  using Machine = AttemptEnd::Machine;
  if (end.holds_outputs && end.machine != Machine::there) {
    const auto of_outputs =
        end.machine == Machine::stopped ? ", and its outputs are not home" : ", and its outputs are lost";
    return call_lost(node_.seen.words + (is_over() ? of_outputs : ", and the training with it"), step);
  }
  if (done || is_over()) return;
  const bool ran = trial_.n > 1 || (run_.phase >= Phase::setup && !trial_.nothing_ran);
  run_.outcome = end.how == AttemptEnd::How::cancelled ? Outcome::cancelled
                 : ran                                 ? Outcome::lost
                                                       : Outcome::not_started;
  run_.error = (run_.outcome == Outcome::not_started ? "the training did not start: " : "") + why;
  const auto rented = context_.ledger.instances(run_.name);
  if (run_.outcome == Outcome::not_started && may_work_later(done.error().kind) && rented && !ever_rented(*rented))
    run_.task[may_start_later] = true;
  (void)context_.ledger.update(run_);
}

Status RunController::make_durable(const Status& done, AttemptEnd& end) {
  const bool is_reached = done || node_.connection;
  auto fetched = is_reached ? Status() : done;
  bool stored = false;
  if (is_reached && may_be_stored()) {
    const auto awaited = await_stored();
    stored = awaited.value_or(false);
    if (!awaited) fetched = tl::unexpected<Error>(awaited.error());
  }
  if (stored)
    finish_log();
  else if (is_reached && fetched)
    fetched = fetch_stubbornly();
  // While it was fetched from, the machine may have stored the rest and ended itself.
  const auto now = fetched ? Standing::there : node_.look(run_.name);
  end = end_of(done, now);
  if (fetched || (now != Standing::there && may_be_stored() && is_stored().value_or(false))) {
    end.holds_outputs = false;
    return {};
  }
  end.how = AttemptEnd::How::trouble;
  if (now == Standing::there && is_reached && fetched.error().kind != Kind::cancelled)
    context_.progress.error(fetched.error());
  return fetched;
}

std::optional<int> RunController::finish(const Status& ended) {
  if (context_.given_up) return give_up();
  heed_extension();
  if (detaching_ && ended) return detach();
  if (!ended && ended.error().code == lacks_code) return leave_waiting(ended.error());
  auto done = ended;
  const auto machine = ended ? Standing::there : node_.look(run_.name);
  if (may_be_stored() && !is_durable(run_) && machine != Standing::there) {
    // A machine that has stored everything ends itself: that is how it should be.
    if (const auto whole = is_stored(); whole && *whole) done = Status();
  }
  auto end = end_of(done, machine);
  const auto why = tell_trouble(done, end);
  auto step = next_step(end, policy(done));
  if (step == Step::leave)
    return leave(end.how == AttemptEnd::How::cancelled ? "nobody waits for its training any more"
                                                       : "its training may still go on",
                 done.error());
  note_outcome(done, end, step, why);
  if (step == Step::bring_home) {
    context_.is_ending = true;
    const auto durable = make_durable(done, end);
    step = next_step(end, policy(done));
    if (step == Step::leave) return leave("its outputs are not home", durable.error());
    if (!durable) {
      note_outcome(done, end, step, {});
      context_.progress.failed("fetch", run_.error);
    }
  }
  if (step == Step::leave_stopped) return leave_stopped();
  if (step == Step::begin_again) {
    const auto begun = begin_again();
    if (begun) return std::nullopt;
    if (context_.given_up) return give_up();
    context_.progress.error(begun.error());
    run_.task.erase(begins_again);
    if (!run_.store.empty() && !is_durable(run_)) run_.error += told_of_stored();
  }
  context_.is_ending = true;
  if (step == Step::keep) return keep_machine();
  return step == Step::stop ? stop_machine(done) : give_back(done);
}

int RunController::keep_machine() {
  write_record(context_, run_);
  hold_connection();
  tell_end();
  context_.progress.note(fmt::format("{} is kept and costs {}/h: ferry ssh {} · ferry down {}", node_.instance.id,
                                     show_hourly(node_.instance.hourly), run_.name, run_.name),
                         {{"kept", node_.instance.id}});
  return exit_code_of(run_);
}

void RunController::hold_connection() {
  if (was_connected_) fleet::hold_connection(context_, fleet::target_of(run_dir_, node_.instance));
}

int RunController::give_back(const Status& done) {
  if (auto released = release(); !released) {
    if (context_.given_up) return give_up();
    auto error = released.error();
    error.advice += (error.advice.empty() ? "" : "; then  ") + std::string("ferry down ") + run_.name;
    context_.progress.error(error);
    const bool goes_on = context_.letting_go && !node_.is_patient && start_follower();
    if (!node_.instance.id.empty())
      context_.progress.note(fmt::format(
          "{} may still run, for {}/h, at the latest until {} after its start; {} to end it", node_.instance.id,
          show_hourly(node_.instance.hourly), show_duration(node_.lifetime.until_power_off()),
          goes_on ? "a follower in the background goes on trying" : "every ferry command tries again"));
    return ferry_failed;
  }
  if (node_.instance.provider == "ssh") hold_connection();
  if (run_.outputs_stored && !run_.outputs_home) return ferry_failed;  // told; whoever goes on with them must know
  // A cancelled run went the way it was meant to.
  const bool has_code = done || run_.outcome == Outcome::cancelled || run_.outcome == Outcome::not_started;
  return has_code ? exit_code_of(run_) : ferry_failed;
}

}  // namespace ferry::run
