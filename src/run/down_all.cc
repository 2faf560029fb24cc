// `ferry down --all`: every run, then whatever else carries this user's tag.
#include <algorithm>
#include <map>

#include "base/text.h"
#include "fleet/own_machine.h"
#include "fleet/store_role.h"
#include "run/actions.h"
#include "run/reach.h"
#include "run/search.h"

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
  void end_untracked(const fleet::Untracked& untracked);
  void remove(const fleet::Leftover& leftover);

  fleet::Context& context_;
  const SweepOptions& options_;
  Sweep sweep_;
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
    context_.progress.warn("down",
                           fmt::format("{}: {}{}", host, error.what, error.why.empty() ? "" : " (" + error.why + ")"));
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
    const bool no_keys = !reached && (reached.error().kind == Kind::denied || reached.error().kind == Kind::not_found);
    if (no_keys) {
      context_.progress.warn("down", fmt::format("{} is ended without its outputs: {}",
                                                 fleet::describe_untracked(untracked), reached.error().what));
      with_outputs = false;
    }
  }
  end(*run, with_outputs);
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

Result<Sweep> Sweeper::run() {
  Search search(context_, "down");
  // What is not looked at is said before anything is ended.
  TRY("", search.choose_locations());
  TRY_SET(roles, "", fleet::remove_noted_store_roles(context_));
  sweep_.removed = std::move(roles);
  TRY("", end_runs());
  const auto is_mine = [&](const auto& one) { return one.is_ours || options_.every_ledger; };
  std::vector<fleet::Untracked> others;
  for (auto& one : search.machines()) {
    if (is_mine(one))
      end_untracked(one);
    else
      others.push_back(std::move(one));
  }
  std::vector<fleet::Leftover> others_leftovers;
  for (auto& one : search.leftovers()) {
    if (is_mine(one))
      remove(one);
    else
      others_leftovers.push_back(std::move(one));
  }
  if (search.incomplete()) sweep_.incomplete = true;
  auto& lines = sweep_.of_other_ledgers;
  for (const auto& one : others) lines.push_back(fleet::describe_untracked(one));
  for (const auto& one : others_leftovers) lines.push_back(fleet::describe_leftover(one));
  if (!lines.empty() && options_.ask && options_.ask(lines)) {
    for (const auto& one : others) end_untracked(one);
    for (const auto& one : others_leftovers) remove(one);
    lines.clear();
  }
  return std::move(sweep_);
}

}  // namespace

Result<Sweep> down_all(fleet::Context& context, const SweepOptions& options) { return Sweeper(context, options).run(); }

}  // namespace ferry::run
