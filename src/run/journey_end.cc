// How a run ends: outputs home, the machine given back or left, and the exit code. The one place that decides
// about release.
#include "base/text.h"
#include "run/journey.h"
#include "watch/report.h"

namespace ferry::run {

using ledger::Outcome;
using ledger::Phase;

namespace {

/// A path as the person would write it from here.
std::string shown(const os::Path& path) {
  std::error_code ignored;
  const auto relative = path.lexically_relative(std::filesystem::current_path(ignored));
  return relative.empty() || *relative.begin() == ".." ? path.string() : relative.string();
}

}  // namespace

Status Journey::fetch() {
  TRY("", enter(Phase::fetching));
  doors_.progress.begin("fetch", "bringing outputs home");
  TRY_SET(outputs, "bring the outputs home", fetch_outputs(doors_, *link_, folder_, run_));
  TRY("", write_train_log(folder_, run_));
  for (const auto& name : outputs.missing) {
    doors_.progress.warn("fetch", fmt::format("the output '{}' does not exist: the training did not write it",
                                              printable(name)));
  }
  if (outputs.everything_new && outputs.report.files > 0) {
    doors_.progress.warn("fetch", outputs.missing.empty()
                                      ? "the run made no outputs/, so every file it made or changed came home"
                                      : "so every file the run made or changed came home instead");
  }
  for (const auto& note : first_few(outputs.report.notes)) doors_.progress.warn("fetch", note);
  for (const auto& entry : outputs.report.entries) {
    if (entry.type == sync::Type::file) fetched_files_.push_back(entry.path);
  }
  run_.outputs_home = true;
  TRY("", doors_.ledger.update(run_));
  instance_.bytes_out += static_cast<std::int64_t>(outputs.report.wire_bytes);
  TRY("", doors_.ledger.note_instance(instance_));
  const auto& report = outputs.report;
  const auto text = report.files == 0 ? std::string("no outputs")
                                      : fmt::format("{} {}, {}, sha-256 verified  → {}/", report.files,
                                                    report.files == 1 ? "file" : "files",
                                                    show_bytes(report.bytes), shown(run_.home));
  doors_.progress.done(
      "fetch", text,
      {{"files", report.files}, {"bytes", report.bytes}, {"home", run_.home}, {"missing", outputs.missing}});
  return {};
}

Status Journey::release() {
  TRY_SET(made, "", doors_.ledger.resources(run_.name));
  TRY_SET(rented, "", doors_.ledger.instances(run_.name));
  const bool nothing_made = made.empty() && rented.empty();
  TRY("", enter(Phase::releasing));
  doors_.progress.begin("release", instance_.id);
  if (link_) {
    // With all outputs home the machine may end itself at once: even if AWS does not listen to us now, the
    // bill stops.
    const bool may_end = run_.outputs_home && instance_.world != "ssh";
    if (auto channel = link_->agent()) (void)channel->client.release(may_end);
    link_.reset();
  }
  TRY("", release_all(doors_, run_));
  run_.ended_ms = doors_.clock.now_ms();
  TRY("", doors_.ledger.update(run_));
  TRY("", enter(Phase::released));
  TRY_SET(instances, "", doors_.ledger.instances(run_.name));
  TRY_SET(resources, "", doors_.ledger.resources(run_.name));
  const auto now = doors_.clock.now_ms();
  std::string text = watch::release_text(instances, resources, now);
  if (const auto estimate = int_at(run_.task, "estimate_micros"); estimate > 0)
    text += fmt::format(" (estimated {})", show(Usd{estimate}));
  nothing_made ? doors_.progress.pause()
               : doors_.progress.done("release", text, watch::release_json(instances, resources, now));
  if (run_.outputs_home)
    doors_.progress.note(watch::closing_line(run_.name, shown(run_.home), fetched_files_),
                         {{"home", run_.home}});
  return {};
}

int Journey::detach() {
  link_.reset();
  auto follower = hand_over(folder_, run_.name, std::move(*owner_));
  owner_.reset();
  if (!follower) {
    doors_.progress.error(follower.error());
    return ferry_failed;
  }
  doors_.progress.note(
      fmt::format("{} is training on {}; its outputs come home to {}, and it is released when done, "
                  "or stopped after {}",
                  run_.name, instance_.id, run_.home, show_duration(lifetime_.max_duration)),
      {{"run", run_.name}, {"instance_id", instance_.id}, {"follower_pid", *follower}});
  doors_.progress.note(
      fmt::format("follow: ferry logs -f {}     stop: ferry cancel {}", run_.name, run_.name));
  return 0;
}

int Journey::leave(const std::string& why) {
  const std::string back = run_.outcome == Outcome::none ? "logs -f" : "fetch";
  doors_.progress.note(
      fmt::format("{} is kept: {}. It ends itself at the latest {} after its start. Come back to it: ferry "
                  "{} {}   give it up: ferry down {}",
                  instance_.id, why, show_duration(lifetime_.until_power_off()), back, run_.name, run_.name),
      {{"kept", instance_.id}});
  return ferry_failed;
}

Status Journey::fetch_stubbornly() {
  auto fetched = fetch();
  for (int tries = 0; !fetched && tries < 3; ++tries) {
    const auto kind = fetched.error().kind;
    if (kind != Kind::lost && kind != Kind::timeout) break;
    doors_.progress.warn("fetch", fetched.error().what + "; trying again");
    if (auto again = reopen_link(); !again) break;
    fetched = fetch();
  }
  return fetched;
}

bool Journey::machine_is_gone() {
  const auto noted = doors_.ledger.instances(run_.name);
  if (!noted) return false;
  const bool none_rented = std::all_of(noted->begin(), noted->end(),
                                       [](const auto& one) { return one.state == ledger::Rent::released; });
  if (none_rented) return true;
  if (!cloud_ || instance_.id.empty()) return false;
  const auto now = refresh(doors_, *cloud_, instance_);
  return !now && now.error().kind == Kind::not_found;
}

int Journey::finish(const Status& problem) {
  if (detaching_ && problem) return detach();
  const bool cancelled = !problem && problem.error().kind == Kind::cancelled;
  const bool gone = !problem && machine_is_gone();
  if (!problem && !cancelled) doors_.progress.error(problem.error());

  // From setup on the machine holds what only it has. It is given back when that is home, or when it is gone
  // anyway.
  const bool holds_outputs = run_.phase >= Phase::setup && !run_.outputs_home && !gone;
  const bool job_may_run = !problem && run_.outcome == Outcome::none;
  if (holds_outputs && job_may_run) return leave("its training may still go on");
  if (!problem && run_.outcome == Outcome::none) {
    run_.outcome = cancelled ? Outcome::cancelled : Outcome::lost;
    run_.error = problem.error().what;
    (void)doors_.ledger.update(run_);
  }
  if (holds_outputs) {
    const auto fetched = link_ ? fetch_stubbornly() : problem;
    if (!fetched) {
      if (link_) doors_.progress.error(fetched.error());
      return leave("its outputs are not home");
    }
  }
  if (run_.keep && run_.outputs_home && problem) {
    doors_.progress.note(fmt::format("{} is kept and costs {}/h: ferry ssh {} · ferry down {}", instance_.id,
                                     show_hourly(instance_.hourly), run_.name, run_.name),
                         {{"kept", instance_.id}});
    return exit_code(problem);
  }
  if (auto released = release(); !released) {
    auto error = released.error();
    error.advice += (error.advice.empty() ? "" : "; then  ") + std::string("ferry down ") + run_.name;
    doors_.progress.error(error);
    if (!instance_.id.empty())
      doors_.progress.note(fmt::format(
          "{} may still run, for {}/h, at the latest until {} after its start; every ferry "
          "command tries again to end it",
          instance_.id, show_hourly(instance_.hourly), show_duration(lifetime_.until_power_off())));
    return ferry_failed;
  }
  return exit_code(problem);
}

int Journey::exit_code(const Status& problem) const {
  if (run_.outcome == Outcome::cancelled) return run_.exit_code.value_or(130);
  if (!problem || run_.outcome == Outcome::lost || !run_.exit_code) return ferry_failed;
  return *run_.exit_code;
}

}  // namespace ferry::run
