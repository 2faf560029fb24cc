#include "ledger/history.h"

#include <algorithm>

#include "base/text.h"
#include "ledger/rows.h"

namespace ferry::ledger {

namespace {

/// Attempts 1, 2, … of this run, and what belongs to them.
Status check(const Run& run, const History& history) {
  const auto& attempts = history.attempts;
  bool is_whole = !attempts.empty() && attempts.size() <= most_attempts;
  for (std::size_t i = 0; is_whole && i < attempts.size(); ++i)
    is_whole = attempts[i].n == static_cast<int>(i) + 1 && attempts[i].run == run.name;
  for (const auto& node : history.nodes)
    is_whole =
        is_whole && node.run == run.name && node.attempt >= 1 && node.attempt <= static_cast<int>(attempts.size());
  for (const auto& one : history.resources) is_whole = is_whole && one.run == run.name;
  for (const auto& one : history.instances) is_whole = is_whole && one.run == run.name && !one.token.empty();
  if (is_whole) return {};
  return fail(Kind::bad_input, "what is told of the attempts of " + printable(run.name) + " is not whole");
}

/// The run, as it is to be. What is here already keeps its name and when it began.
Status put_run(Database& database, const Run& run, std::int64_t now_ms) {
  TRY_SET(here, "", select_rows(database, run_columns, "FROM runs WHERE name = ?1", read_run, run.name));
  if (here.empty()) return add_row(database, run, now_ms);
  if (here.front().phase == Phase::released)
    return fail(Kind::conflict, fmt::format("run {} is released", printable(run.name)));
  return database.run(
      "UPDATE runs SET phase = ?2, phase_ms = ?3, outcome = ?4, exit_code = ?5, error = ?6, "
      "outputs_home = ?7, outputs_stored = ?8, train_start_ms = ?9, train_end_ms = ?10, task = ?11 "
      "WHERE name = ?1",
      run.name, name(run.phase), run.phase_ms ? run.phase_ms : now_ms, name(run.outcome), run.exit_code, run.error,
      run.outputs_home, run.outputs_stored, run.train_start_ms, run.train_end_ms, dump_json(run.task));
}

}  // namespace

Status replace_history(Database& database, const Run& run, const History& history, std::int64_t now_ms) {
  TRY("", check(run, history));
  TRY("", put_run(database, run, now_ms));
  TRY_SET(here, "", select_rows(database, instance_columns, "FROM instances WHERE run = ?1", read_instance, run.name));
  for (const auto& one : history.instances) {
    // By its id, too: who adopted a machine by its tags has it under another token.
    const bool is_here = std::ranges::any_of(here, [&](const Instance& known) {
      return known.token == one.token || (!one.id.empty() && known.id == one.id);
    });
    if (!is_here) TRY("", add_row(database, one, now_ms));
  }
  TRY_SET(made, "", select_rows(database, resource_columns, "FROM resources WHERE run = ?1", read_resource, run.name));
  for (const auto& one : history.resources) {
    const bool is_here = std::ranges::any_of(made, [&](const Resource& known) {
      return known.kind == one.kind && known.name == one.name && known.region == one.region;
    });
    if (!is_here) TRY("", add_row(database, one));
  }
  // After what triggers make of the above: they know one attempt only, the newest.
  TRY("", database.run("DELETE FROM attempts WHERE run = ?1", run.name));
  for (const auto& one : history.attempts) TRY("", add_row(database, one));
  TRY("", database.run("DELETE FROM nodes WHERE run = ?1", run.name));
  for (const auto& one : history.nodes) TRY("", add_row(database, one));
  return add_event_row(database, run.name, now_ms, "history",
                       {{"attempts", history.attempts.size()}, {"machines", history.instances.size()}});
}

}  // namespace ferry::ledger
