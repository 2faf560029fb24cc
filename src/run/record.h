#pragma once
/// \file
/// What was meant by a run and what came of it, as JSON: the file runs/RUN/run.json, and the last event of what
/// `ferry run --json` says. Both come from the ledger alone, so that whoever ends a run can write them.
/// docs/schemas has their schemas.

#include <optional>

#include "fleet/context.h"
#include "fleet/run_dir.h"
#include "sync/sync.h"

namespace ferry::run {

inline constexpr const char* record_schema = "ferry.run.record/1";

/// For Run::task["envs"]: the variables of a task with their values; null in place of a value where the name is
/// one that passwords and tokens have, for what is written down is shown to others.
Json envs_to_keep(const std::map<std::string, std::string>& envs);

/// For Run::task["code"]: what went over. "sha256" is the SHA-256 of a line for each entry in the order of their
/// paths' bytes: "file", "program" (a file that its owner may execute), "folder" or "link", a space, the path, a
/// NUL, the SHA-256 of its content (of a link: its target; of a folder: nothing) as 64 hex digits, a newline.
/// The tree is hashed.
Json code_of(const sync::Tree& tree);

/// What run.json says of the run as the ledger has it now.
Result<Json> record_of(fleet::Context& context, const ledger::Run& run);

/// Writes run.output_dir/run.json (run.output_dir/.ferry/run.json where the training brought a run.json of its own):
/// complete or not at all. Nothing where the run has no folder there. Trouble is told, and holds up nothing. Only for
/// the run's owner.
void write_record(fleet::Context& context, const ledger::Run& run);

/// What the last event says: run, infra, outcome, exit_code (what ferry exits with), outputs, cost, error. `name`:
/// empty when there never was a run. Where no error is given, the ledger's reason for the outcome is one.
Json result_of(fleet::Context& context, const std::string& name, int exit_code, const std::optional<Error>& error);

}  // namespace ferry::run
