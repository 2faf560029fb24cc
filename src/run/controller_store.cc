// A run whose machine stores by itself what it makes: what that machine is told, and what follows from it. The store
// holds the run when the machine is gone.
#include "base/text.h"
#include "fleet/labels.h"
#include "fleet/store_access.h"
#include "os/env.h"
#include "run/ending.h"
#include "run/history.h"
#include "run/reach.h"
#include "run/run_controller.h"
#include "run/stored.h"
#include "run/stored_record.h"
#include "store/content.h"
#include "store/keys.h"
#include "watch/report.h"

namespace ferry::run {

namespace {

/// Once the training is over: how long a machine may say that it is in trouble and store nothing, before its outputs
/// are fetched from it.
constexpr Seconds most_trouble{60};
/// The same of one that says nothing, which may have a large file under way.
constexpr Seconds most_silence{600};

/// Of what is sent, kept in the store for other computers: as much as goes over while a machine boots.
constexpr std::uint64_t most_stored_sent = std::uint64_t{256} << 20;
constexpr Seconds most_boot{60};

}  // namespace

Status RunController::prepare_store() {
  if (!is_seen_from_here(context_, run_)) return {};
  if (node_.location.provider == "rehearsal" && run_.store.starts_with("s3://") && !context_.store)
    TRY("", fleet::make_rehearsal_bucket(context_, run_.store));
  if (trial_.n > 1) return take_lease();  // the record is there
  TRY("", put_record(context_, run_));
  return take_lease();
}

Status RunController::take_lease() {
  if (lease_) return {};
  const auto taken = [&]() -> Status {
    TRY_SET(place, "", register_of(context_, run_));
    if (!place) return {};
    TRY_SET(ledger, "", fleet::ledger_id(context_.data));
    bool told = false;
    const auto waiting = [&](const LeaseHolder& holder) {
      if (holder.ledger != ledger && !std::exchange(told, true))
        context_.progress.update(fmt::format("waiting for the ferry of {}, which may be gone", holder.who));
      return context_.check_signals(true) == fleet::Interrupt::go_on;
    };
    TRY_SET(lease, "",
            Lease::take(std::move(place), run_.name, {ledger, fleet::owner_name()}, context_.clock, waiting));
    lease_ = std::move(lease);
    return {};
  }();
  if (taken || taken.error().kind == Kind::conflict || taken.error().kind == Kind::bug) return taken;
  if (taken.error().kind == Kind::not_found) return {};  // its machine is gone, as will be seen
  context_.progress.warn(run_.store.empty() ? "connect" : "store",
                         "it is not known whether another computer works on the run: " + taken.error().what);
  return {};
}

bool RunController::may_go_on_elsewhere() const {
  return beginning_ && run_.task.contains(kept_request) && run_.store.starts_with(context_.store ? "" : "s3://") &&
         !run_.store.empty() && may_recover(beginning_->request.task);
}

void RunController::store_history() {
  if (!may_go_on_elsewhere()) return;
  const auto put = [&]() -> Status {
    TRY_SET(store, "", store_of(context_, run_)());
    return put_history(context_, *store, run_);
  }();
  if (!put) context_.progress.warn("store", "other computers cannot go on with the run: " + put.error().what);
}

void RunController::store_sent() {
  if (!may_go_on_elsewhere() || !hashing_.valid()) return;
  hashing_.wait();
  const auto& tree = beginning_->ready.tree;
  const auto pack = run_dir_.path / "sent.pack";
  const auto put = [&]() -> Status {
    TRY_SET(store, "", store_of(context_, run_)());
    const auto key = store::sent_key(run_.name);
    if (store->look(key)) return {};
    if (tree.bytes > most_stored_sent)
      return fail(Kind::bad_input, fmt::format("what is sent is large ({})", show_bytes(tree.bytes)));
    TRY("", pack_sent(run_dir_, run_.workdir, tree, pack));
    TRY_SET(content, "", store::content_of(pack));
    const auto until = context_.clock.steady_ms() + Millis(most_boot).count();
    const auto moved = [&](std::uint64_t) { return context_.clock.steady_ms() < until; };
    TRY("", store->put_file(key, pack, content, {}, moved));
    return {};
  }();
  std::error_code ignored;
  std::filesystem::remove(pack, ignored);
  if (!put) context_.progress.warn("store", "only this computer can begin its next attempt: " + put.error().what);
}

Status RunController::catch_up_with_others() {
  if (!lease_ || run_.store.empty()) return {};
  const auto caught = catch_up(context_, run_);
  if (!caught && caught.error().kind == Kind::corrupt) {
    context_.progress.warn("store", caught.error().what);
    return {};
  }
  TRY_SET(has_news, "see what other computers did with " + run_.name, caught);
  if (!has_news) return {};
  TRY_SET(run, "", context_.ledger.run(run_.name));
  run_ = std::move(run);
  trial_.n = newest_attempt(context_, run_.name);
  context_.progress.note(fmt::format("another computer went on with {}, up to attempt {}", run_.name, trial_.n));
  return {};
}

Result<agent::StoreSpec> RunController::store_spec() const {
  agent::StoreSpec spec;
  spec.uri = run_.store;
  spec.every_s = os::env_duration("FERRY_STORE_EVERY", Seconds(spec.every_s)).count();
  if (spec.uri.starts_with("~/")) spec.uri = node_.connection->paths().home + spec.uri.substr(1);
  if (!run_.store.starts_with("s3://")) return spec;
  TRY_SET(session, "", fleet::open_s3(context_, run_.store, "", node_.location.profile, node_.location.provider));
  const auto place = session->place();
  spec.endpoint = place.endpoint;
  spec.region = place.region;
  return spec;
}

Result<bool> RunController::is_stored() {
  TRY_SET(stored, "", look_in_store(context_, run_));
  // What an attempt before stored is not what this one makes.
  if (!stored || !stored->is_complete() || stored->manifest.attempt != trial_.n) return false;
  TRY("", adopt_stored(context_, run_, *stored));
  return true;
}

Result<bool> RunController::await_stored() {
  context_.progress.begin("store", "the machine stores its outputs in " + run_.store);
  agent::StoreStatus before;
  auto moved_at = context_.clock.steady_ms();
  while (true) {
    const auto status =
        node_.connection ? node_.connection->job() : Result<agent::JobStatus>(fail(Kind::lost, "no connection"));
    if (!status) {
      // It ends itself when it is done, and that may be all that is left of it.
      if (const auto whole = is_stored(); whole && *whole) break;
      if (node_.look(run_.name) != Standing::there) return false;
      if (context_.letting_go) return fail(Kind::cancelled, "stopped waiting for the store");
      TRY("", node_.reopen(job::MayInterrupt::detach));
      continue;
    }
    const auto& now = status->store;
    if (now.state == agent::StoreStatus::State::stored) {
      TRY_SET(whole, "", is_stored());
      if (whole) break;
      return false;  // what it says is not so
    }
    if (now.state != agent::StoreStatus::State::storing) {
      context_.progress.warn("store", "the machine could not store its outputs: " + printable(now.problem));
      return false;
    }
    const auto steady = context_.clock.steady_ms();
    if (now.bytes != before.bytes || now.files != before.files || now.stored_ms != before.stored_ms) moved_at = steady;
    before = now;
    if (steady - moved_at > Millis(now.problem.empty() ? most_silence : most_trouble).count()) {
      context_.progress.warn("store", "the machine cannot store its outputs now: " +
                                          (now.problem.empty() ? "nothing moves" : printable(now.problem)));
      return false;
    }
    context_.progress.update(
        fmt::format("{}, {} are in {}", watch::counted(now.files, "file"), show_bytes(now.bytes), run_.store));
    context_.sleep(Millis(250), true);
    if (context_.letting_go) return fail(Kind::cancelled, "stopped waiting for the store");
  }
  context_.progress.done("store", "all outputs are in " + run_.store, {{"store", run_.store}});
  return true;
}

void RunController::bring_stored() {
  if (!run_.outputs_stored || run_.outputs_home) return;
  context_.progress.begin("fetch", "bringing outputs home from " + run_.store);
  const auto options = fetch_options();
  const auto fetched = [&]() -> Result<job::Outputs> {
    TRY_SET(stored, "", look_in_store(context_, run_));
    if (!stored) return fail(Kind::not_found, "the store has nothing of " + run_.name + " any more");
    return bring_stored_home(context_, run_, *stored, options);
  };
  constexpr int most_tries = 4;
  auto outputs = fetched();
  for (int tries = 1; !outputs && may_work_later(outputs.error().kind) && tries < most_tries; ++tries) {
    context_.progress.warn("fetch", outputs.error().what + "; trying again");
    if (!context_.sleep(Millis(2000) * tries, true) || context_.letting_go) break;
    outputs = fetched();
  }
  if (!outputs) {
    auto error = outputs.error();
    error.advice =
        fmt::format("they are safe in {}; bring them home at any time: ferry fetch {}", run_.store, run_.name);
    context_.progress.error(error);
    return;
  }
  run_.outputs_home = true;
  (void)context_.ledger.update(run_);
  told_of_home(*outputs);
}

std::string RunController::noted_stored() {
  const auto stored = look_in_store(context_, run_);
  if (!stored || !*stored) return {};  // the next attempt's machine looks for itself
  (void)job::record_stored(context_, run_, **stored);
  const auto files = (*stored)->count(store::FileKind::output) + (*stored)->count(store::FileKind::checkpoint);
  return fmt::format("; {} that it had stored {} in {}", watch::counted(files, "file"), files == 1 ? "is" : "are",
                     run_.store);
}

std::string RunController::told_of_stored() {
  const auto stored = look_in_store(context_, run_);
  if (!stored) {
    const auto told =
        fmt::format("{} could not be asked what it has of the run: ferry fetch {} tries again", run_.store, run_.name);
    context_.progress.note(told, {{"store", run_.store}});
    return "; " + told;
  }
  if (!*stored || (*stored)->manifest.entries.empty()) return {};
  const auto brought = bring_stored_home(context_, run_, **stored, fetch_options());
  const auto files = (*stored)->count(store::FileKind::output) + (*stored)->count(store::FileKind::checkpoint);
  const auto told = fmt::format("{} that it had stored {}", watch::counted(files, "file"),
                                brought ? files == 1 ? "is home" : "are home" : "stay in " + run_.store);
  context_.progress.note(told, {{"home", run_.output_dir}, {"store", run_.store}});
  return "; " + told;
}

}  // namespace ferry::run
