// What must hold on every stage, whatever was played there.
#include "base/text.h"
#include "run/stage.h"

namespace ferry::run {

std::string Stage::broken_promise(std::optional<int> code) {
  using ledger::Outcome;
  using ledger::Phase;
  std::string found;
  const auto all = must(ledger_->runs(false));
  std::set<std::string> noted;
  for (const auto& one : all) {
    const auto instances = must(ledger_->instances(one.name));
    bool is_live = false, reached_setup = false;
    for (const auto& event : must(ledger_->events(one.name))) {
      const auto to = event.kind == "phase" ? ledger::phase_from(text_at(event.data, "to")) : std::nullopt;
      if (to && *to >= Phase::setup && *to <= Phase::fetching) reached_setup = true;
      if (event.kind == "attempt") reached_setup = false;  // on another machine
    }
    for (const auto& instance : instances) {
      noted.insert(instance.token);
      is_live = is_live || instance.state != ledger::Rent::released;
    }
    if (one.phase == Phase::released && is_live) found += one.name + " is released and holds an instance; ";
    const bool is_home = os::exists(os::Path(one.output_dir) / "outputs/model");
    const bool is_safe = is_home || is_stored(one.name);
    if (one.outcome == Outcome::succeeded && !is_safe && one.phase == Phase::released)
      found += one.name + " is called succeeded without its model; ";
    if (code == 0 && followers_.empty() && !one.keep && (one.phase != Phase::released || !is_home))
      found += one.name + " ended with 0; ";
    for (const auto& machine : cloud.machines()) {
      const auto tag = machine.now.tags.find("ferry:run");
      if (tag == machine.now.tags.end() || tag->second != one.name) continue;
      if (reached_setup && !is_safe && machine.by_ferry) found += machine.now.id + " was ended with its model; ";
    }
  }
  int rented = 0;
  for (const auto& machine : cloud.machines()) {
    rented += machine.ended_ms == 0;
    if (!noted.contains(machine.now.client_token)) found += machine.now.id + " was never noted; ";
    for (const auto& one : all) {
      for (const auto& instance : must(ledger_->instances(one.name))) {
        if (instance.token == machine.now.client_token && instance.state == ledger::Rent::released &&
            machine.ended_ms == 0)
          found += machine.now.id + " is rented, and released in the ledger; ";
      }
    }
  }
  if (rented > 1) found += fmt::format("{} machines are rented; ", rented);
  return found.empty() ? "" : found + everything_shown();
}

std::string Stage::trouble() {
  std::string found;
  const auto left = cloud.left();
  if (!left.empty()) found += "left in the cloud: " + join(left, ", ") + "; ";
  std::map<std::string, ledger::Rent> noted;
  const auto runs = ledger_->runs(false);
  for (const auto& one : runs.value_or(std::vector<ledger::Run>())) {
    if (one.phase != ledger::Phase::released) found += fmt::format("{} is {}; ", one.name, ledger::name(one.phase));
    const auto instances = ledger_->instances(one.name);
    for (const auto& instance : instances.value_or(std::vector<ledger::Instance>())) {
      if (!instance.id.empty()) noted[instance.id] = instance.state;
      if (instance.state != ledger::Rent::released)
        found += fmt::format("the ledger holds {} for {}; ", instance.id, ledger::name(instance.state));
    }
    const auto resources = ledger_->resources(one.name);
    for (const auto& resource : resources.value_or(std::vector<ledger::Resource>())) {
      if (!resource.released) found += "the ledger holds the " + resource.kind + "; ";
    }
  }
  for (const auto& one : cloud.machines()) {
    if (!noted.contains(one.now.id)) found += one.now.id + " was rented and is not in the ledger; ";
  }
  return found.empty() ? "" : found + everything_shown();
}

}  // namespace ferry::run
