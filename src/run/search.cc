#include "run/search.h"

#include <algorithm>

#include "base/text.h"

namespace ferry::run {

namespace {

std::string because(const Error& error) { return error.what + (error.why.empty() ? "" : " (" + error.why + ")"); }

}  // namespace

Status Search::choose_locations() {
  TRY_SET(noted, "", fleet::locations_of_ledger(context_));
  if (os::is_directory(context_.data / "rehearsal")) noted.insert({"rehearsal", "", "", "", ""});
  locations_.assign(noted.begin(), noted.end());
  return add_account(noted, locations_);
}

Status Search::add_account(const std::set<fleet::CloudLocation>& of_ledger, std::vector<fleet::CloudLocation>& all) {
  const auto regions = fleet::locations_of_account(context_, of_ledger);
  if (!regions) {
    TRY_SET(runs, "", context_.ledger.runs(false));
    context_.progress.warn(phase_, "AWS was NOT looked at: " + because(regions.error()));
    // Whoever has only ever used other places has nothing there. An empty ledger says nothing: it may be new.
    const bool never_used = !runs.empty() && regions.error().kind == Kind::denied &&
                            std::ranges::none_of(runs, [](const auto& run) { return run.infra.starts_with("aws"); });
    if (!never_used) incomplete_ = true;
    return {};
  }
  for (const auto& location : *regions) {
    const bool seen = std::ranges::any_of(of_ledger, [&](const auto& one) {
      return one.provider == "aws" && one.region == location.region && one.account == location.account;
    });
    if (!seen) all.push_back(location);
  }
  return {};
}

std::vector<fleet::Untracked> Search::machines() {
  std::vector<fleet::Untracked> all;
  // An instance may be seen from two places: a ledger's, whose account is not noted, and the account's own.
  std::set<std::string> told;
  std::erase_if(locations_, [&](const auto& location) {
    auto found = fleet::find_untracked(context_, location, owner_);
    if (!found) {
      context_.progress.warn(phase_,
                             fmt::format("could not look in {}{}: {}", location.provider,
                                         location.region.empty() ? "" : "/" + location.region, because(found.error())));
      return incomplete_ = true;
    }
    for (auto& one : *found) {
      // A role's machine may be in any region.
      if (const auto tag = one.instance.tags.find(fleet::launch_tag); tag != one.instance.tags.end())
        launches_.insert(tag->second);
      if (told.insert(one.instance.id).second) all.push_back(std::move(one));
    }
    return false;
  });
  return all;
}

std::vector<fleet::Leftover> Search::leftovers() {
  std::vector<fleet::Leftover> all;
  std::set<std::string> told;
  bool told_denied = false;
  for (const auto& location : locations_) {
    auto found = fleet::find_leftovers(context_, location, owner_);
    if (!found) {
      // Nothing of it costs: where the policy is of an older ferry, once is enough.
      const bool is_denied = found.error().kind == Kind::denied;
      if (!is_denied || !std::exchange(told_denied, true))
        context_.progress.warn(phase_, "key pairs and security groups were not looked at: " + found.error().what);
      if (!is_denied) incomplete_ = true;
      continue;
    }
    for (auto& one : *found) {
      const auto launch = one.made.tags.find(fleet::launch_tag);
      if (launch != one.made.tags.end() && launches_.contains(launch->second)) continue;
      if (told.insert(fleet::describe_leftover(one)).second) all.push_back(std::move(one));
    }
  }
  return all;
}

}  // namespace ferry::run
