// `ferry down --all`: every run, then whatever else carries this user's tag.
#include <algorithm>
#include <map>
#include <set>

#include "base/text.h"
#include "run/actions.h"
#include "fleet/own_machine.h"
#include "run/reach.h"
#include "fleet/untracked.h"

namespace ferry::run {

namespace {

class Sweeper {
 public:
  Sweeper(fleet::Context& context, const SweepOptions& options) : context_(context), options_(options) {}
  Result<Sweep> run();

 private:
  void end(const std::string& run, bool with_outputs);
  Status end_runs();
  void clear_hosts(const std::vector<ledger::Run>& runs);
  /// The environment's own account, before anything is ended: what is not looked at is said first.
  Status look_for_account(const std::vector<ledger::Run>& runs);
  /// False if that was not possible.
  bool look_at(const fleet::CloudLocation& location);
  void end_untracked(const fleet::Untracked& untracked);
  void look_for_leftovers(const fleet::CloudLocation& location);
  void remove(const fleet::Leftover& leftover);

  fleet::Context& context_;
  const SweepOptions& options_;
  Sweep sweep_;
  std::set<fleet::CloudLocation> places_;
  std::vector<fleet::CloudLocation> of_account_;
  std::vector<fleet::Untracked> others_;
  std::vector<fleet::Leftover> others_leftovers_;
  bool told_denied_ = false;
};

void Sweeper::end(const std::string& run, bool with_outputs) {
  const auto one = down(context_, run, with_outputs);
  if (one) {
    sweep_.ended.insert(sweep_.ended.end(), one->begin(), one->end());
  } else {
    context_.progress.error(one.error());
    sweep_.failed = true;
  }
}

void Sweeper::clear_hosts(const std::vector<ledger::Run>& runs) {
  std::map<std::string, std::vector<std::string>> by_host;
  for (const auto& run : runs) {
    const auto infra = task::parse_infra(run.infra);
    if (infra && infra->provider == task::Provider::ssh) by_host[infra->host].push_back(run.name);
  }
  for (const auto& [host, names] : by_host) {
    const auto cleared = fleet::clear_own_machine(context_, host, names);
    if (cleared) continue;
    const auto& error = cleared.error();
    context_.progress.warn("down", fmt::format("{}: {}{}", host, error.what,
                                             error.why.empty() ? "" : " (" + error.why + ")"));
    if (error.kind == Kind::io) sweep_.incomplete = true;
  }
}

Status Sweeper::end_runs() {
  TRY_SET(runs, "", context_.ledger.runs(true));
  const auto is_on_host = [](const auto& run) { return run.infra.starts_with("ssh/"); };
  // First what runs on machines of the user's own: one of those may itself be rented by ferry.
  std::stable_partition(runs.begin(), runs.end(), is_on_host);
  for (const auto& run : runs) {
    if (is_on_host(run)) end(run.name, options_.with_outputs);
  }
  TRY_SET(all, "", context_.ledger.runs(false));
  clear_hosts(all);
  for (const auto& run : runs) {
    if (!is_on_host(run)) end(run.name, options_.with_outputs);
  }
  return {};
}

Status Sweeper::look_for_account(const std::vector<ledger::Run>& runs) {
  auto regions = fleet::locations_of_account(context_, places_);
  if (regions) {
    of_account_ = std::move(*regions);
    return {};
  }
  const auto& error = regions.error();
  context_.progress.warn("down", fmt::format("AWS was NOT looked at: {}{}", error.what,
                                           error.why.empty() ? "" : " (" + error.why + ")"));
  // Whoever has only ever used other places has nothing there. An empty ledger says nothing: it may be new.
  const bool never_used =
      !runs.empty() && error.kind == Kind::denied &&
      std::ranges::none_of(runs, [](const auto& run) { return run.infra.starts_with("aws"); });
  if (!never_used) sweep_.incomplete = true;
  return {};
}

void Sweeper::end_untracked(const fleet::Untracked& untracked) {
  const auto run = fleet::adopt_untracked(context_, untracked);
  if (!run) {
    // Another process was faster: it ends it.
    if (run.error().kind == Kind::exists) return;
    context_.progress.error(run.error());
    sweep_.failed = true;
    return;
  }
  auto with_outputs = options_.with_outputs;
  if (with_outputs) {
    const auto noted = context_.ledger.run(*run);
    const auto reached = noted ? reach(context_, *noted, true) : tl::unexpected<Error>(noted.error());
    // Its key or host key is not here, or was another ledger's: no waiting will bring its outputs home.
    const bool no_keys = !reached && (reached.error().kind == Kind::denied ||
                                      reached.error().kind == Kind::not_found);
    if (no_keys) {
      context_.progress.warn("down", fmt::format("{} is ended without its outputs: {}", fleet::describe_untracked(untracked),
                                               reached.error().what));
      with_outputs = false;
    }
  }
  end(*run, with_outputs);
}

bool Sweeper::look_at(const fleet::CloudLocation& location) {
  auto machines = fleet::find_untracked(context_, location);
  if (!machines) {
    const auto& error = machines.error();
    context_.progress.warn("down",
                         fmt::format("could not look in {}{}: {}{}", location.provider,
                                     location.region.empty() ? "" : "/" + location.region, error.what,
                                     error.why.empty() ? "" : " (" + error.why + ")"));
    sweep_.incomplete = true;
    return false;
  }
  for (auto& untracked : *machines) {
    if (untracked.is_ours || options_.every_ledger) {
      end_untracked(untracked);
    } else {
      others_.push_back(std::move(untracked));
    }
  }
  return true;
}

void Sweeper::remove(const fleet::Leftover& leftover) {
  const auto what = fleet::describe_leftover(leftover);
  if (const auto removed = fleet::remove_leftover(context_, leftover)) {
    sweep_.removed.push_back(what);
  } else {
    context_.progress.warn("down", fmt::format("{} could not be removed: {}", what, removed.error().what));
    sweep_.incomplete = true;
  }
}

void Sweeper::look_for_leftovers(const fleet::CloudLocation& location) {
  auto found = fleet::find_leftovers(context_, location);
  if (!found) {
    // Nothing of it costs: where the policy is of an older ferry, once is enough.
    const bool is_denied = found.error().kind == Kind::denied;
    if (!is_denied || !std::exchange(told_denied_, true))
      context_.progress.warn("down", "key pairs and security groups were not looked at: " + found.error().what);
    if (!is_denied) sweep_.incomplete = true;
    return;
  }
  for (auto& one : *found) {
    if (one.is_ours || options_.every_ledger) {
      remove(one);
    } else {
      others_leftovers_.push_back(std::move(one));
    }
  }
}

Result<Sweep> Sweeper::run() {
  TRY_SET(runs, "", context_.ledger.runs(false));
  TRY_SET(noted, "", fleet::locations_of_ledger(context_));
  places_ = std::move(noted);
  TRY("", look_for_account(runs));
  TRY("", end_runs());
  if (os::is_directory(context_.data / "rehearsal")) places_.insert({"rehearsal", "", "", "", ""});
  std::vector<fleet::CloudLocation> all(places_.begin(), places_.end());
  for (const auto& location : of_account_) {
    const bool seen = std::ranges::any_of(places_, [&](const auto& one) {
      return one.provider == "aws" && one.region == location.region && one.account == location.account;
    });
    if (!seen) all.push_back(location);
  }
  // Whatever could not be looked at is told already.
  std::erase_if(all, [&](const auto& location) { return !look_at(location); });
  for (const auto& location : all) look_for_leftovers(location);
  // An instance may be seen from two places: a ledger's, whose account is not noted, and the account's own.
  std::set<std::string> told;
  std::erase_if(others_, [&](const auto& one) { return !told.insert(one.instance.id).second; });
  std::erase_if(others_leftovers_, [&](const auto& one) { return !told.insert(fleet::describe_leftover(one)).second; });
  auto& lines = sweep_.of_other_ledgers;
  for (const auto& one : others_) lines.push_back(fleet::describe_untracked(one));
  for (const auto& one : others_leftovers_) lines.push_back(fleet::describe_leftover(one));
  if (!lines.empty() && options_.ask && options_.ask(lines)) {
    for (const auto& one : others_) end_untracked(one);
    for (const auto& one : others_leftovers_) remove(one);
    lines.clear();
  }
  return std::move(sweep_);
}

}  // namespace

Result<Sweep> down_all(fleet::Context& context, const SweepOptions& options) { return Sweeper(context, options).run(); }

}  // namespace ferry::run
