// What is somewhere of this user and in no ledger here: looked at, or taken into this ledger so that it goes on.
#include <algorithm>

#include "base/text.h"
#include "run/actions.h"
#include "run/reach.h"
#include "run/search.h"

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

Result<Recovered> recover(fleet::Context& context, const std::vector<std::string>& names, const std::string& owner) {
  Search search(context, "recover", owner.empty() ? fleet::owner_name() : owner);
  TRY("", search.choose_locations());
  const auto machines = search.machines();
  for (const auto& name : names) {
    if (!std::ranges::any_of(machines, [&](const auto& one) { return is_named(one, {name}); }))
      return fail(Kind::not_found, "no machine that is in no ledger here is called " + printable(name),
                  search.incomplete() ? "not everything could be looked at" : "", "see them: ferry orphans");
  }
  Recovered recovered;
  recovered.incomplete = search.incomplete();
  for (const auto& machine : machines) {
    if (names.empty() ? !machine.is_ours : !is_named(machine, names)) {
      recovered.of_other_ledgers.push_back(machine);
      continue;
    }
    const auto run = fleet::adopt_untracked(context, machine);
    if (!run && run.error().kind == Kind::exists) continue;  // another process was faster
    TRY_SET(name, "take " + machine.instance.id + " into this ledger", run);
    recovered.runs.push_back(name);
    TRY("", recover_orphan(context, name));
  }
  return recovered;
}

}  // namespace ferry::run
