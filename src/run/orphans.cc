// What is somewhere of this user and in no ledger here: looked at, or taken into this ledger so that it goes on.
#include <algorithm>
#include <set>

#include "base/store_place.h"
#include "base/text.h"
#include "fleet/store_access.h"
#include "run/actions.h"
#include "run/lease.h"
#include "run/reach.h"
#include "run/search.h"
#include "run/stored_record.h"

namespace ferry::run {

namespace {

/// Whether the machine is meant by its run's name or its id.
bool is_named(const fleet::Untracked& machine, const std::vector<std::string>& names) {
  const auto tag = machine.instance.tags.find("ferry:run");
  const auto run = tag == machine.instance.tags.end() ? std::string() : tag->second;
  return std::ranges::any_of(
      names, [&](const auto& name) { return name == machine.instance.id || (!run.empty() && name == run); });
}

}  // namespace

Result<Orphans> find_orphans(fleet::Context& context, const std::string& owner) {
  Search search(context, "orphans", owner.empty() ? fleet::owner_name() : owner);
  TRY("", search.choose_locations());
  Orphans orphans;
  orphans.machines = search.machines();
  orphans.leftovers = search.leftovers();
  orphans.incomplete = search.incomplete();
  return orphans;
}

namespace {

/// What the store of `options` knows of runs, of those that this ledger lacks. One that cannot be asked is told.
std::vector<StoredRecord> ask_store(fleet::Context& context, const RecoverOptions& options, bool& incomplete) {
  if (options.store.empty()) return {};
  const auto found = [&]() -> Result<std::vector<StoredRecord>> {
    TRY_SET(store, "", fleet::open_store(context, options.store, "", "", options.provider));
    return find_records(context, *store);
  }();
  if (found) return *found;
  incomplete = true;
  context.progress.warn("recover",
                        fmt::format("{} was NOT looked into: {}", printable(options.store), found.error().what));
  return {};
}

/// Machines of the named records whose owner is another than the one that was looked for: one that lives is not done
/// without.
Status add_machines_of(fleet::Context& context, const std::vector<StoredRecord>& records, const RecoverOptions& options,
                       std::vector<fleet::Untracked>& machines, bool& incomplete) {
  std::set<std::string> owners = {options.owner.empty() ? fleet::owner_name() : options.owner, ""};
  for (const auto& record : records) {
    if (std::ranges::find(options.names, record.run.name) == options.names.end()) continue;
    if (!owners.insert(record.owner).second) continue;
    Search search(context, "recover", record.owner);
    TRY("", search.choose_locations());
    for (auto& one : search.machines()) {
      if (is_named(one, options.names)) machines.push_back(std::move(one));
    }
    incomplete = incomplete || search.incomplete();
  }
  return {};
}

/// Who takes over another ledger's machine must be the only one. A ferry that shows itself is not waited for.
Status take_over_machine(fleet::Context& context, const fleet::Untracked& machine) {
  const auto& tags = machine.instance.tags;
  const auto tag = [&](const char* key) {
    const auto found = tags.find(key);
    return found == tags.end() ? std::string() : found->second;
  };
  const auto run = tag("ferry:run");
  const auto place = parse_store_place(tag(fleet::store_tag));
  const auto taken = [&]() -> Status {
    TRY_SET(ledger, "", fleet::ledger_id(context.data));
    std::unique_ptr<Register> where;
    if (place && !place->bucket.empty() && !run.empty()) {
      TRY_SET(store, "", fleet::open_store(context, uri_of(*place), "", "", machine.location.provider));
      where = store_register(std::move(store), run);
    } else {
      auto location = machine.location;
      TRY_SET(cloud, "", fleet::open_cloud(context, location));
      where = tag_register(std::move(cloud), machine.instance.id);
    }
    const auto waiting = [&](const LeaseHolder& holder) {
      if (holder.ledger != ledger)
        context.progress.update(fmt::format("waiting for the ferry of {}, which may be gone", holder.who));
      return holder.shown == 0 && context.check_signals(true) == fleet::Interrupt::go_on;
    };
    // Not given back: it is this ledger's from now on, and so the follower's.
    TRY("", Lease::take(std::move(where), printable(run), {ledger, fleet::owner_name()}, context.clock, waiting));
    return {};
  }();
  if (taken || taken.error().kind == Kind::conflict) return taken;
  context.progress.warn("recover", fmt::format("it is not known whether another computer works on {}: {}",
                                               fleet::describe_untracked(machine), taken.error().what));
  return {};
}

}  // namespace

Result<Recovered> recover(fleet::Context& context, const RecoverOptions& options) {
  const auto& names = options.names;
  const auto owner = options.owner.empty() ? fleet::owner_name() : options.owner;
  Search search(context, "recover", owner);
  TRY("", search.choose_locations());
  auto machines = search.machines();
  Recovered recovered;
  recovered.incomplete = search.incomplete();
  auto records = ask_store(context, options, recovered.incomplete);
  TRY("", add_machines_of(context, records, options, machines, recovered.incomplete));
  for (const auto& name : names) {
    if (!std::ranges::any_of(machines, [&](const auto& one) { return is_named(one, {name}); }) &&
        !std::ranges::any_of(records, [&](const auto& one) { return one.run.name == name; }))
      return fail(Kind::not_found, "nothing that is in no ledger here is called " + printable(name),
                  recovered.incomplete ? "not everything could be looked at" : "",
                  options.store.empty() ? "see machines: ferry orphans; or look in a store: --store s3://BUCKET/PREFIX"
                                        : "see machines: ferry orphans; what is stored: ferry store ls");
  }
  for (const auto& machine : machines) {
    // Its machine lives: what it stored is not all of it.
    std::erase_if(records, [&](const auto& one) { return is_named(machine, {one.run.name}); });
    if (names.empty() ? !machine.is_ours : !is_named(machine, names)) {
      recovered.of_other_ledgers.push_back(machine);
      continue;
    }
    if (!machine.is_ours) TRY("", take_over_machine(context, machine));
    const auto run = fleet::adopt_untracked(context, machine);
    if (!run && run.error().kind == Kind::exists) continue;  // another process was faster
    TRY_SET(name, "take " + machine.instance.id + " into this ledger", run);
    recovered.runs.push_back(name);
    add_record(context, name);
    TRY("", recover_orphan(context, name));
  }
  TRY_SET(ledger, "", fleet::ledger_id(context.data));
  for (const auto& record : records) {
    const auto& name = record.run.name;
    const bool is_meant = names.empty() ? record.ledger == ledger : std::ranges::find(names, name) != names.end();
    if (!is_meant) {
      if (names.empty() && record.owner == owner) recovered.stored_of_others.emplace_back(name, "of another ledger");
      continue;
    }
    const auto taken = take_stored(context, record,
                                   {.is_named = !names.empty(),
                                    .may_live = recovered.incomplete && record.run.infra.starts_with("aws"),
                                    .may_go_on = options.may_go_on});
    if (taken && *taken) {
      recovered.going_on.push_back(name);
      TRY("", recover_orphan(context, name));
    } else if (taken)
      recovered.stored.push_back(name);
    else if (names.empty() && (taken.error().kind == Kind::conflict || taken.error().kind == Kind::cancelled))
      recovered.stored_of_others.emplace_back(name, taken.error().what);
    else if (!names.empty() || taken.error().kind != Kind::not_found)  // nothing was stored: nothing is lost
      TRY("take " + name + " into this ledger", taken);
  }
  return recovered;
}

}  // namespace ferry::run
