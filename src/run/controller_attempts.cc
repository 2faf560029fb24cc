// Another attempt: whether there may be one, and with what it begins.
#include "base/hash.h"
#include "base/text.h"
#include "fleet/machine.h"
#include "run/record.h"
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

}  // namespace

Seconds RunController::time_left() const {
  const auto until = run_.train_end_ms > 0 ? run_.train_end_ms : context_.clock.now_ms();
  const auto now = run_.train_start_ms > 0 ? std::max<std::int64_t>(0, until - run_.train_start_ms) : 0;
  return whole_.max_duration - trained_ - std::chrono::ceil<Seconds>(Millis(now));
}

std::optional<Usd> RunController::money_left() const {
  const auto agreed = int_at(run_.task, "at_most_micros");
  auto bound = agreed > 0 ? std::optional(Usd{agreed}) : std::nullopt;
  if (request_ && request_->task.budget && (!bound || *request_->task.budget < *bound)) bound = request_->task.budget;
  if (!bound) return std::nullopt;
  const auto instances = context_.ledger.instances(run_.name);
  if (!instances) return Usd{};
  const auto spent = watch::total_spent(*instances, context_.clock.now_ms());
  return Usd{std::max<std::int64_t>(0, bound->micros - spent.value_or(Usd{}).micros)};
}

Policy RunController::policy(const Status& done) const {
  Policy policy;
  policy.keeps_machine = run_.keep && run_.outputs_home && done;
  if (!request_ || trial_.offers.empty()) return policy;
  const auto& wanted = trial_.candidates[trial_.offers.front().candidate];
  const bool is_wanted = context_.interrupt == fleet::Interrupt::go_on && !context_.letting_go && !detaching_ &&
                         int_at(run_.task, cancel_asked) == 0;
  const auto money = money_left();
  policy.may_begin_again =
      is_wanted && trial_.n < most_attempts && time_left() >= least_time && (!money || money->micros > 0);
  const auto& recovery = wanted.recovery;
  policy.recovers = recovery ? recovery->is_wanted : wanted.use_spot;
  if (!recovery || !run_.exit_code || run_.train_start_ms == 0) return policy;  // a setup fails as it did
  const bool is_named = std::ranges::find(recovery->exit_codes, *run_.exit_code) != recovery->exit_codes.end();
  policy.retries_failures = recovery->is_wanted && (is_named || retried_ < recovery->restarts_on_errors);
  return policy;
}

Status RunController::begin_again() {
  if (hashing_.valid()) hashing_.wait();  // it writes what is copied here
  // Exactly what the attempt before ran: another code may not understand what that one saved.
  auto tree = *sent_;
  TRY("read the workdir", sync::hash_tree(run_.workdir, tree, context_.data / "hashes"));
  if (run_.task.contains("code") && run_.task["code"] != code_of(tree))
    return fail(Kind::conflict, run_.name + " cannot begin again: the workdir is not what it was when it began", {},
                "what it had saved is below " + run_.output_dir + "; begin a new run from there");
  context_.is_ending = false;
  const auto lost = node_.instance;
  const bool has_failed = run_.outcome == Outcome::failed;
  pull_.reset();
  if (lease_ && !lease_->confirm()) stop_at_once("another computer took it over while this one was not heard of");
  if (run_.store.empty()) lease_.reset();  // it stood on that machine
  if (node_.connection) {
    if (auto channel = node_.connection->agent()) (void)channel->client.release(true);
    node_.connection.reset();
  }
  // Never two machines for one node.
  TRY("give back the machine before the next one", fleet::release_all(context_, run_));
  TRY_SET(objects, "", context_.ledger.objects(run_.name));
  const bool resumes = std::ranges::any_of(objects, is_restored);
  const auto left = time_left();
  const auto why = run_.error.empty() && run_.exit_code ? fmt::format("exit {}", *run_.exit_code) : run_.error;
  TRY_SET(n, "", context_.ledger.begin_attempt(run_.name, resumes ? run_.output_dir : ""));
  TRY_SET(run, "", context_.ledger.run(run_.name));
  run_ = std::move(run);
  run_.task["attempt"] = n;  // for the machine's tags
  trained_ = whole_.max_duration - left;
  if (has_failed) ++retried_;
  last_ = lost;
  trial_ = {};
  trial_.n = n;
  trial_.resumes = resumes;
  node_.start_over();
  node_.lifetime = whole_;
  node_.lifetime.max_duration = left;
  context_.progress.note(fmt::format("{}; {} begins again (attempt {}){}", why, run_.name, n,
                                     resumes ? ", from what it had saved" : ", from its start"),
                         {{"run", run_.name}, {"attempt", n}, {"resumes", resumes}, {"why", why}});
  return {};
}

Status RunController::restore() {
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
  TRY_SET(report, "send what the run had saved", send(run_.output_dir, tree, {}));
  const auto files = watch::counted(report.files, "file");
  context_.progress.done("restore", fmt::format("{}, {} sent", files, show_bytes(report.bytes_moved)),
                         {{"files", report.files}, {"bytes_moved", report.bytes_moved}});
  return {};
}

}  // namespace ferry::run
