// A run that has no machine and goes on all the same: it waits until there is room for one, or for a process that can
// begin its next attempt.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <random>

#include "base/hash.h"
#include "base/text.h"
#include "fleet/machine.h"
#include "job/mounts.h"
#include "job/sent.h"
#include "os/env.h"
#include "run/record.h"
#include "run/run_controller.h"

namespace ferry::run {

using ledger::Phase;

namespace {

/// Between two tries; a little more or less, so that many who wait do not ask at once.
constexpr Seconds first_rest{30};
constexpr Millis longest_rest{600'000};
constexpr const char* waited_enough = "waited-enough";
/// How long an attempt after the first waits for room where nothing else is said.
constexpr Millis recovery_patience{24 * 3'600'000};
/// Between two tries to give back the machine of the attempt before; and how long a user is kept waiting for that.
constexpr Millis first_release_rest{2'000}, most_foreground{600'000};

constexpr Seconds longest_unused{60 * 24 * 3600};

Millis first_rest_now() { return os::env_duration("FERRY_WAIT_EVERY", first_rest); }

Millis about(Millis rest) {
  std::minstd_rand random(std::random_device{}());
  return rest * std::uniform_int_distribution(80, 120)(random) / 100;
}

struct ToRead {
  const fleet::RunDir& run_dir;
  const os::Path& workdir;
  os::Path cache;
  bool again = false;
  bool keeps = false;  // for the next attempts
  Json code;           // what code_of() must be; null: nothing of it was sent yet
};

/// What is remembered of workdirs that nobody sent for long goes.
void forget_old_trees(const os::Path& used) {
  (void)::utimensat(AT_FDCWD, used.c_str(), nullptr, 0);
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  for (const std::string& name : os::list_dir(used.parent_path()).value_or(std::vector<std::string>())) {
    struct stat info;
    const auto path = used.parent_path() / name;
    if (::lstat(path.c_str(), &info) == 0 && info.st_mtim.tv_sec < now.tv_sec - longest_unused.count())
      (void)::unlink(path.c_str());
  }
}

/// What is sent, hashed.
Status read_sent(Beginning& beginning, const ToRead& what) {
  auto& [request, ready] = beginning;
  if (what.again) {
    auto kept = sent_again(what.run_dir, what.workdir);
    if (!kept && kept.error().kind != Kind::not_found) return tl::unexpected<Error>(kept.error());
    if (kept) {
      ready.tree = *std::move(kept);
      return {};
    }
  }
  if (ready.tree.entries.empty()) {
    TRY_SET(tree, "", job::list_workdir(what.workdir, request.follow));
    ready.tree = std::move(tree);
    std::vector<std::string> told_already;
    TRY("", job::add_mounts(request.task, request.follow, ready.tree, told_already));
  }
  TRY("", sync::hash_tree(what.workdir, ready.tree, what.cache));
  forget_old_trees(what.cache);
  if (what.again && !what.code.is_null() && code_of(ready.tree) != what.code)
    return fail(Kind::conflict, "the workdir is not what it was when the run began");
  if (what.keeps) (void)keep_sent(what.run_dir, what.workdir, ready.tree);  // without, it must be unchanged then
  return {};
}

}  // namespace

bool passes(const Error& error) {
  if (error.code == waited_enough) return false;
  return may_work_later(error.kind) || error.kind == Kind::quota || error.code.starts_with("ExpiredToken");
}

Status RunController::release_patiently() {
  return patiently([&]() -> Status {
    TRY("", fleet::release_all(context_, run_));
    return {};
  });
}

Status RunController::patiently(const std::function<Status()>& call) {
  const auto end = context_.clock.now_ms() + (node_.is_patient ? recovery_patience : most_foreground).count();
  bool told = false;
  for (auto rest = first_release_rest;; rest = std::min(rest * 2, longest_rest)) {
    const auto done = call();
    if (done) return {};
    const auto& error = done.error();
    if (!passes(error) || context_.clock.now_ms() > end || context_.letting_go) return tl::unexpected<Error>(error);
    if (!std::exchange(told, true)) context_.progress.warn("release", error.what + "; trying again");
    if (!context_.sleep(rest, false)) return tl::unexpected<Error>(error);
  }
}

os::Path RunController::tree_file(const char* ending) const {
  return context_.data / "trees" / (hex(sha256(run_.workdir)).substr(0, 16) + ending);
}

void RunController::begin_reading(bool again) {
  if (beginning_to_send_.valid()) beginning_to_send_.wait();
  workdir_.reset();
  if (hashing_.valid()) hashing_.wait();  // it writes what is read here
  hashing_ = std::async(std::launch::async,
                        [this, what = ToRead{run_dir_, beginning_->request.workdir, tree_file(".hashes"), again,
                                             run_.task.contains(kept_request), run_.task.value("code", Json())}] {
                          return read_sent(*beginning_, what);
                        });
}

std::int64_t RunController::waits_until() const {
  const auto asked = int_at(run_.task, waits_until_ms);
  const bool recovers = trial_.n > 1 && policy(Status()).recovers;
  return std::max(asked, recovers ? run_.phase_ms + recovery_patience.count() : 0);
}

Millis RunController::until_it_opens(const Error& why, Millis rest) const {
  const auto at = cloud::opens_at(why);
  if (!at) return rest;
  // (about() adds a fifth.)
  const Millis left{std::max<std::int64_t>(0, *at - context_.clock.now_ms())};
  return std::min(longest_rest, left * 5 / 6 + Millis(1000));
}

Status RunController::rent() {
  bool told = false;
  const auto began = context_.clock.now_ms();
  for (auto rest = first_rest_now();; rest = std::min(rest * 3 / 2, longest_rest)) {
    auto had = plan();
    if (had) had = store_data();
    if (had) had = launch();
    const auto until = waits_until();
    if (had && told)
      context_.progress.note(
          fmt::format("there was room after {}", show_duration(Millis(context_.clock.now_ms() - began))));
    if (had || until == 0 || !passes(had.error())) return had;
    if (!std::exchange(told, true))
      context_.progress.warn(
          "launch", fmt::format("no machine can be had now: {}. {} waits for one, at most until {}; nothing is rented "
                                "meanwhile, and nothing costs",
                                had.error().what, run_.name, os::iso_time(until)));
    TRY("", look_at_quotas(had.error()));
    TRY("", wait_for_room(had.error(), until_it_opens(had.error(), rest), until));
    if (detaching_) return {};
  }
}

Status RunController::look_at_quotas(const Error& why) {
  auto short_of = short_of_;
  // EC2 said so itself, where Service Quotas was not asked or did not tell.
  if (short_of.empty() && why.kind == Kind::quota && !trial_.offers.empty()) {
    if (auto shortage = account::shortage_of(trial_.offers.front())) short_of.push_back(*std::move(shortage));
  }
  if (short_of.empty() || context_.cloud) return {};  // (A test's cloud has no Service Quotas.)
  std::map<std::string, Result<std::vector<account::QuotaRequest>>> requests;  // by region
  std::vector<std::string> refused;
  for (auto& one : short_of) {
    one.is_rehearsal = node_.location.provider == "rehearsal";
    auto location = node_.location;
    location.region = one.region;
    const auto [there, fresh] = requests.try_emplace(one.region, std::vector<account::QuotaRequest>());
    if (fresh) there->second = account::quota_requests(context_, location);
    if (!there->second) continue;  // the limit itself is looked at all the same
    const auto news = account::news_of(one, *there->second, run_.created_ms);
    if (news.is_hopeless) refused.push_back(news.line);
    if (told_of_quotas_.insert(news.line).second) context_.progress.warn("quota", news.line);
  }
  if (why.kind != Kind::quota || refused.size() < short_of.size()) return {};
  return fail(Kind::quota, "the account's limit stays too low: " + refused.front(), why.why,
              "AWS's console says why, and takes an answer to its case; or another region, type or market: --region "
              "'*', --spot, --on-demand",
              waited_enough);
}

Status RunController::wait_for_room(const Error& why, Millis rest, std::int64_t until) {
  context_.progress.begin("wait", why.what);
  TRY("", context_.ledger.let_go(run_.name));
  while (true) {
    const auto now = context_.clock.now_ms();
    if (now >= until)
      return tl::unexpected<Error>({Kind::no_capacity, "no machine could be had in all the time that was waited",
                                    why.what, why.advice, waited_enough});
    if (!context_.sleep(std::clamp(about(rest), Millis(1), Millis(until - now)), true)) {
      if (context_.interrupt != fleet::Interrupt::detach) return fail(Kind::cancelled, "cancelled");
      detaching_ = true;
      return {};
    }
    // Exactly one machine: what was asked for, and may have been had all the same, is given back before the next try.
    const auto released = fleet::release_all(context_, run_);
    if (released) break;
    if (!passes(released.error())) return tl::unexpected<Error>(released.error());
  }
  node_.start_over();
  return {};
}

Status RunController::take_up_waiting() {
  if (run_.phase == Phase::planning) return note_begun();
  TRY("give back what was made for the attempt before", fleet::release_all(context_, run_));
  return begin_attempt();
}

int RunController::leave_waiting(const Error& lacking) {
  context_.progress.error(lacking);
  return ferry_failed;
}

}  // namespace ferry::run
