// Another attempt: whether there may be one, and with what it begins.
#include <algorithm>

#include "base/hash.h"
#include "base/text.h"
#include "fleet/capacity.h"
#include "fleet/machine.h"
#include "job/restore.h"
#include "run/record.h"
#include "run/resting.h"
#include "run/run_controller.h"
#include "sync/outputs.h"
#include "watch/report.h"

namespace ferry::run {

using ledger::Outcome;
using ledger::Phase;

namespace {

/// Against a loop that gets nowhere; time and money bound the rest.
constexpr int most_attempts = 20;
/// With less left of max_duration no machine is rented any more: it would end while it boots.
constexpr Seconds least_time{60};

/// Of what came home: what a training made or changed, where it left it.
bool is_restored(const ledger::Object& object) {
  const bool is_made = object.kind == "output" || object.kind == "checkpoint";
  return is_made && object.home_ms > 0 && !object.sha256.empty() && !object.path.starts_with(sync::elsewhere_folder);
}

/// Of what is in the store: the same.
bool is_stored_file(const ledger::Object& object) {
  return (object.kind == "output" || object.kind == "checkpoint") && object.stored_ms > 0;
}

}  // namespace

Seconds RunController::time_left() const {
  const auto until = run_.train_end_ms > 0 ? run_.train_end_ms : context_.clock.now_ms();
  const auto now = run_.train_start_ms > 0 ? std::max<std::int64_t>(0, until - run_.train_start_ms) : 0;
  return whole_.max_duration - trained_ - std::chrono::ceil<Seconds>(Millis(now));
}

std::optional<Usd> RunController::money_left() const {
  auto bound = ledger::at_most(context_.ledger, run_);
  auto budget = beginning_ ? beginning_->request.task.budget : std::nullopt;
  const auto reserved = context_.ledger.reservation(run_.name);
  if (budget && reserved && *reserved) budget = std::max(*budget, (*reserved)->budget);
  if (budget && (!bound || *budget < *bound)) bound = budget;
  if (!bound) return std::nullopt;
  const auto instances = context_.ledger.instances(run_.name);
  if (!instances) return Usd{};
  const auto spent = watch::total_spent(*instances, context_.clock.now_ms());
  return Usd{std::max<std::int64_t>(0, bound->micros - spent.value_or(Usd{}).micros)};
}

void RunController::heed_extension() {
  const auto reserved = context_.ledger.reservation(run_.name);
  if (!reserved || !*reserved) return;
  const auto& it = **reserved;
  const auto asked = int_at(run_.task, "whole_max_duration_s", int_at(run_.task, "max_duration_s"));
  if (asked > 0) whole_.max_duration = Seconds(asked + it.extended_s);
  if (it.attempt == trial_.n)
    node_.lifetime.max_duration = std::max(node_.lifetime.max_duration, Seconds(it.max_duration_s));
}

std::optional<agent::MoneySpec> RunController::money_spec() const {
  const auto most = ledger::at_most(context_.ledger, run_);
  const auto left = money_left();
  if (!most || !left || node_.instance.provider == "ssh") return std::nullopt;
  const auto rates = ledger::rates_of(node_.instance);
  return agent::MoneySpec{most->micros, left->micros, (rates.machine + rates.disk + rates.address).micros};
}

Policy RunController::policy(const Status& done) const {
  Policy policy;
  policy.keeps_machine = run_.keep && run_.outputs_home && done;
  const auto rented = int_at(run_.task, rented_candidate, -1);
  policy.stops_machine = may_rest(run_) && node_.instance.provider != "ssh";
  if (!beginning_ || rented < 0) return policy;
  const auto candidates = beginning_->request.task.all_candidates();
  const auto& wanted = candidates[std::min(static_cast<std::size_t>(rented), candidates.size() - 1)];
  const bool is_wanted = context_.interrupt == fleet::Interrupt::go_on && !context_.letting_go && !detaching_ &&
                         int_at(run_.task, cancel_asked) == 0;
  const auto money = money_left();
  policy.may_begin_again =
      is_wanted && trial_.n < most_attempts && time_left() >= least_time && (!money || money->micros > 0);
  const auto& recovery = wanted.recovery;
  policy.recovers = recovery ? recovery->is_wanted : wanted.use_spot || beginning_->request.task.recovers_by_aws;
  if (!recovery || !run_.exit_code || run_.train_start_ms == 0) return policy;  // a setup fails as it did
  if (run_.task.contains(was_idle)) return policy;
  const bool is_named = std::ranges::find(recovery->exit_codes, *run_.exit_code) != recovery->exit_codes.end();
  policy.retries_failures = recovery->is_wanted && (is_named || retried_ < recovery->restarts_on_errors);
  return policy;
}

Status RunController::take_stock() {
  TRY_SET(attempts, "", context_.ledger.attempts(run_.name));
  TRY_SET(nodes, "", context_.ledger.nodes(run_.name));
  TRY_SET(instances, "", context_.ledger.instances(run_.name));
  TRY_SET(objects, "", context_.ledger.objects(run_.name));
  whole_.max_duration = Seconds(int_at(run_.task, "whole_max_duration_s", whole_.max_duration.count()));
  heed_extension();
  trained_ = Seconds(0);
  retried_ = 0;
  for (const auto& attempt : attempts) {
    if (attempt.n >= trial_.n) continue;
    retried_ += attempt.outcome == Outcome::failed ? 1 : 0;
    for (const auto& node : nodes) {
      if (node.attempt != attempt.n || node.rank != 0 || node.train_start_ms == 0) continue;
      const auto end = node.train_end_ms > 0 ? node.train_end_ms : attempt.ended_ms;
      trained_ += std::chrono::ceil<Seconds>(Millis(std::max<std::int64_t>(0, end - node.train_start_ms)));
    }
  }
  for (const auto& one : instances) {
    if (!one.id.empty()) last_ = one;
  }
  trial_.resumes = trial_.n > 1 && std::ranges::any_of(objects, is_restored);
  return {};
}

Status RunController::begin_attempt() {
  TRY_SET(objects, "", context_.ledger.objects(run_.name));
  const bool resumes = std::ranges::any_of(objects, run_.store.empty() ? is_restored : is_stored_file);
  const auto& from = run_.store.empty() ? run_.output_dir : run_.store;
  TRY_SET(n, "", context_.ledger.begin_attempt(run_.name, resumes ? from : ""));
  TRY_SET(run, "", context_.ledger.run(run_.name));
  run_ = std::move(run);
  trial_ = {};
  trial_.n = n;
  node_.start_over();
  TRY("", note_begun());
  tell_phase();
  trial_.resumes = resumes;
  store_history();
  return {};
}

Status RunController::note_begun() {
  if (trial_.n > 1) run_.task["attempt"] = trial_.n;  // for the machine's tags
  run_.task.erase(was_interrupted);
  run_.task.erase(begins_again);
  TRY("", take_stock());
  node_.lifetime = whole_;
  node_.lifetime.max_duration = time_left();
  return context_.ledger.update(run_);
}

Status RunController::begin_again() {
  // Exactly what the attempt before ran: another code may not understand what that one saved.
  begin_reading(true);
  if (const auto read = hashing_.get(); !read) {
    auto error = read.error();
    error.what = run_.name + " cannot begin again: " + error.what;
    error.advice = "what it had saved is below " + run_.output_dir + "; begin a new run from there";
    return tl::unexpected<Error>(std::move(error));
  }
  // Where a spot machine was taken others are, too: for a while the next one is looked for elsewhere first.
  if (const auto& lost = node_.instance;
      lost.market == "spot" && (run_.task.contains(was_interrupted) || node_.seen.now)) {
    plan::Offer taken{.region = lost.region, .zone = lost.zone, .market = plan::Market::spot};
    taken.type.name = lost.type;
    fleet::CapacityMemory(context_.data / "capacity.json", context_.clock.now_ms())
        .note(taken, context_.clock.now_ms());
  }
  context_.is_ending = false;
  pull_.reset();
  if (lease_ && !lease_->confirm()) stop_at_once("another computer took it over while this one was not heard of");
  if (run_.store.empty()) lease_.reset();  // it stood on that machine
  if (node_.connection) {
    let_go_of_volumes();
    if (auto channel = node_.connection->agent()) (void)channel->client.release(true);
    node_.connection.reset();
  }
  // Killed from here on: the next ferry goes on with it.
  run_.task[begins_again] = true;
  TRY("", context_.ledger.update(run_));
  store_history();
  // Never two machines for one node.
  TRY("give back the machine before the next one", release_patiently());
  const auto caught_up = patiently([&]() -> Status {
    TRY("", catch_up_with_stand_ins());
    return {};
  });
  TRY("see what AWS started in its place", caught_up);
  const auto why = run_.error.empty() && run_.exit_code ? fmt::format("exit {}", *run_.exit_code) : run_.error;
  TRY("", begin_attempt());
  context_.progress.note(fmt::format("{}; {} begins again (attempt {}){}", why, run_.name, trial_.n,
                                     trial_.resumes ? ", from what it had saved" : ", from its start"),
                         {{"run", run_.name}, {"attempt", trial_.n}, {"resumes", trial_.resumes}, {"why", why}});
  return {};
}

Status RunController::restore() {
  if (trial_.n == 1) return {};
  if (!run_.store.empty()) return restore_stored();
  if (!trial_.resumes) return {};
  context_.progress.begin("restore", "sending what the run had saved");
  TRY_SET(objects, "", context_.ledger.objects(run_.name));
  std::map<std::string, std::string> wanted;  // path → SHA-256
  for (const auto& object : objects) {
    if (is_restored(object)) wanted[object.path] = object.sha256;
  }
  TRY_SET(tree, "read what is home", sync::scan(run_.output_dir, {}));
  const auto holds_some = [&](const std::string& folder) {
    const auto below = wanted.lower_bound(folder + "/");
    return below != wanted.end() && below->first.starts_with(folder + "/");
  };
  std::erase_if(tree.entries, [&](const sync::Entry& entry) {
    if (entry.type == sync::Type::folder) return !holds_some(entry.path);
    if (entry.type == sync::Type::file) return !wanted.contains(entry.path);
    const auto slash = entry.path.rfind('/');  // a link to the newest checkpoint, say, beside it
    return slash == std::string::npos || !holds_some(entry.path.substr(0, slash));
  });
  TRY("read what is home", sync::hash_tree(run_.output_dir, tree, {}));
  // A file that somebody changed at home meanwhile is not what the training saved.
  for (const auto& entry : tree.entries) {
    if (entry.type == sync::Type::file && hex(entry.sha256) != wanted[entry.path])
      return fail(Kind::conflict, "what the run had saved was changed at home: " + printable(entry.path), {},
                  "begin a new run from what is below " + run_.output_dir);
  }
  TRY_SET(report, "send what the run had saved", send(run_.output_dir, std::move(tree)));
  const auto files = watch::counted(report.files, "file");
  context_.progress.done("restore", fmt::format("{}, {} sent", files, show_bytes(report.bytes_moved)),
                         {{"files", report.files}, {"bytes_moved", report.bytes_moved}});
  return {};
}

Status RunController::restore_stored() {
  context_.progress.begin("restore", "bringing back what the run had stored");
  agent::RestoreOrder order{.run = run_.name, .attempt = trial_.n - 1, .workdir = node_.connection->paths().workdir};
  TRY_SET(spec, "", store_spec());
  order.store = std::move(spec);
  TRY_SET(report, "bring back what the run had stored", job::restore_stored(context_, *node_.connection, order));
  trial_.resumes = report.attempt > 0;
  const auto files = watch::counted(report.files, "file");
  context_.progress.done("restore",
                         trial_.resumes ? fmt::format("{}, {}, from {}", files, show_bytes(report.bytes), run_.store)
                                        : "nothing was stored yet: from its start",
                         {{"files", report.files}, {"bytes_moved", report.bytes}});
  return {};
}

}  // namespace ferry::run
