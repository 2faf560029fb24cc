#pragma once
/// \file
/// What a command answers with. For people: text on standard output. With --json: on standard output one object, or,
/// of commands that go on (run, rehearse, logs, wait), one event a line of which the last is the "result"; and nothing
/// else, whatever happens. A process is one command: main() says once, before anything else, how it answers.
///
/// Every object has "schema": "ferry.COMMAND/N" ("ferry.rehearsal.status/1"; of events "ferry.COMMAND.event/N"; of
/// what could not be done "ferry.error/N"). docs/schemas/ferry.COMMAND-N.json is that schema. N grows when a member
/// goes or means something else; new ones may come at any time.

#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/json.h"
#include "watch/progress.h"

namespace ferry::cli {

/// From here on answers are JSON: standard output leads to standard error, so that no stray word of ours or of a
/// child's gets among them. `command`: "run", "rehearsal.status". A signal that ends the process before the command
/// has looked at it is answered, too, with 130.
void answer_with_json(const std::string& command);
bool in_json();

/// True if a question may be asked: somebody sees it, and no program reads the answer.
bool may_ask();

/// With --json, of a command that goes on: where its events go.
watch::Progress& events();
/// The last of them.
void reply_result(const Json& result);

/// With --json, of all others: the object, with "schema" as told ("ferry.ps/1") and "ferry_version".
void reply(std::string_view schema, Json object);

/// Shows an error the way every command does, and gives the exit code for it: 125, or, of a command that had rented
/// nothing and holds nothing (`may_try_later`), 75 where it may work later.
int report(const Error& error, bool may_try_later = false);
/// The same for a mistake on the command line: 2.
int report_usage(const std::string& what, const std::string& advice, const std::string& why = {});

/// Called by main() at the end: what was not answered is, by `code` and the error that was reported. The exit code.
int finish(int code);

}  // namespace ferry::cli
