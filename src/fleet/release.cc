// Giving back what a run has: machines first, then what was made for them.
#include <algorithm>
#include <map>
#include <set>

#include "base/text.h"
#include "fleet/labels.h"
#include "fleet/own_machine.h"
#include "fleet/polling.h"
#include "fleet/stand_in.h"
#include "fleet/store_role.h"
#include "fleet/untracked.h"
#include "os/env.h"

namespace ferry::fleet {

namespace {

constexpr Seconds terminated_limit{600};
/// A launch call that was on its way when its caller died has become an instance by then, or never will.
constexpr Millis intent_settles{10'000};
constexpr Seconds intent_limit{60};
/// EC2 is eventually consistent: "not found" this soon after a launch may mean "not yet".
constexpr Seconds visible_after{30};
/// A machine that was told to end itself (its outputs are home) is gone by then.
constexpr Seconds ends_itself_within{60};

/// Every instance of the run that the cloud knows and that is not gone.
Result<std::vector<cloud::Instance>> still_there(cloud::Cloud& cloud, const ledger::Run& run) {
  TRY_SET(tagged, "", cloud.find_by_tag(launch_tag, launch_id(run)));
  std::erase_if(tagged, [](const cloud::Instance& one) { return one.state == cloud::State::terminated; });
  return tagged;
}

/// Gives back what a run has at one place. "Not found" counts only in the account that the place names.
class Release {
 public:
  Release(Context& context, cloud::Cloud& cloud, const ledger::Run& run, const CloudLocation& location)
      : context_(context), cloud_(cloud), run_(run), location_(location) {}

  /// `noted`: not yet released. Adds the ids that are gone to `ended`.
  Status instances(std::vector<ledger::Instance>& noted, std::vector<std::string>& ended);
  Status resource(ledger::Resource& resource);
  /// A group or a template; either goes with the other.
  Status stand_in(ledger::Resource& resource);

 private:
  Status be_sure_of_account();
  Status settle_intent(ledger::Instance& instance);
  /// Asks for the machine's end until the cloud has heard it, and looks in between: one that ends by itself
  /// needs no hearing. When its end began, in milliseconds since 1970.
  Result<std::int64_t> end(const std::string& id, std::int64_t launched_ms);

  Context& context_;
  cloud::Cloud& cloud_;
  const ledger::Run& run_;
  const CloudLocation& location_;
  bool is_our_account_ = false;
  std::set<std::string> pending_;  // ids; not seen running since
};

Status Release::be_sure_of_account() {
  if (!is_our_account_) TRY("", patiently(context_, [&] { return confirm_account(cloud_, location_); }));
  is_our_account_ = true;
  return {};
}

/// A call whose answer never came may still be on its way to becoming an instance: its token says so.
Status Release::settle_intent(ledger::Instance& instance) {
  std::optional<cloud::Instance> found;
  TRY("", poll_until(context_, intent_limit, false, "the launch was settled", [&]() -> Result<bool> {
        TRY_SET(by_token, "", patiently(context_, [&] { return cloud_.find_by_token(instance.token); }));
        found = std::move(by_token);
        return found.has_value() || context_.clock.now_ms() - instance.intent_ms > intent_settles.count();
      }));
  if (!found) return {};
  instance.id = found->id;
  if (found->state == cloud::State::pending) pending_.insert(found->id);
  instance.launched_ms = found->launched_ms;
  instance.state = ledger::Rent::live;
  return context_.ledger.record_instance(instance);
}

/// How far one machine's end has come.
struct Ending {
  bool heard = false;            // the cloud has taken the order, or needs none
  std::int64_t heard_at = 0;     // steady
  std::int64_t alive_ms = 0;     // when it was last seen alive
  std::int64_t began_ms = 0;     // when its end began
  std::int64_t ask_at = 0;       // steady: not before
  Millis pause{1000};            // before the next order
  std::optional<Error> trouble;  // why the order is not heard
  bool is_refused = false;       // and will not be: only the machine itself can end now
  void saw(const cloud::Instance& now, std::int64_t now_ms) {
    if (now.alive()) {
      alive_ms = now_ms;
      return;
    }
    heard = true;
    if (now.ended_ms > 0) began_ms = now.ended_ms;
    // A cloud that does not say when: somewhere between the last two looks.
    if (began_ms == 0) began_ms = alive_ms > 0 ? (alive_ms + now_ms) / 2 : now_ms;
  }
};

Result<std::int64_t> Release::end(const std::string& id, std::int64_t launched_ms) {
  constexpr Millis longest_look{1000}, longest_pause{15'000};
  constexpr std::int64_t ignored_ms = 30'000;  // an order that changed nothing by then is given again
  const auto begun = context_.clock.steady_ms();
  Ending ending;
  for (Millis nap{50};; nap = std::min(nap * 2, longest_look)) {
    const auto now = cloud_.describe(id);
    const auto now_ms = context_.clock.now_ms(), steady = context_.clock.steady_ms();
    if (now) {
      is_our_account_ = true;
      ending.saw(*now, now_ms);
      if (now->alive() && now->state != cloud::State::pending) pending_.erase(id);
      if (now->state == cloud::State::terminated) return ending.began_ms;
    } else if (now.error().kind == Kind::not_found) {
      TRY("", be_sure_of_account());
      if (now_ms > launched_ms + visible_after.count() * 1000) return ending.began_ms > 0 ? ending.began_ms : now_ms;
    } else if (may_pass(now.error())) {
      ending.trouble = now.error();
    } else {
      return tl::unexpected<Error>(now.error());
    }
    const bool ignored = ending.heard && now && now->alive() && steady - ending.heard_at > ignored_ms;
    if ((!ending.heard || ignored) && steady >= ending.ask_at) {
      const auto asked = cloud_.terminate(id);
      if (!asked && !may_pass(asked.error())) ending.is_refused = true;
      // What it does not know, it takes orders about calmly.
      ending.heard = asked.has_value() && now.has_value();
      ending.heard_at = context_.clock.steady_ms();
      ending.ask_at = ending.heard_at + ending.pause.count();
      if (!asked) {
        ending.trouble = fail("terminate " + id, asked.error()).value();
        ending.pause = std::min(ending.pause * 2, longest_pause);
      }
    }
    if (ending.heard && now) ending.trouble.reset();
    const auto waited = Seconds((context_.clock.steady_ms() - begun) / 1000);
    if (ending.trouble) {
      if (waited >= (ending.is_refused ? std::min(ends_itself_within, release_limit()) : release_limit()))
        return tl::unexpected<Error>(std::move(*ending.trouble));
      context_.progress.update(ending.trouble->what + "; trying again");
    }
    if (waited >= terminated_limit) {
      return fail(Kind::timeout, fmt::format("{} was not terminated within {}", id, show_duration(terminated_limit)));
    }
    context_.clock.sleep(nap);
  }
}

Status Release::instances(std::vector<ledger::Instance>& noted, std::vector<std::string>& ended) {
  // What is known is ended first, whatever else may fail: another account would not know it.
  for (const auto& instance : noted) {
    if (instance.id.empty()) continue;
    // Of one that may not have run yet this must be seen before: it is not billed then.
    const auto before = instance.running_ms == 0 && !was_adopted(instance) ? cloud_.describe(instance.id)
                                                                           : tl::unexpected<Error>(Error{});
    if (before && before->state == cloud::State::pending) pending_.insert(instance.id);
    (void)cloud_.terminate(instance.id);
  }
  TRY_SET(there, "", patiently(context_, [&] { return still_there(cloud_, run_); }));
  if (there.empty()) TRY("", be_sure_of_account());
  // What the ledger has, even if the tags do not show it yet, and what the tags show.
  std::map<std::string, std::int64_t> launched_ms;
  for (const auto& one : there) launched_ms[one.id] = one.launched_ms;
  for (auto& instance : noted) {
    if (instance.id.empty()) TRY("", settle_intent(instance));
    if (!instance.id.empty()) launched_ms.try_emplace(instance.id, instance.launched_ms);
  }
  std::map<std::string, std::int64_t> ended_ms;
  for (const auto& [id, since] : launched_ms) {
    TRY_SET(when, "", end(id, since));
    ended_ms[id] = when;
    ended.push_back(id);
  }
  for (auto& instance : noted) {
    const auto when = ended_ms.find(instance.id);
    instance.state = ledger::Rent::released;
    instance.released_ms =
        std::max(when == ended_ms.end() ? context_.clock.now_ms() : when->second, instance.launched_ms);
    if (pending_.contains(instance.id)) instance.running_ms = instance.released_ms;
    TRY("", context_.ledger.record_instance(instance));
  }
  return {};
}

Status Release::resource(ledger::Resource& resource) {
  TRY("", be_sure_of_account());
  TRY("", patiently(context_, [&] {
        return resource.kind == "key-pair" ? cloud_.delete_key(resource.name) : cloud_.delete_group(resource.name);
      }));
  resource.released = true;
  return context_.ledger.record_resource(resource);
}

Status Release::stand_in(ledger::Resource& resource) {
  TRY("", be_sure_of_account());
  TRY("", patiently(context_, [&] { return cloud_.delete_stand_in(resource.name); }));
  resource.released = true;
  return context_.ledger.record_resource(resource);
}

Status release_at(Context& context, const ledger::Run& run, const CloudLocation& location,
                  std::vector<ledger::Instance> noted, std::vector<ledger::Resource>& resources,
                  std::vector<std::string>& ended, ssh::Session* connected) {
  auto reached = location;
  TRY_SET(cloud, "", open_cloud(context, reached));
  if (location.provider == "ssh" && !noted.empty()) {
    const auto cleaned = clean_own_machine(context, RunDir(context.data, run.name), noted.front(), connected);
    if (!cleaned)
      context.progress.warn("release", fmt::format("what {0} left on {1} is still there: {2}; to end "
                                                   "it later: ferry down {0}",
                                                   run.name, location.endpoint, cleaned.error().what));
  }
  Release release(context, *cloud, run, location);
  // What would start another machine in the place of one that is ended here goes first.
  for (auto& resource : resources) {
    if (location_of(resource) == location && is_of_stand_in(resource.kind)) TRY("", release.stand_in(resource));
  }
  TRY("", release.instances(noted, ended));
  for (auto& resource : resources) {
    if (location_of(resource) == location && !resource.released && !is_of_store_role(resource))
      TRY("", release.resource(resource));
  }
  return {};
}

}  // namespace

Seconds release_limit() { return os::env_duration("FERRY_RELEASE_LIMIT", Seconds(180)); }

Result<std::vector<std::string>> release_all(Context& context, const ledger::Run& run, ssh::Session* connected) {
  TRY_SET(noted, "", context.ledger.instances(run.name));
  TRY_SET(resources, "", context.ledger.resources(run.name));
  std::erase_if(noted, [](const auto& one) { return one.state == ledger::Rent::released; });
  std::erase_if(resources, [](const auto& one) { return one.released; });
  std::set<CloudLocation> locations;  // a run normally has one
  for (const auto& one : noted) locations.insert(location_of(one));
  for (const auto& one : resources) locations.insert(location_of(one));
  std::vector<std::string> ended;
  std::optional<Error> failed;  // of the first place; the others are released all the same
  for (const auto& location : locations) {
    std::vector<ledger::Instance> here;
    std::copy_if(noted.begin(), noted.end(), std::back_inserter(here),
                 [&](const auto& one) { return location_of(one) == location; });
    const auto released = release_at(context, run, location, std::move(here), resources, ended, connected);
    if (!released && !failed) failed = released.error();
  }
  if (failed) return tl::unexpected<Error>(std::move(*failed));
  TRY("", release_store_roles(context, resources));  // whose machines are gone
  return ended;
}

}  // namespace ferry::fleet
